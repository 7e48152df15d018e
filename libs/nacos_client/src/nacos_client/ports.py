"""The ports through which the rest of the package uses a connection to Nacos.

Two classes implement these ports: the vendor's protocol (`_sdk`, by gRPC or over HTTP alone) and
the in-memory server of `nacos_client.testing`. All methods run on the event loop of the Nacos
thread; every call ends before its own deadline, with an answer or a `NacosError`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from failover import Instance

from nacos_client.settings import NacosSettings

GROUP_END = "@@"
"""Stands between a service's group and its name, where both are one text."""


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A service within the namespace of the session."""

    name: str
    group: str

    @classmethod
    def read(cls, name: str, group: str | None, usual: str) -> "ServiceKey":
        """Read `service` or `GROUP@@service`, as Nacos itself writes a service with its group.

        Args:
            name: with or without its group.
            group: the group that the caller names beside; None for no group.
            usual: the group where neither names one.

        Raises:
            ValueError: the name has no such form, or `group` is another group than its own.
        """
        own, end, service = name.rpartition(GROUP_END)
        if not service or (end and not own) or GROUP_END in own:
            raise ValueError(f"{name!r} names no service: write service or GROUP@@service")
        if own and group and own != group:
            raise ValueError(f"{name!r} is not in the group {group!r} that is named beside it")
        return cls(service, own or group or usual)

    def __str__(self) -> str:
        return f"{self.group}{GROUP_END}{self.name}"


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """A configuration document within the namespace of the session."""

    data_id: str
    group: str

    def __str__(self) -> str:
        return f"{self.group}/{self.data_id}"


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of Nacos about a service: its enabled instances, healthy or not.

    Attributes:
        protected: so few instances are healthy that Nacos sends all as healthy (its protect
            threshold): their health is unknown.
    """

    instances: tuple[Instance, ...]
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration document as Nacos gives it to this client.

    Attributes:
        content: its text; encrypted as it is stored, where it is.
        md5: of the text as it is stored, in hexadecimal.
        type: as Nacos notes it.
        data_key: the key of an encrypted document, as Nacos keeps it beside the text; "" for none.
        tried: "beta" or "tag", if Nacos gives this document to some clients only, for a trial.
    """

    content: str
    md5: str
    type: str = "yaml"
    data_key: str = field(default="", repr=False)
    tried: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """An entry of a document's history.

    Attributes:
        number: names the entry; later entries have higher numbers.
        at: Unix seconds.
        change: `inserted`, `updated` or `deleted`. The entry keeps the text that was inserted, or
            the one that was there before the update or deletion.
        user: who made the change, "" if that is not known.
        ip: from where.
    """

    number: int
    at: float
    change: str
    user: str
    ip: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server, as it says what it is.

    Attributes:
        address: `host:port` of its HTTP API.
        version: as the server spells it; "" if it does not tell us.
        dialect: of its HTTP API, `v3` since 3.0, `v1` before.
    """

    address: str
    version: str
    dialect: str


class Connected(Protocol):
    """A connection that repairs itself; what it carried is lost when it breaks.

    Over HTTP alone, a connection is the time in which a server is used so; pushes come by asking.
    """

    @property
    def connection(self) -> str | None:
        """Id of the present connection, another after each repair; None while not connected."""
        ...

    @property
    def trouble(self) -> str | None:
        """The reason why there is no connection, in words, or None."""
        ...

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Call `poke` whenever `connection` changes; returns a function that ends that."""
        ...


class Naming(Connected, Protocol):
    """The port for announcing an instance. One session carries one instance of a service.

    An ephemeral instance lasts as long as the connection, a persistent one until it is taken out.
    """

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance, or replace what this session published for the service."""
        ...

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out; nothing happens if Nacos does not have it."""
        ...

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server for the instances of a service."""
        ...

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Undo what somebody set by hand for this instance, which outlives its registrations."""
        ...


class Feed(Connected, Protocol):
    """The port for following the instances of services."""

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server for the instances of a service."""
        ...

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Call `push` on every change while the connection lasts; returns the present list."""
        ...

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop the pushes."""
        ...


class Documents(Connected, Protocol):
    """The port for reading, watching and writing configuration documents."""

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document; returns None if there is no such document."""
        ...

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Call `changed` on every change while the connection lasts.

        Returns:
            True if the server's document differs from `md5` ("" for no document) already now.
        """
        ...

    async def publish(
        self, key: DocumentKey, content: str, kind: str, cas_md5: str | None, data_key: str = ""
    ) -> None:
        """Write the document; with `cas_md5`, only over the document with that MD5.

        `data_key` is the key of an encrypted document, to be kept beside the text.
        """
        ...

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document; nothing happens if there is no such document."""
        ...

    async def history(self, key: DocumentKey) -> tuple[Revision, ...]:
        """List the newest hundred changes of the document, the last one first."""
        ...

    async def entry(self, key: DocumentKey, number: int) -> Document:
        """Read the document that an entry of its history keeps."""
        ...


class Served(Connected, Protocol):
    """The port for knowing the server of the connection, the way to it, and the place there."""

    @property
    def transport(self) -> str:
        """The transport in use, in words; where it is HTTP alone, with the reason for that."""
        ...

    async def server(self) -> ServerFacts:
        """Ask the connected server what it is, unless it has said so on this connection."""
        ...

    async def namespace_trouble(self) -> str | None:
        """Say what is wrong with the session's namespace, or None.

        Raises:
            Refused: the server does not tell this user.
        """
        ...


class Session(Naming, Feed, Documents, Served, Protocol):
    """One connection, with all four ports."""

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        ...

    async def close(self) -> None:
        """End the connection and its tasks; what it had registered is gone with it."""
        ...


Connect = Callable[[NacosSettings, str], Session]
"""A function that makes a session, not started, from settings and a label for the log."""
