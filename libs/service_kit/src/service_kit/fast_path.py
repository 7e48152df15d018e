"""A short way past FastAPI for one POST route, where the framework would cost more than the work.

FastAPI has the route too, for the OpenAPI document and for requests that the fast path leaves.
"""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class FastPath:
    """An ASGI layer that answers one POST route and passes all other requests to the application.

    The layer stands inside `RequestEdge`, which answers for a `Problem` that `answer` raises.

    Attributes:
        path: path of the route, and the route's label in metrics.
    """

    def __init__(
        self, app: ASGIApp, path: str, answer: Callable[[Scope], Awaitable[bytes | None]]
    ) -> None:
        """`answer` returns the JSON document, or None to leave the request to the application."""
        self.path = path
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        document = None
        if scope["type"] == "http" and scope["path"] == self.path and scope["method"] == "POST":
            scope["route"] = self
            document = await self._answer(scope)
        if document is None:
            await self._app(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(document)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": document})
