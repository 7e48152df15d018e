"""An in-memory Nacos for tests: `FakeNacos().client()` is a `Nacos` that needs no server.

It passes the contract suite that the real server passes. A test can make it do what a real server
does on bad days: stop, forget registrations, lose notices.
"""

import asyncio
import hashlib
import itertools
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from failover import Instance

from nacos_client.client import Nacos
from nacos_client.errors import Conflict, Refused, Unreachable
from nacos_client.ports import (
    Document,
    DocumentKey,
    Listing,
    Revision,
    ServerFacts,
    ServiceKey,
)
from nacos_client.settings import NacosSettings

Place = tuple[str, Any]
"""A namespace, and the key of a service or document in it."""


@dataclass(slots=True)
class Carried:
    """The registrations, subscriptions and listeners of one connection; they end with it."""

    registered: dict[Place, Instance] = field(default_factory=dict)
    subscribed: dict[Place, Callable[[], None]] = field(default_factory=dict)
    listening: dict[Place, dict[Any, Callable[[], None]]] = field(default_factory=dict)


class FakeNacos:
    """A Nacos server in memory. Its methods may be called from any thread.

    Attributes:
        cache_dir: folder on disk that its clients share, if their settings name none.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._carried: dict[str, Carried] = {}
        self._sessions: set[FakeSession] = set()
        self._static: dict[Place, dict[str, Instance]] = {}
        self._overrides: dict[tuple[Place, str], dict[str, Any]] = {}
        self._thresholds: dict[Place, float] = {}
        self._documents: dict[Place, Document] = {}
        self._history: dict[Place, list[tuple[Revision, Document]]] = {}
        self._running = True
        self.cache_dir = Path(tempfile.mkdtemp(prefix="fake-nacos-"))
        weakref.finalize(self, shutil.rmtree, self.cache_dir, ignore_errors=True)

    def client(self, settings: NacosSettings | None = None) -> Nacos:
        """Make a client of this server; the clients of one fake share a disk cache."""
        given = settings or NacosSettings()
        cache = given.cache_dir or self.cache_dir
        return Nacos(given.model_copy(update={"cache_dir": cache}), connect=self.connect)

    def connect(self, settings: NacosSettings, label: str) -> "FakeSession":
        """Make a session; pass this method as `Nacos(settings, connect=fake.connect)`."""
        return FakeSession(self, settings.namespace, label)

    def stop(self) -> None:
        """Go down: connections break, registrations are lost, documents stay."""
        with self._lock:
            self._running = False
            self._carried.clear()
        self._tell_sessions()

    def start(self) -> None:
        """Come back after `stop`; sessions connect again."""
        with self._lock:
            self._running = True
        self._tell_sessions()

    def forget(self) -> None:
        """Lose every registration and subscription while the connections seem to live."""
        with self._lock:
            for carried in self._carried.values():
                carried.registered.clear()
                carried.subscribed.clear()
                carried.listening.clear()

    def instances(
        self, service: str, *, group: str = "DEFAULT_GROUP", namespace: str = "public"
    ) -> tuple[Instance, ...]:
        """List every instance, disabled ones too."""
        with self._lock:
            return self._all((namespace, ServiceKey(service, group)))

    def put_instance(
        self,
        service: str,
        instance: Instance,
        *,
        group: str = "DEFAULT_GROUP",
        namespace: str = "public",
    ) -> None:
        """Add or replace an instance that some other process announced."""
        place = (namespace, ServiceKey(service, group))
        self.persist(place, instance)
        self.push(place)

    def remove_instance(
        self,
        service: str,
        address: str,
        *,
        group: str = "DEFAULT_GROUP",
        namespace: str = "public",
    ) -> None:
        """Take out an instance that was put in."""
        place = (namespace, ServiceKey(service, group))
        self.drop(place, address)
        self.push(place)

    def override(
        self,
        service: str,
        address: str,
        *,
        group: str = "DEFAULT_GROUP",
        namespace: str = "public",
        **fields: Any,
    ) -> None:
        """Change fields of an instance by hand, as in the console; it outlives registrations."""
        place = (namespace, ServiceKey(service, group))
        with self._lock:
            self._overrides[place, address] = fields
        self.push(place)

    def protect(
        self,
        service: str,
        threshold: float,
        *,
        group: str = "DEFAULT_GROUP",
        namespace: str = "public",
    ) -> None:
        """Set a protect threshold: at this share of healthy instances all count as healthy."""
        place = (namespace, ServiceKey(service, group))
        with self._lock:
            self._thresholds[place] = threshold
        self.push(place)

    def publish(
        self,
        data_id: str,
        content: str,
        *,
        group: str = "DEFAULT_GROUP",
        namespace: str = "public",
        kind: str = "yaml",
        data_key: str = "",
    ) -> None:
        """Write a document, as in the console; `data_key` is the key of an encrypted one."""
        self.write((namespace, DocumentKey(data_id, group)), document_of(content, kind, data_key))

    def stored(
        self, data_id: str, *, group: str = "DEFAULT_GROUP", namespace: str = "public"
    ) -> Document | None:
        """Read a document as it is stored, as in the console; None if there is none."""
        return self.document((namespace, DocumentKey(data_id, group)))

    def remove(
        self, data_id: str, *, group: str = "DEFAULT_GROUP", namespace: str = "public"
    ) -> None:
        """Delete a document, as in the console."""
        self.write((namespace, DocumentKey(data_id, group)), None)

    def subscriptions(
        self, service: str, *, group: str = "DEFAULT_GROUP", namespace: str = "public"
    ) -> int:
        """Count the connections on which changes of a service are pushed."""
        place = (namespace, ServiceKey(service, group))
        with self._lock:
            return sum(place in carried.subscribed for carried in self._carried.values())

    # The rest is for sessions.

    def open(self, session: "FakeSession") -> str | None:
        """Open a connection for a session and return its id; None while the server is down."""
        with self._lock:
            self._sessions.add(session)
            if not self._running:
                return None
            connection = f"fake-{next(self._numbers)}"
            self._carried[connection] = Carried()
            return connection

    def close(self, session: "FakeSession") -> None:
        """Forget a session and what it carried."""
        with self._lock:
            self._sessions.discard(session)
            carried = self._carried.pop(session.connection or "", Carried())
        for place in carried.registered:
            self.push(place)

    def carried(self, connection: str | None) -> Carried:
        """Return what a connection carries.

        Raises:
            Unreachable: there is no such connection (any more).
        """
        with self._lock:
            if connection not in self._carried:
                raise Unreachable("the fake server is down")
            return self._carried[connection]

    def persist(self, place: Place, instance: Instance) -> None:
        """Add or replace an instance that no connection carries."""
        with self._lock:
            self._static.setdefault(place, {})[instance.address] = instance

    def drop(self, place: Place, address: str) -> None:
        """Take out an instance that no connection carries."""
        with self._lock:
            self._static.get(place, {}).pop(address, None)

    def document(self, place: Place) -> Document | None:
        """Read a document."""
        with self._lock:
            return self._documents.get(place)

    def history(self, place: Place) -> list[tuple[Revision, Document]]:
        """Return the changes of a document and what they keep, the last change first."""
        with self._lock:
            return list(self._history.get(place, ()))

    def write(self, place: Place, document: Document | None) -> None:
        """Write or delete a document and call its listeners."""
        with self._lock:
            before = self._documents.pop(place, None)
            if document is not None:
                self._documents[place] = document
            if kept := before or document:
                change = "inserted" if before is None else "updated" if document else "deleted"
                entry = Revision(next(self._numbers), time.time(), change, "", "127.0.0.1")
                self._history.setdefault(place, []).insert(0, (entry, kept))
            calls = [
                call
                for carried in self._carried.values()
                for call in carried.listening.get(place, {}).values()
            ]
        for call in calls:
            call()

    def listing(self, place: Place) -> Listing:
        """Return the list for callers: enabled instances, all as healthy if too few are."""
        with self._lock:
            enabled = tuple(i for i in self._all(place) if i.enabled)
            healthy = sum(i.healthy for i in enabled)
            if enabled and healthy <= self._thresholds.get(place, 0.0) * len(enabled):
                return Listing(tuple(replace(i, healthy=True) for i in enabled), protected=True)
            return Listing(enabled)

    def push(self, place: Place) -> None:
        """Call the subscribers of a service."""
        with self._lock:
            calls = [c.subscribed[place] for c in self._carried.values() if place in c.subscribed]
        for call in calls:
            call()

    def lift(self, place: Place, address: str) -> None:
        """Undo what was changed by hand at an instance."""
        with self._lock:
            self._overrides.pop((place, address), None)

    def _all(self, place: Place) -> tuple[Instance, ...]:
        """List each entry once; several connections may carry one address, with equal entries."""
        carried = [c.registered[place] for c in self._carried.values() if place in c.registered]
        addresses = {instance.address for instance in carried}
        put = (i for i in self._static.get(place, {}).values() if i.address not in addresses)
        found = dict.fromkeys(
            replace(instance, **self._overrides.get((place, instance.address), {}))
            for instance in (*put, *carried)
        )
        return tuple(sorted(found, key=lambda instance: instance.address))

    def _tell_sessions(self) -> None:
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.reconnect()


class FakeSession:
    """A session with the server in memory; made by `FakeNacos.connect`."""

    def __init__(self, server: FakeNacos, namespace: str, label: str) -> None:
        self.label = label
        self.connection: str | None = None
        self.trouble: str | None = "not connected yet"
        self.transport = "memory"
        self._server = server
        self._namespace = namespace
        self._pokes: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def server(self) -> ServerFacts:
        """Tell what the server in memory is."""
        self._server.carried(self.connection)
        return ServerFacts("memory", "", "none")

    async def namespace_trouble(self) -> str | None:
        """Find nothing wrong: here a namespace exists as soon as it is named."""
        self._server.carried(self.connection)
        return None

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._connect()

    async def close(self) -> None:
        """End the connection; what it had registered is gone with it."""
        self._server.close(self)
        self.connection = None

    def reconnect(self) -> None:
        """Connect again on the session's own loop, for the server has stopped or started."""
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
        """Call `poke` whenever `connection` changes."""
        self._pokes.append(poke)
        return lambda: self._pokes.remove(poke)

    def _place(self, key: ServiceKey | DocumentKey) -> Place:
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
        """Ask the server for the instances of a service."""
        self._server.carried(self.connection)
        return self._server.listing(self._place(service))

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Call `push` on every change while the connection lasts."""
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
        """Call `changed` on every change while the connection lasts."""
        place = self._place(key)
        self._server.carried(self.connection).listening.setdefault(place, {})[changed] = partial(
            self._soon, changed
        )
        document = self._server.document(place)
        return (document.md5 if document else "") != md5

    async def publish(
        self, key: DocumentKey, content: str, kind: str, cas_md5: str | None, data_key: str = ""
    ) -> None:
        """Write the document."""
        self._server.carried(self.connection)
        place = self._place(key)
        present = self._server.document(place)
        if cas_md5 is not None and (present is None or present.md5 != cas_md5):
            raise Conflict(f"{key} is no longer the document with MD5 {cas_md5}")
        self._server.write(place, document_of(content, kind, data_key))

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document."""
        self._server.carried(self.connection)
        self._server.write(self._place(key), None)

    async def history(self, key: DocumentKey) -> tuple[Revision, ...]:
        """List the changes of the document."""
        self._server.carried(self.connection)
        return tuple(entry for entry, _ in self._server.history(self._place(key)))

    async def entry(self, key: DocumentKey, number: int) -> Document:
        """Read the document that an entry of its history keeps."""
        self._server.carried(self.connection)
        for entry, kept in self._server.history(self._place(key)):
            if entry.number == number:
                return kept
        raise Refused(f"history of {key}: no such entry")


def document_of(content: str, kind: str, data_key: str = "") -> Document:
    """Make a document as the server would store it."""
    md5 = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    return Document(content, md5, kind, data_key)
