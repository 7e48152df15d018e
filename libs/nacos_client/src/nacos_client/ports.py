"""What the rest of the package needs of a connection to Nacos.

Two things implement these ports: the vendor's protocol (`_sdk`) and the in-memory server of
`nacos_client.testing`. All methods run on the event loop of the Nacos thread; every call ends
before its own deadline, with an answer or a `NacosError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from failover import Instance

from nacos_client.settings import NacosSettings


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A service within the namespace of the session."""

    name: str
    group: str

    def __str__(self) -> str:
        return f"{self.group}@@{self.name}"


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """A configuration document within the namespace of the session."""

    data_id: str
    group: str

    def __str__(self) -> str:
        return f"{self.group}/{self.data_id}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What Nacos answers when asked for a service: enabled instances, healthy or not.

    Attributes:
        protected: so few are healthy that Nacos sends all as healthy (its protect threshold):
            their health is unknown.
    """

    instances: tuple[Instance, ...]
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration document as stored: text, its MD5 in hex, its type as Nacos notes it."""

    content: str
    md5: str
    type: str = "yaml"


class Connected(Protocol):
    """A connection that repairs itself; whatever it carried is lost when it breaks."""

    @property
    def connection(self) -> str | None:
        """Id of the present connection; None while there is none; a new one after each repair."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why there is no connection, in words, or None."""
        ...

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Have `poke` called whenever `connection` changes; returns the way to detach it."""
        ...


class Naming(Connected, Protocol):
    """Where an instance makes itself known. One session carries one instance of a service.

    An ephemeral instance lives as long as the connection; a persistent one until it is taken out.
    """

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance, or replace what this session published for the service."""
        ...

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out; nothing happens where it is not in."""
        ...

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server now."""
        ...

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Undo what somebody set for this instance by hand, which outlives a registration."""
        ...


class Feed(Connected, Protocol):
    """Where instances of a service are watched."""

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server now."""
        ...

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Have `push` called on every change while the connection lives; answers the list now."""
        ...

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop the pushes."""
        ...


class Documents(Connected, Protocol):
    """Where configuration documents are read, watched and written."""

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document; None: there is none."""
        ...

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Have `changed` called on every change while the connection lives.

        Returns:
            True if the server's document differs from `md5` ("" for none) already now.
        """
        ...

    async def publish(self, key: DocumentKey, content: str, kind: str, cas_md5: str | None) -> None:
        """Write the document; with `cas_md5`, only over the document with that MD5."""
        ...

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document; nothing happens where there is none."""
        ...


class Session(Naming, Feed, Documents, Protocol):
    """One connection, with all it can carry."""

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        ...

    async def close(self) -> None:
        """End the connection and its tasks; what it had registered is gone with it."""
        ...


Connect = Callable[[NacosSettings, str], Session]
"""Makes a session that is not started: settings, and a label that names it in logs."""
