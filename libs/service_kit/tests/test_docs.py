"""The documentation page."""

import re

import httpx
import pytest
from fastapi import FastAPI
from service_kit import add_docs


@pytest.mark.anyio
async def test_docs_are_served_from_here_alone():
    """Every address on the page is relative and answered, and the policy names no other host.

    The description is at its usual place too, where programs look for it.
    """
    app = FastAPI(title="<A>", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    add_docs(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        page = await client.get("/docs")
        addresses = re.findall(r'(?:src|href|data-openapi)="([^"]+)"', page.text)
        served = [address for address in addresses if not address.startswith("data:")]
        usual = await client.get("/openapi.json")
        described = await client.get("/api/openapi.json")
        answers = [await client.get(f"/{address}") for address in served]
        others = [await client.get(path) for path in ("/redoc", "/docs/../core.py")]

    assert "<title>&lt;A&gt;: API</title>" in page.text
    assert served == ["docs/swagger-ui.css", "api/openapi.json", "docs/swagger-ui-bundle.js"]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.status_code for answer in others] == [404, 404]
    assert usual.json() == described.json()
    assert "http" not in page.headers["content-security-policy"]


def test_docs_replace_the_framework_s():
    """An application whose own /docs would stay in front is refused."""
    with pytest.raises(ValueError, match="docs_url"):
        add_docs(FastAPI())
