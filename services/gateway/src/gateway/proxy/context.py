"""The state and the collaborators that all requests of one worker share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Protocol

from gateway.http.turn import Turn
from gateway.routing.table import Table
from gateway.telemetry.records import Counters
from gateway.upstream.service import Service, ServiceLimits


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Limits of the data port; seconds and counts.

    Attributes:
        connections: at a time.
        head: until a request head is complete.
        body: without a byte of a request's body.
        idle: between two requests of a connection.
        response_idle: between two pieces of a response body.
        events_idle: the same for server-sent events, whose pauses mean nothing.
        tunnel_idle: without a byte in either direction of a tunnel.
    """

    connections: int = 10_000
    head: float = 10.0
    body: float = 30.0
    idle: float = 75.0
    response_idle: float = 30.0
    events_idle: float = 3600.0
    tunnel_idle: float = 3600.0


class Directory(Protocol):
    """The services by name; a read, never a wait."""

    def find(self, name: str, now: float) -> Service | None:
        """Return the service, None if there can be none of this name.

        A service that was not named before is looked up; until then its `known` is False.
        """

    def prune(self, now: float) -> None:
        """Close idle connections, forget services that no request names; called every second."""


class Expiring(Protocol):
    """A request with a due time, which a sweep looks after."""

    __slots__ = ()

    due: float

    def expire(self, now: float) -> None:
        """Act on `due` having passed."""

    def cut(self) -> None:
        """End, whatever state the request is in."""


@dataclass(slots=True)
class ProxyContext:
    """The state and the collaborators of one worker's data path.

    Attributes:
        directory: services by name.
        counters: metrics and access log.
        clock: monotonic seconds.
        wall: Unix time, for dates that instances name.
        draw: uniform random numbers in [0, 1).
        table: the routes in force.
        name: the gateway's pseudonym in `Via` and `Proxy-Status`.
        port_limits: limits of the data port.
        service_limits: limits of each service.
        active: requests under way.
        shadows: copies of requests under way.
        turn: at whose end the writes to clients leave.
        draining: every response closes its connection.
        debug: responses name the instances that the request was sent to.
        wake: to be called for the first request while the sweep over `active` rests, else None.
    """

    directory: Directory
    counters: Counters
    clock: Callable[[], float]
    draw: Callable[[], float]
    wall: Callable[[], float] = time
    table: Table = field(default_factory=Table)
    name: bytes = b"gateway"
    port_limits: PortLimits = field(default_factory=PortLimits)
    service_limits: ServiceLimits = field(default_factory=ServiceLimits)
    active: set[Expiring] = field(default_factory=set)
    shadows: set[object] = field(default_factory=set)
    turn: Turn = field(default_factory=Turn)
    draining: bool = False
    debug: bool = False
    wake: Callable[[], None] | None = None
