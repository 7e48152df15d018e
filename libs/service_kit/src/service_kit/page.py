"""A service's welcome page: one HTML file whose inline style and script are allowed by hash."""

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse


def add_page(app: FastAPI, html: str, values: Mapping[str, str]) -> None:
    """Serve `html` at `/`, each `{{name}}` replaced by the escaped value.

    Values stand in the markup, never inside style or script.
    """
    filled = re.sub(r"\{\{(\w+)\}\}", lambda found: escape(values[found[1]]), html)
    headers = protection(filled)

    @app.get("/", include_in_schema=False)
    async def welcome() -> Response:
        """Show people what this service is and let them try it."""
        return HTMLResponse(filled, headers=headers)


def protection(html: str, *, styles: str = "", scripts: str = "") -> dict[str, str]:
    """Return headers that let a page run its own inline parts and reach only its own server.

    Args:
        html: the page.
        styles: further sources of the policy's `style-src`.
        scripts: further sources of the policy's `script-src`.
    """
    policy = (
        "default-src 'none'",
        f"style-src {_hashes(html, 'style')} {styles}",
        f"script-src {_hashes(html, 'script')} {scripts}",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(" ".join(part.split()) for part in policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
