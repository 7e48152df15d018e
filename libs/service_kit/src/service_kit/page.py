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
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hashes(filled, 'style')}",
            f"script-src {_hashes(filled, 'script')}",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    @app.get("/", response_class=HTMLResponse, tags=["page"])
    async def welcome() -> Response:
        """Show people what this service is and let them try it."""
        return HTMLResponse(filled, headers=headers)


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
