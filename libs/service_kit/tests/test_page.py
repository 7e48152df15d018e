"""Welcome pages."""

import base64
import hashlib

import httpx
import pytest
from fastapi import FastAPI
from service_kit.page import add_page

HTML = "<style>b{}</style><h1>{{version}}</h1><script>f()</script>"


@pytest.mark.anyio
async def test_page_allows_only_its_own_script_and_style():
    """The policy names the hashes of the inline parts; values are escaped."""
    app = FastAPI()
    add_page(app, HTML, {"version": "<1>"})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")

    assert "<h1>&lt;1&gt;</h1>" in answer.text
    policy = answer.headers["content-security-policy"]
    for part in (b"b{}", b"f()"):
        assert base64.b64encode(hashlib.sha256(part).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
