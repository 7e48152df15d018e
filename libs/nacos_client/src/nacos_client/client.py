"""`Nacos`: the one object an application makes; everything else comes from its methods."""

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from failover import Instance
from pydantic import BaseModel

from nacos_client.address import LOCATE_SECONDS, locator
from nacos_client.announce import Announcement, labels
from nacos_client.canary import CanaryDocument, CanaryFollower, data_id
from nacos_client.cipher import DocumentCipher, is_encrypted
from nacos_client.discover import Discovery
from nacos_client.discoveries import Discoveries
from nacos_client.documents import kind_of
from nacos_client.errors import BadAddress, Unreachable
from nacos_client.ports import Connect, Document, DocumentKey, Revision, ServiceKey, Session
from nacos_client.runtime import Runtime
from nacos_client.server_check import ServerCheck
from nacos_client.settings import NacosSettings
from nacos_client.store import Store
from nacos_client.vendor import Vendor
from nacos_client.watch import Absent, Recipe, Watched

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
CALL_SECONDS = 5.0
CLOSE_SECONDS = 1.0


class Nacos:
    """An application's client of Nacos; `async with Nacos(settings) as nacos`.

    Making and starting a client never fails because the server is down: each part says so in its
    state, and works once the server does. A client belongs to the process that started it; a
    forked child makes its own.
    """

    def __init__(self, settings: NacosSettings, *, connect: Connect | None = None) -> None:
        self.settings = settings
        self._connect = connect or Vendor()
        self._runtime = Runtime()
        self._store = Store(settings)
        self._cipher = DocumentCipher(settings.cipher_key_file)
        self._session: Session | None = None
        self._check: ServerCheck | None = None
        self._checking: asyncio.Task[None] | None = None
        self._announcements: list[Announcement] = []
        self._watches: list[Watched[Any]] = []
        self._discoveries = Discoveries(self._runtime, self._main_session, self._store)
        self._starting = threading.Lock()

    def in_namespace(self, namespace: str) -> "Nacos":
        """Return a new client of the same servers with another namespace (its id)."""
        settings = self.settings.model_copy(update={"namespace": namespace})
        return Nacos(settings, connect=self._connect)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Start the Nacos thread and begin to connect; returns at once. May be called again."""
        self._main_session()

    async def close(self) -> None:
        """Withdraw what is announced, end the connection and the thread, within five seconds."""
        if self._runtime.running:
            watches = (watched.close() for watched in self._watches)
            withdrawals = (announcement.withdraw() for announcement in self._announcements)
            await asyncio.gather(*watches, *withdrawals, return_exceptions=True)
            await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """End the connection and the thread, from code without an event loop; withdraw before."""
        if self._runtime.running:
            with suppress(TimeoutError):
                self._runtime.submit(self._shut()).result(CLOSE_SECONDS)
            self._runtime.stop()
            self._session = None

    async def _open(self) -> Session:
        session = self._connect(self.settings, "main")
        self._check = ServerCheck(session)
        session.start()
        self._checking = asyncio.create_task(self._check.run(), name="server check")
        return session

    async def _shut(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        self._discoveries.clear()
        await asyncio.gather(*(announcement.abandon() for announcement in self._announcements))
        if self._session is not None:
            await self._session.close()

    def _main_session(self) -> Session:
        """Return the main session; the first caller starts it, and other threads wait for that."""
        with self._starting:
            if self._session is None or not self._runtime.running:
                self._runtime.start()
                self._session = self._runtime.submit(self._open()).result(CALL_SECONDS)
            return self._session

    def announcement(
        self,
        service: str,
        *,
        port: int,
        host: str | None = None,
        metadata: Mapping[str, str] | None = None,
        weight: float | None = None,
        group: str | None = None,
        cluster: str | None = None,
        ephemeral: bool = True,
        shared: bool = False,
        blocked_limit: float = 10.0,
    ) -> Announcement:
        """Prepare to announce one instance; nothing is sent before its `announce()`.

        Args:
            service: name of the service, or `GROUP@@service`; callers in Java need a valid host
                name: no `_`.
            port: TCP port that listens.
            host: address at which it listens; default: the settings'.
            metadata: labels of the instance; `preserved.register.source` is added.
            weight: share of traffic; default: the settings'.
            group: default: the settings'.
            cluster: default: the settings'.
            ephemeral: False keeps the instance in Nacos until it is withdrawn; all instances of a
                service are of the same kind.
            shared: other processes announce the same address, as the workers of one port do; the
                instance stays in Nacos until the last of them has withdrawn.
            blocked_limit: seconds that the application's event loop may stand still before the
                instance takes itself out.
        """
        settings = self.settings
        if host is not None:
            settings = settings.model_copy(update={"host": host})
        key = self._service(service, group)
        announcement = Announcement(
            self._runtime,
            lambda: self._connect(self.settings, f"{service}:{port}"),
            key,
            Instance(
                ip="",
                port=port,
                weight=self.settings.service_weight if weight is None else weight,
                cluster=cluster or self.settings.cluster,
                metadata=labels(metadata or {}),
            ),
            lambda: locator(settings),
            blocked_limit=blocked_limit,
            ephemeral=ephemeral,
            shared=shared,
            canary=self._canary(key),
        )
        self._announcements.append(announcement)
        return announcement

    def _canary(self, service: ServiceKey) -> CanaryFollower | None:
        """Return what decides whether an instance is a canary, if the settings want that."""
        started_as = self.settings.canary
        if started_as is None:
            return None
        return CanaryFollower(
            self.watch(data_id(service.name), CanaryDocument, group=service.group),
            self.discover(service.name, group=service.group),
            started_as=started_as,
        )

    @overload
    def watch(
        self,
        data_id: str,
        model: type[M],
        *,
        build: None = None,
        check: Callable[[M], object] | None = None,
        group: str | None = None,
        shared: Sequence[str] = (),
        profile: str | None = None,
        absent: Absent = "default",
    ) -> Watched[M]: ...

    @overload
    def watch(
        self,
        data_id: str,
        model: type[M],
        *,
        build: Callable[[M], Awaitable[T]],
        check: Callable[[T], object] | None = None,
        group: str | None = None,
        shared: Sequence[str] = (),
        profile: str | None = None,
        absent: Absent = "default",
    ) -> Watched[T]: ...

    @overload
    def watch(
        self,
        data_id: str,
        model: type[M],
        *,
        build: Callable[[M], T],
        check: Callable[[T], object] | None = None,
        group: str | None = None,
        shared: Sequence[str] = (),
        profile: str | None = None,
        absent: Absent = "default",
    ) -> Watched[T]: ...

    def watch(
        self,
        data_id: str,
        model: type[BaseModel],
        *,
        build: Callable[[Any], Any] | None = None,
        check: Callable[[Any], object] | None = None,
        group: str | None = None,
        shared: Sequence[str] = (),
        profile: str | None = None,
        absent: Absent = "default",
    ) -> Watched[Any]:
        """Watch a configuration document; `await start()` puts the first value in force.

        Documents are layered as in Spring Cloud, a later one over an earlier one: those of
        `shared`, then `data_id`, then that of the profile (`gateway.yaml` with the profile `prod`
        is `gateway-prod.yaml`).

        Args:
            data_id: the document; its type is that of this name's ending, else the type that Nacos
                notes, else YAML.
            model: the pydantic model of a good document; validation is strict, and unknown keys are
                refused.
            build: makes the value from the model, and raises to keep the document out. A plain
                function runs in a worker thread; default: the model is the value.
            check: raises if the built value must not be put in force.
            group: default: the settings'.
            shared: data ids of weaker documents, the weakest first.
            profile: name of the variant whose document is the strongest.
            absent: the value while there is no document (any more): the model's defaults, or the
                last good document's.
        """
        stem, dot, ending = data_id.rpartition(".")
        top = [f"{stem}-{profile}.{ending}" if dot else f"{data_id}-{profile}"] if profile else []
        keys = [self._key(name, group) for name in (*shared, data_id, *top)]
        recipe = Recipe(model, build, check, absent)
        watched: Watched[Any] = Watched(
            self._runtime,
            self._main_session(),
            keys,
            self._store,
            recipe,
            cipher=self._cipher,
        )
        self._watches.append(watched)
        return watched

    async def own_ip(self) -> str:
        """Return the IP literal under which this client announces; waits until one is known."""
        locate = locator(self.settings)
        while True:
            with suppress(BadAddress, Unreachable):
                return await asyncio.to_thread(locate)
            await asyncio.sleep(LOCATE_SECONDS)

    def discover(self, service: str, *, group: str | None = None) -> Discovery:
        """Follow the instances of a service; returns the same object for the same service.

        Args:
            service: name of the service, or `GROUP@@service`.
            group: default: the name's, else the settings'.

        Raises:
            ValueError: `service` names another group than `group`, or no service.
        """
        return self._discoveries.follow(self._service(service, group))

    def forget(self, service: str, *, group: str | None = None) -> None:
        """Stop following a service; the last snapshot of its discovery stays readable."""
        self._discoveries.forget(self._service(service, group))

    async def fetch(self, data_id: str, *, group: str | None = None) -> Document | None:
        """Read a document once, decrypted; returns None if there is no such document.

        Raises:
            BadDocument: the document could not be decrypted.
            NacosError: the document could not be read.
        """
        work = self._main_session().fetch(self._key(data_id, group))
        document = await self._runtime.run(work, CALL_SECONDS)
        return None if document is None else await self._decrypted(data_id, document)

    async def publish(
        self,
        data_id: str,
        content: str,
        *,
        group: str | None = None,
        cas_md5: str | None = None,
    ) -> None:
        """Write a document; with `cas_md5` only over a document with that MD5 (compare and set).

        The text of a data id that begins with `cipher-aes-` is encrypted first.

        Raises:
            BadDocument: the document could not be encrypted.
            Conflict: the document has another MD5 than `cas_md5`.
            NacosError: the document could not be written.
        """
        key, kind, data_key = self._key(data_id, group), kind_of(data_id), ""
        if is_encrypted(data_id):
            content, data_key = await asyncio.to_thread(self._cipher.encrypted, data_id, content)
        work = self._main_session().publish(key, content, kind, cas_md5, data_key)
        await self._runtime.run(work, CALL_SECONDS)

    async def remove(self, data_id: str, *, group: str | None = None) -> None:
        """Delete a document.

        Raises:
            NacosError: the document could not be deleted.
        """
        await self._runtime.run(
            self._main_session().remove(self._key(data_id, group)), CALL_SECONDS
        )

    async def history(self, data_id: str, *, group: str | None = None) -> tuple[Revision, ...]:
        """List the newest hundred changes of a document, the last one first.

        Raises:
            NacosError: the history could not be read.
        """
        work = self._main_session().history(self._key(data_id, group))
        return await self._runtime.run(work, CALL_SECONDS)

    async def text_of(self, data_id: str, number: int, *, group: str | None = None) -> str:
        """Read the text that an entry of a document's history keeps, decrypted.

        Raises:
            BadDocument: the text could not be decrypted.
            NacosError: the text could not be read.
        """
        work = self._main_session().entry(self._key(data_id, group), number)
        document = await self._runtime.run(work, CALL_SECONDS)
        return (await self._decrypted(data_id, document)).content

    async def _decrypted(self, data_id: str, document: Document) -> Document:
        if not is_encrypted(data_id):
            return document
        return await asyncio.to_thread(self._cipher.decrypted, data_id, document)

    def _service(self, name: str, group: str | None) -> ServiceKey:
        return ServiceKey.read(name, group, self.settings.group)

    def _key(self, data_id: str, group: str | None) -> DocumentKey:
        return DocumentKey(data_id, group or self.settings.group)

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The state of each part by its name, in plain values, for a readiness answer and metrics.

        Every state has `ok`. While Nacos is away only `nacos` and the announcements are not `ok`:
        cached instances and configuration go on working. Its `transport` says whether gRPC is
        used, or HTTP alone and why. If several parts have the same name, the later names carry the
        group (and port) too. A withdrawn announcement is not shown.
        """
        session, check = self._session, self._check
        trouble = session.trouble if session else "not started"
        facts = check.facts if check else None
        if trouble is None and check is not None:
            trouble = check.trouble
        main = {
            "ok": trouble is None,
            "connection": session.connection if session else None,
            "transport": session.transport if session else None,
            "server": facts.address if facts else None,
            "version": facts.version if facts else None,
            "dialect": facts.dialect if facts else None,
            "namespace": check.namespace if check else None,
            "trouble": trouble,
            "disk": self._store.trouble,
        }
        announced = [a for a in self._announcements if not a.withdrawn]
        watched, followed = list(self._watches), list(self._discoveries)
        return {"nacos": main} | _named(
            *((f"announcement {a.service.name}", a.place, a.plain_state) for a in announced),
            *((f"config {w.keys[-1].data_id}", w.keys[-1].group, w.plain_state) for w in watched),
            *((f"discovery {d.service.name}", d.service.group, d.plain_state) for d in followed),
        )


def _named(*parts: tuple[str, str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name each state: the given name, else with its distinction, else with a number as well."""
    states: dict[str, dict[str, Any]] = {}
    for name, apart, state in parts:
        numbered = (f"{name} {apart} {number}" for number in itertools.count(2))
        names = itertools.chain((name, f"{name} {apart}"), numbered)
        states[next(free for free in names if free not in states)] = state
    return states
