"""What a client of `nacos_client.testing.FakeNacos` holds: a session with a server in memory."""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from failover import Instance

from nacos_client.errors import Conflict
from nacos_client.ports import Document, DocumentKey, Listing, ServiceKey

if TYPE_CHECKING:
    from nacos_client.testing import FakeNacos, Place


class FakeSession:
    """Implements `nacos_client.ports.Session`; made by `FakeNacos.connect`."""

    def __init__(self, server: "FakeNacos", namespace: str, label: str) -> None:
        self.label = label
        self.connection: str | None = None
        self.trouble: str | None = "not connected yet"
        self._server = server
        self._namespace = namespace
        self._pokes: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._connect()

    async def close(self) -> None:
        """End the connection; what it had registered is gone with it."""
        self._server.close(self)
        self.connection = None

    def reconnect(self) -> None:
        """Notice, on the session's own loop, that the server went or came."""
        self._soon(self._connect)

    def _connect(self) -> None:
        self.connection = self._server.open(self)
        self.trouble = None if self.connection else "the fake server is down"
        for poke in list(self._pokes):
            poke()

    def _soon(self, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Have `poke` called whenever `connection` changes."""
        self._pokes.append(poke)
        return lambda: self._pokes.remove(poke)

    def _place(self, key: ServiceKey | DocumentKey) -> "Place":
        return self._namespace, key

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance."""
        place = self._place(service)
        carried = self._server.carried(self.connection)
        if ephemeral:
            carried.registered[place] = instance
        else:
            self._server.persist(place, instance)
        self._server.push(place)

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out."""
        place = self._place(service)
        registered = self._server.carried(self.connection).registered
        if not ephemeral:
            self._server.drop(place, instance.address)
        if place in registered and registered[place].address == instance.address:
            del registered[place]
        self._server.push(place)

    async def override(
        self,
        service: ServiceKey,
        instance: Instance,
        *,
        ephemeral: bool = True,  # noqa: ARG002  (the fake finds an instance by its address)
    ) -> None:
        """Undo what somebody set for this instance by hand."""
        self._server.carried(self.connection)
        self._server.lift(self._place(service), instance.address)

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server now."""
        self._server.carried(self.connection)
        return self._server.listing(self._place(service))

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Have `push` called on every change while the connection lives."""
        place = self._place(service)

        def tell() -> None:
            listing = self._server.listing(place)
            self._soon(lambda: push(listing))

        self._server.carried(self.connection).subscribed[place] = tell
        return self._server.listing(place)

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop the pushes."""
        self._server.carried(self.connection).subscribed.pop(self._place(service), None)

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document."""
        self._server.carried(self.connection)
        return self._server.document(self._place(key))

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Have `changed` called on every change while the connection lives."""
        place = self._place(key)
        self._server.carried(self.connection).listening.setdefault(place, {})[changed] = partial(
            self._soon, changed
        )
        document = self._server.document(place)
        return (document.md5 if document else "") != md5

    async def publish(self, key: DocumentKey, content: str, kind: str, cas_md5: str | None) -> None:
        """Write the document."""
        self._server.carried(self.connection)
        place = self._place(key)
        present = self._server.document(place)
        if cas_md5 is not None and (present is None or present.md5 != cas_md5):
            raise Conflict(f"{key} is no longer the document with MD5 {cas_md5}")
        self._server.write(place, document_of(content, kind))

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document."""
        self._server.carried(self.connection)
        self._server.write(self._place(key), None)


def document_of(content: str, kind: str) -> Document:
    """Make a document as the server would store it."""
    return Document(content, hashlib.md5(content.encode(), usedforsecurity=False).hexdigest(), kind)
