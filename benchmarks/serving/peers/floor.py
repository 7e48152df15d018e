"""The floor: a raw ASGI application that reads the body and answers a constant."""

from typing import Any

ANSWER = (
    b'{"predictions":[1],"labels":["acc"],"version":"1.0.0","errors":null,"model_sha256":"'
    + b"0" * 64
    + b'","request_id":"'
    + b"0" * 32
    + b'"}'
)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer any request."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
