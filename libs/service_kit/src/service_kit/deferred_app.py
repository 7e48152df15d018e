"""An application that is built when a server starts it, so that its module does no work at import.

`app = DeferredApp(build)` is what `uvicorn package.app:app` imports: settings are read, models are
loaded and threads are started in the lifespan, in each worker on its own.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)


class DeferredApp:
    """An ASGI application that stands for the one that its lifespan builds."""

    def __init__(self, build: Callable[[], AbstractAsyncContextManager[ASGIApp]]) -> None:
        """`build` makes the application, and takes it apart at the end."""
        self._build = build
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or build the application and run its own lifespan.

        Raises:
            RuntimeError: the server serves without having run the lifespan.
        """
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif self._app is None:
            raise RuntimeError("the application is not built: its server must run the lifespan")
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def tell(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            async with self._build() as self._app:
                await self._app(scope, receive, tell)
        except (Exception, SystemExit) as error:
            # A server takes any error here for an application without a lifespan, and serves on.
            if is_answered:
                raise
            if not isinstance(error, SystemExit):  # which has told its reason
                _log.exception("not_built")
            await send({"type": "lifespan.startup.failed", "message": "the service is not built"})
