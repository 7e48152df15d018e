"""The session of a client: by gRPC, and over HTTP alone while only gRPC has no answer.

1. The link tries gRPC, again and again, as long as the session lasts.
2. While it is not connected, each half second the servers are asked over HTTP what they are.
3. `choose` says when HTTP is used alone. `connection` changes then, and whoever uses the session
   registers, subscribes and listens anew, as after any new connection.
4. When gRPC answers, `connection` changes back. What is registered over HTTP goes on beating until
   it is registered by gRPC, and is taken out some seconds later: no caller ever misses it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from failover import Instance

from nacos_client._sdk.administration import Administration
from nacos_client._sdk.auth import Credentials
from nacos_client._sdk.choice import Seen, Transport, choose
from nacos_client._sdk.dialect import Server
from nacos_client._sdk.http_session import HttpSession, for_ever
from nacos_client._sdk.link import RETRY_SECONDS, Handler, Link
from nacos_client._sdk.rpc import CALL_SECONDS
from nacos_client._sdk.session import SdkSession
from nacos_client.errors import NacosError, Refused, Unreachable
from nacos_client.ports import (
    Document,
    DocumentKey,
    Listing,
    Revision,
    ServerFacts,
    ServiceKey,
)
from nacos_client.settings import NacosSettings

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Seconds between two questions over HTTP while there is no connection."""
HTTP_LOOK_SECONDS = 3.0
"""Seconds between two such questions while HTTP is used alone."""
HTTP_RETRY_SECONDS = 15.0
"""Seconds between two attempts by gRPC, at most, while HTTP is used alone."""
OVERLAP_SECONDS = 3.0
"""Seconds for which an instance stays registered over HTTP beside gRPC: the servers of a cluster
tell each other of registrations about a second later."""


class EitherSession:
    """A session that has two ways to Nacos and uses one at a time."""

    def __init__(
        self,
        settings: NacosSettings,
        label: str,
        administration: Administration,
        make_link: Callable[[NacosSettings, str, Credentials, Handler], Link] = Link,
    ) -> None:
        self._settings = settings
        self._label = label
        self._administration = administration
        self._grpc = SdkSession(settings, label, administration, make_link)
        self._http = HttpSession(administration.api, settings.namespace)
        self._now = Transport.NONE
        self._closed_because = ""
        self._misses = 0
        self._answering: Server | None = None
        self._first = settings.servers[0]
        self._up = asyncio.Event()
        self._look = asyncio.Event()
        self._pokes: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connection(self) -> str | None:
        """Id of the present connection, or a name for the use of HTTP; None while there is none."""
        return self._http.connection if self._now is Transport.HTTP else self._grpc.connection

    @property
    def trouble(self) -> str | None:
        """The reason why there is no connection or no permission, or None."""
        if self._now is Transport.HTTP:
            denied = self._administration.credentials.trouble
            return str(denied) if denied else None
        return self._grpc.trouble

    @property
    def transport(self) -> str:
        """The transport in use; where it is HTTP alone, with the reason why gRPC is not."""
        if self._now is Transport.HTTP:
            return f"{Transport.HTTP}: {self._closed_because}"
        return self._now.value

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        self._grpc.attach(self._linked)
        self._grpc.start()
        self._spawn(for_ever(self._watch))

    async def close(self) -> None:
        """End both ways; what is registered is gone with that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._grpc.close(), self._http.close())

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Call `poke` whenever `connection` changes; returns a function that ends that."""
        self._pokes.append(poke)
        return lambda: self._pokes.remove(poke)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"transport {self._label}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The choice.

    def _linked(self) -> None:
        """Take note that the link has connected, or failed to."""
        if self._grpc.connection is not None or self._now is Transport.GRPC:
            self._decide()
        if self._now is not Transport.HTTP:
            self._poke()
        self._look.set()

    async def _watch(self) -> None:
        """Ask over HTTP while there is no connection by gRPC, and decide."""
        self._look.clear()
        closed = self._grpc.connection is None and self._grpc.unanswered > 0
        if closed or self._now is Transport.HTTP:
            await self._ask()
            self._decide()
            await asyncio.sleep(HTTP_LOOK_SECONDS if self._now is Transport.HTTP else LOOK_SECONDS)
        else:
            await self._look.wait()

    async def _ask(self) -> None:
        """Ask the servers over HTTP until one answers, the one that answered last first."""
        servers = sorted(self._settings.servers, key=lambda each: each != self._first)
        for server in servers:
            try:
                await self._administration.dialects.of(server, since=time.monotonic())
            except (Unreachable, Refused) as error:
                log.debug("no answer over HTTP: %s", error)
                continue
            self._administration.answering.heard(time.monotonic())
            self._misses, self._answering, self._first = 0, server, server
            return
        self._administration.answering.missed()
        self._misses, self._answering = self._misses + 1, None

    def _decide(self) -> None:
        """Choose the transport, and change to it."""
        connected, answering = self._grpc.connection is not None, self._answering
        seconds = self._administration.answering.seconds(time.monotonic())
        seen = Seen(
            connected=connected,
            servers=len(self._settings.servers),
            unanswered=self._grpc.unanswered,
            http_seconds=seconds if answering else None,
            misses=self._misses,
        )
        before, self._now = self._now, choose(self._now, seen)
        if connected:
            self._answering, self._misses = None, 0
        if self._now is Transport.HTTP:
            if answering is not None and (
                before is not self._now or answering != self._http.server
            ):
                self._enter(answering)
        elif before is Transport.HTTP:
            self._http.leave()
            self._grpc.hurry(RETRY_SECONDS[1])
            self._poke()
        (self._up.set if self.connection else self._up.clear)()
        if self._now is not before:
            self._tell(before)

    def _enter(self, server: Server) -> None:
        ports = sorted({self._settings.grpc_port(port) for _, port in self._settings.servers})
        named = " and ".join(map(str, ports))
        self._closed_because = f"no gRPC at port {named}: {self._grpc.trouble}"
        self._http.enter(server)
        self._grpc.hurry(HTTP_RETRY_SECONDS)
        self._poke()

    def _tell(self, before: Transport) -> None:
        """Log a change to HTTP alone, and from it, once for all sessions of the client."""
        told, now = self._administration.told, self._now
        if now is told or (now is Transport.NONE and before is not Transport.HTTP):
            return  # the link tells that gRPC is lost
        self._administration.told = now
        if now is Transport.HTTP:
            limits = "instances live by heartbeats, and changes come seconds later"
            log.warning("%s; %s", self.transport, limits)
        elif now is Transport.GRPC:
            log.warning("gRPC answers again: HTTP is no longer used alone")
        else:
            log.warning("lost Nacos over HTTP too")

    def _poke(self) -> None:
        for poke in list(self._pokes):
            poke()

    async def _chosen(self) -> SdkSession | HttpSession:
        """Return the session of the transport in use; waits for a connection, at most 3 s.

        Raises:
            Unreachable: there is no connection by then.
        """
        if self.connection is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_SECONDS):
                    await self._up.wait()
        if self.connection is None:
            raise Unreachable(f"not connected to Nacos: {self.trouble}")
        return self._http if self._now is Transport.HTTP else self._grpc

    # The ports.

    async def server(self) -> ServerFacts:
        """Ask the server in use what it is, unless it has said so on this connection."""
        if self._now is Transport.HTTP:
            return await self._http.facts()
        return await self._grpc.server()

    async def namespace_trouble(self) -> str | None:
        """Ask the server in use whether the session's namespace exists."""
        if self._now is Transport.HTTP:
            return await self._administration.namespace_trouble(
                self._http.server, self._settings.namespace
            )
        return await self._grpc.namespace_trouble()

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance, or replace what this session published for the service."""
        chosen = await self._chosen()
        await chosen.register(service, instance, ephemeral=ephemeral)
        if chosen is self._grpc:
            for beating in self._http.registered(service):
                pause = OVERLAP_SECONDS if beating == instance else 0.0
                self._spawn(self._take_over(service, beating, self._grpc.connection, pause))

    async def _take_over(
        self, service: ServiceKey, instance: Instance, connection: str | None, pause: float
    ) -> None:
        """Take an instance out over HTTP, so many seconds after it was registered by gRPC."""
        await asyncio.sleep(pause)
        if self._grpc.connection == connection and instance in self._http.registered(service):
            await self._drop(service, instance)

    async def _drop(self, service: ServiceKey, instance: Instance) -> None:
        try:
            await self._http.deregister(service, instance)
        except NacosError as error:  # without heartbeats Nacos drops the instance
            log.info("%s %s not taken out over HTTP: %s", service, instance.address, error)

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out, wherever it is registered."""
        chosen = await self._chosen()
        if chosen is self._grpc:
            for beating in self._http.registered(service):
                await self._drop(service, beating)
        await chosen.deregister(service, instance, ephemeral=ephemeral)

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Undo what somebody set by hand for this instance, over HTTP."""
        await self._grpc.override(service, instance, ephemeral=ephemeral)

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server for the instances of a service."""
        return await (await self._chosen()).instances(service)

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Call `push` on every change while the connection lasts; returns the present list."""
        return await (await self._chosen()).subscribe(service, push)

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop the pushes."""
        await (await self._chosen()).unsubscribe(service)

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document; returns None if there is no such document."""
        return await (await self._chosen()).fetch(key)

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Call `changed` on every change while the connection lasts."""
        return await (await self._chosen()).listen(key, md5, changed)

    async def publish(
        self, key: DocumentKey, content: str, kind: str, cas_md5: str | None, data_key: str = ""
    ) -> None:
        """Write the document; with `cas_md5`, only over the document with that MD5."""
        await (await self._chosen()).publish(key, content, kind, cas_md5, data_key)

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document."""
        await (await self._chosen()).remove(key)

    async def history(self, key: DocumentKey) -> tuple[Revision, ...]:
        """List the newest hundred changes of the document, the last one first, over HTTP."""
        return await self._grpc.history(key)

    async def entry(self, key: DocumentKey, number: int) -> Document:
        """Read the document that an entry of its history keeps, over HTTP."""
        return await self._grpc.entry(key, number)
