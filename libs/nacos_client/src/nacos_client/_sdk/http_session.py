"""The ports of `nacos_client.ports` over HTTP alone, for where gRPC is closed.

Nothing is pushed. A registration lives by heartbeats, documents are followed by a long poll (or by
asking, where the server has none), services by asking.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from failover import Instance, in_brackets

from nacos_client._sdk.client_api import BEAT_INTERVAL, ClientApi, beat_pause
from nacos_client._sdk.dialect import Server, refuse_old
from nacos_client._sdk.http_api import HttpApi
from nacos_client.errors import NacosError
from nacos_client.ports import Document, DocumentKey, Listing, ServerFacts, ServiceKey

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
"""Seconds from one round of questions (about services; about documents, without long poll) to the
next."""
AT_ONCE = 4
"""Questions of a round that are on their way at the same time: each holds a thread."""
RETRY_SECONDS = 1.0
"""Seconds from a beat or a long poll that failed to the next."""
CLOSE_SECONDS = 0.5
"""Seconds for taking out, at the end, what is registered still."""

Registered = tuple[ServiceKey, str]
"""A service, and the address of an instance."""


class HttpSession:
    """A session with one server at a time: `enter` it, `leave` it, `close` it at the end.

    Ephemeral instances stay registered, by their heartbeats, when the session is left: whoever
    registers them elsewhere takes them out here after that.

    Attributes:
        connection: a name for the time since `enter`; None when the session is left.
        server: host and HTTP port of the server that is asked, or was asked last.
    """

    def __init__(self, api: HttpApi, namespace: str) -> None:
        self.connection: str | None = None
        self.server: Server = api.settings.servers[0]
        self._dialects = api.dialects
        self._entered_at = 0.0
        self._long_polls = True
        self._api = ClientApi(api, namespace)
        self._numbers = itertools.count(1)
        self._registered: dict[Registered, Instance] = {}
        self._beats: dict[Registered, asyncio.Task[None]] = {}
        self._pushes: dict[ServiceKey, Callable[[Listing], None]] = {}
        self._listed: dict[ServiceKey, Listing] = {}
        self._changes: dict[DocumentKey, set[Callable[[], None]]] = {}
        self._md5s: dict[DocumentKey, str] = {}
        self._told: dict[DocumentKey, str] = {}
        self._listens = asyncio.Event()
        self._followers: list[asyncio.Task[None]] = []

    def enter(self, server: Server) -> None:
        """Ask this server from now on."""
        self.leave()
        host, port = self.server = server
        self._entered_at = time.monotonic()
        self._long_polls = True
        self.connection = f"HTTP {next(self._numbers)} {in_brackets(host)}:{port}"
        self._followers = [
            asyncio.create_task(for_ever(self._ask_services), name="ask for services"),
            asyncio.create_task(for_ever(self._poll_documents), name="poll documents"),
        ]

    def leave(self) -> None:
        """Follow nothing more; what is registered stays so."""
        self.connection = None
        for task in self._followers:
            task.cancel()
        self._followers = []
        for followed in (self._pushes, self._listed, self._changes, self._md5s, self._told):
            followed.clear()

    async def close(self) -> None:
        """Leave, and take out what is registered still; at most half a second."""
        self.leave()
        registered = [(service, instance) for (service, _), instance in self._registered.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(
                    *(self.deregister(*each) for each in registered), return_exceptions=True
                )

    async def facts(self) -> ServerFacts:
        """Ask the server what it is, unless it has said so since `enter`."""
        return await self._dialects.of(self.server, since=self._entered_at)

    # Naming.

    def registered(self, service: ServiceKey) -> list[Instance]:
        """Return the ephemeral instances of a service that this session has not taken out."""
        return [instance for (of, _), instance in self._registered.items() if of == service]

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance, or replace it; an ephemeral one beats from then on."""
        self._still(service, instance)
        if ephemeral:
            self._registered[service, instance.address] = instance
        await self._api.register(self.server, service, instance, ephemeral=ephemeral)
        if ephemeral:
            beat = asyncio.create_task(self._beat(service, instance), name=f"beat {service}")
            self._beats[service, instance.address] = beat

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out, and beat no more.

        One that this session has taken out already lives by another process at the same address:
        over HTTP, Nacos cannot tell the two apart.
        """
        self._still(service, instance)
        place = service, instance.address
        if not ephemeral or place in self._registered:
            await self._api.deregister(self.server, service, instance, ephemeral=ephemeral)
            self._registered.pop(place, None)

    def _still(self, service: ServiceKey, instance: Instance) -> None:
        """End the heartbeat of an instance."""
        beat = self._beats.pop((service, instance.address), None)
        if beat is not None:
            beat.cancel()

    async def _beat(self, service: ServiceKey, instance: Instance) -> None:
        """Send heartbeats until cancelled; register what Nacos has forgotten again."""
        usual = pause = beat_pause(instance.metadata.get(BEAT_INTERVAL))
        while True:
            await asyncio.sleep(pause)
            try:
                told = await self._api.beat(self.server, service, instance)
                if told is None:
                    log.warning("Nacos has forgotten %s %s", service, instance.address)
                    await self._api.register(self.server, service, instance, ephemeral=True)
                pause = told or usual
            except NacosError as error:
                log.debug("beat of %s %s: %s", service, instance.address, error)
                pause = RETRY_SECONDS
            except Exception:  # a mistake in one beat must not end the instance
                log.exception("a beat of %s %s failed", service, instance.address)
                pause = RETRY_SECONDS

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server for the instances of a service."""
        return await self._api.instances(self.server, service)

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Call `push` on every change that asking finds; returns the present list."""
        listing = self._listed[service] = await self.instances(service)
        self._pushes[service] = push
        return listing

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop asking."""
        self._pushes.pop(service, None)

    async def _ask_services(self) -> None:
        """Ask about each service that somebody follows, and tell what has changed."""
        await asyncio.sleep(ASK_SECONDS)
        services = iter(list(self._pushes))
        await asyncio.gather(*(self._ask_some(services) for _ in range(AT_ONCE)))

    async def _ask_some(self, services: Iterable[ServiceKey]) -> None:
        for service in services:
            with suppress(NacosError):  # whoever follows the service asks too, and tells the error
                listing = await self.instances(service)
                push = self._pushes.get(service)
                if push is not None and listing != self._listed.get(service):
                    self._listed[service] = listing
                    push(listing)

    # Configuration.

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document; returns None if there is no such document."""
        document = await self._api.fetch(self.server, key)
        if key in self._changes and key not in self._md5s:
            self._follow(key, document.md5 if document else "")
        return document

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Call `changed` on every change.

        A document that differs already is followed from the version that `fetch` reads next.
        """
        self._changes.setdefault(key, set()).add(changed)
        differs = key in await self._differing({key: md5}, hold=False)
        if not differs and key not in self._md5s:
            self._follow(key, md5)
        return differs

    async def publish(
        self, key: DocumentKey, content: str, kind: str, cas_md5: str | None, data_key: str = ""
    ) -> None:
        """Write the document; with `cas_md5`, only over the document with that MD5."""
        if cas_md5 is not None or data_key:
            facts = await self.facts()
            refuse_old(facts, compare=cas_md5 is not None, keep_key=bool(data_key), over_http=True)
        fields = {"content": content, "type": kind}
        if data_key:
            fields["encryptedDataKey"] = data_key
        await self._api.publish(self.server, key, fields, cas_md5)

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document."""
        await self._api.remove(self.server, key)

    def _follow(self, key: DocumentKey, md5: str) -> None:
        self._md5s[key] = md5
        self._listens.set()

    async def _poll_documents(self) -> None:
        """Wait for a change of a followed document, or for another document to follow."""
        self._listens.clear()
        md5s = dict(self._md5s)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._listens.wait())]
        if md5s:
            tasks.append(asyncio.create_task(self._notice(md5s)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()

    async def _notice(self, md5s: dict[DocumentKey, str]) -> None:
        """Tell who follows the documents that have changed; `fetch` makes them followed again."""
        began = time.monotonic()
        try:
            changed = md5s.keys() & await self._differing(md5s, hold=True)
        except NacosError as error:
            log.debug("long poll: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            return
        if any(self._told.get(key) == md5s[key] for key in changed):
            await asyncio.sleep(ASK_SECONDS)  # what was read since was no other version
        for key in changed:
            self._told[key] = md5s[key]
            self._md5s.pop(key, None)
            for tell in list(self._changes.get(key, ())):
                tell()
        if not changed and time.monotonic() - began < ASK_SECONDS:
            await asyncio.sleep(ASK_SECONDS)  # nothing has held the poll

    async def _differing(self, md5s: dict[DocumentKey, str], *, hold: bool) -> set[DocumentKey]:
        """Return the documents of which the server has another version."""
        if self._long_polls:
            changed = await self._api.changed(self.server, md5s, hold=hold)
            if changed is not None:
                return set(changed)
            self._long_polls = False
        return {key for key, md5 in md5s.items() if await self._md5(key) != md5}

    async def _md5(self, key: DocumentKey) -> str:
        document = await self._api.fetch(self.server, key)
        return document.md5 if document else ""


async def for_ever(turn: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Take turns until cancelled."""
    while True:
        try:
            await turn()
        except Exception:  # a mistake in one turn must not end the loop for ever
            log.exception("a turn failed; the next follows in %g s", RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)
