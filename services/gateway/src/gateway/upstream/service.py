"""One Nacos service as the data path sees it: instances, connections, requests that wait.

The data path only reads; nothing here calls Nacos.
"""

import re
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from failover import Balancer, Declared, EjectionPolicy, Hedging, Instance, Member
from nacos_client import InstanceTls
from nacos_client.ports import ServiceKey

from gateway.http.turn import Turn
from gateway.upstream.namespaces import divided
from gateway.upstream.pool import ConnectionPool

NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
"""The pattern of a service's name."""
_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]{1,64}){1,8}")
MAX_QUEUE: Final = 64
"""Requests of one service that may wait for an instance to have room."""
QUEUE_SECONDS: Final = 1.0
"""Seconds for which a request may wait."""
TIMEOUT: Final = 15.0
"""Seconds until the response head, of a service that names no limit of its own."""
GRACE: Final = 1.0
"""Seconds beyond its own limit in which a service's answer that the limit is over arrives."""
UPGRADE: Final = "gateway.upgrade"
"""Metadata: `websocket` lets calls by name become WebSockets."""
CONTEXT_PATH: Final = "context-path"
"""Metadata: Spring's `server.servlet.context-path`, where a provider tells it."""
PER_TRY: Final = 5.0
"""Seconds until an attempt at such a service is given up for another."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """The limits of one service's instances and connections; times in seconds.

    Attributes:
        max_in_flight: requests one instance may have under way.
        connect: time to open a connection.
        upstream_idle: time after which an idle connection to an instance is not used again.
        cluster: Nacos cluster of this gateway.
        tls: the trust in instances that listen for TLS.
    """

    max_in_flight: int = 1024
    connect: float = 0.5
    upstream_idle: float = 4.0
    cluster: str = "DEFAULT"
    tls: InstanceTls = field(default_factory=InstanceTls)


class QueuedRequest(Protocol):
    """A request that waits for an instance to have room, or for discovery to answer."""

    __slots__ = ()

    def wake(self) -> None:
        """Try again now."""


class Service:
    """A service: its balancer, the connection pool of each instance, and a queue of requests."""

    __slots__ = (
        "_limits", "_turn", "balancer", "context_path", "declared", "expected", "hedging", "known",
        "name", "per_try", "pools", "prefix", "queue", "takes_websockets", "timeout", "warm",
    )  # fmt: skip

    def __init__(
        self, name: str, limits: ServiceLimits, ejection: EjectionPolicy | None = None
    ) -> None:
        self.name = name
        self.prefix = b"/" + name.encode()
        """The part of a path that names the service."""
        self.known = False
        """Discovery has answered for the service, in this life or from a snapshot on disk."""
        self.expected = False
        """A route names the service, or it had an instance: without one it is down, not absent."""
        self.balancer = Balancer(
            cluster=limits.cluster, max_in_flight=limits.max_in_flight, ejection=ejection
        )
        self.pools: dict[Member, ConnectionPool] = {}
        """The connection pool of each member; none of a member that left."""
        self.warm: set[ConnectionPool] = set()
        """The pools that may have an idle connection: few, where hundreds of services have many."""
        self.queue: deque[QueuedRequest] = deque()
        self._limits = limits
        self._turn = Turn()
        self.declared = Declared()
        """The requests that its owner declared to be idempotent."""
        self.hedging = Hedging()
        """How long its answers take."""
        self.takes_websockets = False
        """Every instance says so: calls by name may become WebSockets."""
        self.context_path = b""
        """The leading part of the path that the service has for all that it serves."""
        self.timeout = TIMEOUT
        """Seconds until the response head, where no route says otherwise."""
        self.per_try = PER_TRY
        """Seconds until an attempt is given up for another, where no route says otherwise."""

    def sync(self, instances: Iterable[Instance], now: float) -> list[str]:
        """Adopt the instances that discovery reports; return the addresses of those that left.

        The requests in the queue try again.
        """
        gone = self.balancer.sync(instances, now)
        members = self.balancer.members.values()
        before, self.pools = self.pools, {}
        for member in members:
            pool = before.pop(member, None)
            if pool is not None and pool.secure is not member.instance.secure:
                pool.close()
                pool = None
            if pool is None:
                pool = self._pool(member.instance)
            self.pools[member] = pool
        for left in before.values():
            left.close()
        self.declared = Declared(member.instance.metadata for member in members)
        labels = [member.instance.metadata for member in members]
        self.takes_websockets = bool(labels) and all(
            one.get(UPGRADE, "").lower() == "websocket" for one in labels
        )
        self.context_path = _context_path(labels)
        # The service gives up by itself then; while a change is rolled out, the longer time counts.
        own = [seconds for member in members if (seconds := member.instance.timeout) is not None]
        self.per_try = max(own) + GRACE if own else PER_TRY
        self.timeout = max(TIMEOUT, self.per_try)
        self.known = True
        self.expected = self.expected or bool(members)
        waiting, self.queue = self.queue, deque()
        for one in waiting:
            one.wake()
        return [member.instance.address for member in gone]

    def _pool(self, instance: Instance) -> ConnectionPool:
        limits, tls = self._limits, None
        if instance.secure:
            name = ServiceKey.read(divided(self.name)[1], None, "").name
            tls = _context(limits.tls), limits.tls.server_name(name, instance.ip)
        return ConnectionPool(
            instance,
            connect=limits.connect,
            max_idle=limits.upstream_idle,
            turn=self._turn,
            tls=tls,
            warm=self.warm,
        )

    def in_context(self, target: bytes) -> bytes:
        """Return a target below the service's context path, unless it is there already."""
        context = self.context_path
        if target == context or target[: len(context) + 1] in (context + b"/", context + b"?"):
            return target
        return context + target

    @property
    def absent(self) -> bool:
        """Return whether Nacos knows no such service."""
        return self.known and not self.expected and not self.balancer.members

    @property
    def stray(self) -> bool:
        """Return whether nothing speaks for the service: no route, no instance, no waiting request.

        While Nacos is silent, a name that a stranger made up is told from a service only so.
        """
        return not (self.expected or self.balancer.members or self.queue)

    @property
    def has_room(self) -> bool:
        """Return whether another request may wait."""
        return len(self.queue) < MAX_QUEUE

    def prune(self, now: float) -> None:
        """Close the connections that were idle for too long."""
        for pool in tuple(self.warm):
            pool.prune(now)

    def leave_queue(self, request: QueuedRequest) -> None:
        """Take a request out of the queue, if it is there."""
        with suppress(ValueError):
            self.queue.remove(request)

    def serve_queue(self) -> None:
        """Let the request that has waited longest try, now that an attempt has ended.

        If that request may not have the free place, it waits on or fails, and the next one tries.
        """
        untried = len(self.queue)
        while untried and self.queue:
            before = self.balancer.in_flight
            self.queue.popleft().wake()
            untried = untried - 1 if self.balancer.in_flight <= before else 0


@lru_cache(1)
def _context(tls: InstanceTls) -> ssl.SSLContext:
    """Read the files once, when the first instance listens for TLS."""
    return tls.context()


def _context_path(labels: Iterable[Mapping[str, str]]) -> bytes:
    """Return the context path that all instances tell, b"" if there is none or they differ."""
    told = {one.get(CONTEXT_PATH, "").rstrip("/") for one in labels}
    path = told.pop() if len(told) == 1 else ""
    return path.encode() if _PATH.fullmatch(path) else b""
