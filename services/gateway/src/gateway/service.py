"""One Nacos service as the data path sees it: its pool, its connections, who waits for a place.

And the port to discovery: `Directory`. The data path only reads; nothing here calls Nacos.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from failover import Balancer, Declared, EjectionPolicy, Instance, Member

from gateway.keepalive import Upstream

NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
"""What the name of a service may be: a pattern."""
MAX_QUEUE = 64
QUEUE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gateway grants one instance or connection; seconds.

    Attributes:
        max_in_flight: requests one instance may have under way.
        connect: time to open a connection.
        upstream_idle: time after which an idle connection to an instance is not used again.
        cluster: Nacos cluster of this gateway.
    """

    max_in_flight: int = 1024
    connect: float = 0.5
    upstream_idle: float = 4.0
    cluster: str = "DEFAULT"


class Waiting(Protocol):
    """A request that waits for an instance to have room."""

    def wake(self) -> None:
        """Try again now."""


class Service:
    """A service: instances, connections, queue, counters."""

    __slots__ = (
        "_limits",
        "balancer",
        "declared",
        "expected",
        "known",
        "name",
        "prefix",
        "queue",
        "upstreams",
    )  # fmt: skip

    def __init__(self, name: str, limits: Limits, ejection: EjectionPolicy | None = None) -> None:
        self.name = name
        self.prefix = b"/" + name.encode()
        """What leads to it by name."""
        self.known = False
        """True once discovery has answered for it, in this life or from its snapshot."""
        self.expected = False
        """A route names it, or it had an instance before: without one, it is down, not absent."""
        self.balancer = Balancer(
            cluster=limits.cluster, max_in_flight=limits.max_in_flight, ejection=ejection
        )
        self.upstreams: dict[Member, Upstream] = {}
        self.queue: deque[Waiting] = deque()
        self._limits = limits
        self.declared = Declared()
        """What its owner says of its requests."""

    def sync(self, instances: Iterable[Instance], now: float) -> list[str]:
        """Take over what discovery says, let the queue try again; return who is gone."""
        gone = self.balancer.sync(instances, now)
        members = self.balancer.members.values()
        before, self.upstreams = self.upstreams, {}
        for member in members:
            upstream = before.pop(member, None)
            if upstream is None:
                upstream = Upstream(
                    member.instance,
                    connect=self._limits.connect,
                    max_idle=self._limits.upstream_idle,
                )
            self.upstreams[member] = upstream
        for left in before.values():
            left.close()
        self.declared = Declared(member.instance.metadata for member in members)
        self.known = True
        self.expected = self.expected or bool(members)
        waiting, self.queue = self.queue, deque()
        for one in waiting:
            one.wake()
        return [member.instance.address for member in gone]

    @property
    def absent(self) -> bool:
        """Nacos knows no such service."""
        return self.known and not self.expected and not self.balancer.members

    @property
    def stray(self) -> bool:
        """Nothing speaks for its existence: not a route, not an instance, not a request that waits.

        While Nacos is silent this is all that is known of a name that a stranger made up.
        """
        return not (self.expected or self.balancer.members or self.queue)

    @property
    def has_room(self) -> bool:
        """Another request may wait."""
        return len(self.queue) < MAX_QUEUE

    def upstream(self, member: Member | None) -> Upstream | None:
        """The connections of a member; None if it is gone."""
        return None if member is None else self.upstreams.get(member)

    def prune(self, now: float) -> None:
        """Close connections that were idle for too long."""
        for upstream in self.upstreams.values():
            upstream.prune(now)

    def leave(self, waiting: Waiting) -> None:
        """Take a request out of the queue, if it is still there."""
        with suppress(ValueError):
            self.queue.remove(waiting)

    def released(self) -> None:
        """Let the request that has waited longest try, now that an attempt has ended.

        If it may not have what is free now, it waits on or is refused, and the next one tries.
        """
        untold = len(self.queue)
        while untold and self.queue:
            before = self._in_flight()
            self.queue.popleft().wake()
            untold = untold - 1 if self._in_flight() <= before else 0

    def _in_flight(self) -> int:
        return sum([member.in_flight for member in self.balancer.members.values()])


class Directory(Protocol):
    """Where services are found; a read, never a wait."""

    def find(self, name: str, now: float) -> Service | None:
        """The service, None if there can be none of this name.

        One that was not asked for before is looked up; until then its `known` is False.
        """

    def prune(self, now: float) -> None:
        """Close idle connections, forget services nobody asks for; called every second."""


class StaticDirectory:
    """A directory of fixed services, for tests and for a gateway without Nacos."""

    def __init__(
        self, services: Mapping[str, Iterable[Instance]], limits: Limits, clock: Callable[[], float]
    ) -> None:
        self.services: dict[str, Service] = {}
        for name, instances in services.items():
            self.services[name] = Service(name, limits)
            self.services[name].sync(instances, clock())

    def find(self, name: str, now: float) -> Service | None:  # noqa: ARG002 - the port's signature
        """Look the service up."""
        return self.services.get(name)

    def prune(self, now: float) -> None:
        """Close idle connections."""
        for service in self.services.values():
            service.prune(now)
