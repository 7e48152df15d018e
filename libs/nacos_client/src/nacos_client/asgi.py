"""Nacos for an application that another program serves: `app = with_nacos(app, name="greeter")`.

Nothing but ASGI is needed, so any server and any framework will do; `nacos_client` does not import
this module by itself. What happens in order:

1. The server starts the lifespan: the client of Nacos starts, then the application's own lifespan.
2. Once this process listens, the instance is announced, with the port on which it listens.
3. On SIGTERM the instance leaves Nacos while the process serves on, as far as the server allows;
   each answer asks its caller to connect elsewhere.
4. The server ends the lifespan: the application's own ends, then the client closes.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

from nacos_client.announce import Announcement
from nacos_client.client import Nacos
from nacos_client.errors import NacosError
from nacos_client.own_sockets import OwnSocket
from nacos_client.presence import ServedPresence
from nacos_client.settings import NacosSettings

log = logging.getLogger(__name__)

DRAIN_SECONDS = 2.0
"""Seconds to serve on after Nacos shows the instance gone; callers that keep a list for longer, as
Spring does for 35 s, need more."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Extensible(Protocol):
    """An application that takes middleware and has a place for state, as Starlette's and FastAPI's.

    Attributes:
        state: the place for state.
    """

    state: Any

    @property
    def add_middleware(self) -> Callable[..., Any]:
        """The method that stands a middleware around the application."""
        ...


E = TypeVar("E", bound=Extensible)


def nothing(*_: object) -> None:
    """Do nothing."""


def with_nacos(
    app: E,
    *,
    name: str,
    port: int | None = None,
    metadata: Mapping[str, str] | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    nacos: Nacos | None = None,
    prepare: Callable[[Announcement], object] = nothing,
) -> E:
    """Let a FastAPI or Starlette application join Nacos; returns the application itself.

    `app.state.nacos` is the client then, started before the application's own lifespan. For other
    applications see `NacosApp`, also for the arguments; `nacos` is made of the environment's
    settings where none is given.

    Raises:
        pydantic.ValidationError: a variable of the environment is wrong.
    """
    client = nacos or Nacos(NacosSettings.from_env(os.environ))
    app.state.nacos = client
    app.add_middleware(
        NacosApp,
        nacos=client,
        name=name,
        port=port,
        metadata=metadata,
        drain_seconds=drain_seconds,
        prepare=prepare,
    )
    return app


class NacosApp:
    """An ASGI application that is announced in Nacos while a server serves it.

    Each worker of a server announces the same instance, which stays while one of them lives.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        nacos: Nacos,
        name: str,
        port: int | None = None,
        metadata: Mapping[str, str] | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        prepare: Callable[[Announcement], object] = nothing,
        drains: Callable[[], None] = nothing,
    ) -> None:
        """Stand around an application.

        Args:
            app: the application; it need not know the lifespan protocol.
            nacos: the client, which starts and closes with the application.
            name: name of the service, or `GROUP@@service`.
            port: the TCP port that is announced; default: the only one on which the server listens.
            metadata: labels of the instance.
            drain_seconds: seconds to serve on after Nacos shows the instance gone.
            prepare: called with the announcement before it is made, to `follow` a document.
            drains: called when the process is told to stop.
        """
        self._app = app
        self._nacos = nacos
        self._name = name
        self._port = port
        self._metadata = metadata
        self._drain_seconds = drain_seconds
        self._prepare = prepare
        self._drains = drains
        self._presence: ServedPresence | None = None
        self._is_told = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if self._presence is None:
            self._tell_missing_lifespan()
        elif self._presence.draining and str(scope.get("http_version", "")).startswith("1"):
            send = _closing(send)
        await self._app(scope, receive, send)

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Run the application's lifespan within the client's."""
        await receive()
        try:
            await asyncio.to_thread(self._nacos.start)
        except NacosError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._presence = ServedPresence(
            self._announcement, self._port, self._drain_seconds, self._drains
        )
        try:
            await _Lifespan(self._app, self._presence, self._nacos, receive, send).run(scope)
        finally:
            await self._presence.end()
            await self._nacos.close()

    def _announcement(self, place: OwnSocket) -> Announcement:
        announcement = self._nacos.announcement(
            self._name,
            port=place.port,
            host=place.host,
            metadata=self._metadata,
            shared=True,
        )
        self._prepare(announcement)
        return announcement

    def _tell_missing_lifespan(self) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning(
                "%s is not announced in Nacos: the server does not run the application's lifespan",
                self._name,
            )


class _Lifespan:
    """One run of an application's lifespan, which Nacos' stands around."""

    def __init__(
        self,
        app: AsgiApp,
        presence: ServedPresence,
        nacos: Nacos,
        receive: Receive,
        send: Send,
    ) -> None:
        self._app = app
        self._presence = presence
        self._nacos = nacos
        self._receive = receive
        self._send = send
        self._is_startup_heard = False
        self._told = ""
        """The last message of the application; "" before the first."""

    async def run(self, scope: MutableMapping[str, Any]) -> None:
        """Run the application's part; where it has none or ends early, take its place."""
        try:
            await self._app(scope, self._hear, self._tell)
        except Exception as error:
            if self._told:
                raise
            log.info("the application has no lifespan of its own: %r", error)
        if not self._told:
            await self._tell({"type": "lifespan.startup.complete"})
        if self._told == "lifespan.startup.complete":
            await self._hear()
            await self._tell({"type": "lifespan.shutdown.complete"})

    async def _hear(self) -> Message:
        """Return the next message of the server to the application."""
        if not self._is_startup_heard and not self._told:
            self._is_startup_heard = True
            return {"type": "lifespan.startup"}
        message = await self._receive()
        await self._presence.end()
        return message

    async def _tell(self, message: Message) -> None:
        """Hand a message of the application to the server."""
        self._told = message["type"]
        if self._told == "lifespan.startup.complete":
            self._presence.begin()
        else:
            await self._presence.end()
            await self._nacos.close()
        await self._send(message)


def _closing(send: Send) -> Send:
    """Return a `send` whose answers ask the caller to connect elsewhere."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [*message.get("headers", ()), (b"connection", b"close")]
            message = {**message, "headers": fields}
        await send(message)

    return tell
