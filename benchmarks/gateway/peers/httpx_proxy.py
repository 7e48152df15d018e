"""The proxy that most Python teams write first: FastAPI in front, a shared httpx client behind."""

import itertools
import os
import uuid

import httpx
from fastapi import FastAPI, Request, Response

SERVERS = itertools.cycle(os.environ["SERVERS"].split(","))
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"}

app = FastAPI()
client = httpx.AsyncClient(
    timeout=httpx.Timeout(2.0, connect=0.5, pool=None),
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=1024),
)


@app.api_route("/bench-backend/{path:path}", methods=["GET", "POST"])
async def forward(path: str, request: Request) -> Response:
    """Pass the request to the next server, on failure once to another, and the response back."""
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    if "x-request-id" not in request.headers:
        headers.append(("X-Request-Id", str(uuid.uuid4())))
    if request.client is not None:
        headers.append(("X-Forwarded-For", request.client.host))
    body = await request.body()
    for attempt in (1, 2):
        try:
            answer = await client.request(
                request.method,
                f"http://{next(SERVERS)}/{path}",
                content=body,
                headers=headers,
                params=request.query_params,
            )
        except httpx.TransportError:
            if attempt == 2:
                return Response(status_code=502)
            continue
        kept = {k: v for k, v in answer.headers.items() if k not in HOP_BY_HOP}
        return Response(answer.content, answer.status_code, kept)
    raise AssertionError
