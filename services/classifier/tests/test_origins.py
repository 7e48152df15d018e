"""What pages of other origins may read."""

import pytest
from classifier.schemas import EXAMPLE

pytestmark = pytest.mark.anyio
URL = "/api/v1/predict"


async def test_cross_origin_calls_follow_the_setting(client):
    """A page of a named origin may call, another's browser is told nothing."""
    for origin, allowed in (
        ("https://a.example", "https://a.example"),
        ("https://b.example", None),
    ):
        answer = await client.post(URL, json={"inputs": [EXAMPLE]}, headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (413, b" " * 3_000_000, {}),
        (415, b"{}", {"Content-Encoding": "br"}),
        (400, b"{}", {"X-Request-Timeout-Ms": "soon"}),
        (504, b"{}", {"X-Request-Timeout-Ms": "0"}),
        (422, b"{}", {}),
    ],
)
async def test_pages_are_told_of_every_refusal(client, status, body, headers):
    """A page of a named origin may read any problem, one that no route has seen included."""
    origin = "https://a.example"
    kind = {"Content-Type": "application/json"}

    answer = await client.post(URL, content=body, headers={"Origin": origin, **kind, **headers})

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_a_page_may_ask_first(client):
    """A browser's preflight names what is allowed, to a page of a named origin only."""
    asked = {"Access-Control-Request-Method": "POST"}
    statuses = [
        (await client.options(URL, headers={"Origin": f"https://{name}.example", **asked}))
        for name in "ab"
    ]

    assert [each.status_code for each in statuses] == [200, 400]
    assert statuses[0].headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in statuses[1].headers
