"""What all exchanges of a process share."""

from asyncio import Transport
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Protocol

from gateway import problems
from gateway.answer import Answer
from gateway.ledger import Ledger, Record
from gateway.problems import Context, Refusal
from gateway.request import Forwarded
from gateway.routes import Table
from gateway.service import Directory, Limits


@dataclass(frozen=True, slots=True)
class Edge:
    """Limits of the data port; seconds and counts.

    Attributes:
        connections: at a time.
        head: until a request head is complete.
        body: until a request body is complete.
        idle: between two requests of a connection.
        response_idle: between two pieces of a response body.
        tunnel_idle: without a byte in either direction of a tunnel.
    """

    connections: int = 10_000
    head: float = 10.0
    body: float = 30.0
    idle: float = 75.0
    response_idle: float = 30.0
    tunnel_idle: float = 3600.0


class Client(Protocol):
    """The client's connection, as far as a request uses it."""

    forwarded: Forwarded

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def hold(self, *, held: bool) -> None:
        """Stop or resume reading."""

    def answered(self, now: float, *, close: bool) -> None:
        """Take notice that the answer is complete."""

    def takes_more(self) -> bool:
        """Whether there is something to send, and it took some since the last look."""
        ...

    def abort(self) -> None:
        """End the connection once what was written is sent."""

    def cut(self) -> None:
        """Close at once, by a reset, so that a truncated answer is seen as such."""


class Held(Client, Protocol):
    """The client's connection, as far as the data port uses it."""

    due: float

    @property
    def idle(self) -> bool:
        """Between two requests."""
        ...

    def expire(self, now: float) -> None:
        """Act on `due` having passed."""


class Port(Protocol):
    """The data port, as far as its connections use it."""

    def joined(self, connection: Held) -> bool:
        """Count a connection; False if there are too many."""

    def left(self, connection: Held) -> None:
        """Forget a connection."""

    def describe(self, transport: Transport) -> Forwarded:
        """Say who the client is."""


class Timed(Protocol):
    """Something with a due time that a sweep looks after."""

    due: float

    def expire(self, now: float) -> None:
        """Act on `due` having passed."""

    def cut(self) -> None:
        """End, whatever state it is in."""


@dataclass(slots=True)
class Core:
    """The state and the collaborators of one worker's data path.

    Attributes:
        directory: services by name.
        ledger: metrics and access log.
        clock: monotonic seconds.
        wall: Unix time, for dates that instances name.
        draw: uniform random numbers in [0, 1).
        table: the routes in force.
        name: our pseudonym in `Via` and `Proxy-Status`.
        edge: limits of the data port.
        limits: limits of services.
        active: exchanges under way.
        shadows: copies of requests under way.
        draining: every answer closes its connection.
        debug: answers name the instances that were asked.
    """

    directory: Directory
    ledger: Ledger
    clock: Callable[[], float]
    draw: Callable[[], float]
    wall: Callable[[], float] = time
    table: Table = field(default_factory=Table)
    name: bytes = b"gateway"
    edge: Edge = field(default_factory=Edge)
    limits: Limits = field(default_factory=Limits)
    active: set[Timed] = field(default_factory=set)
    shadows: set[object] = field(default_factory=set)
    draining: bool = False
    debug: bool = False

    def refuse(self, refusal: Refusal, record: Record, answer: Answer, client: Client) -> None:
        """Answer a request ourselves, and end it."""
        head = record.head
        context = Context(record.id.decode(), record.service, head.path.decode("latin-1"),
                          record.describe(addresses=self.debug), self.name.decode())  # fmt: skip
        lines, document = problems.render(refusal, context)
        now = self.clock()
        answer.whole(
            refusal.status,
            [*lines, *record.lines(now, None)],
            document,
            to_head=head.method == b"HEAD",
        )
        self.ledger.close(record, refusal.status, answer.sent, refusal.error, now)
        client.answered(now, close=answer.close)
