"""A hedged attempt: the second of two attempts that are under way for one request.

It has one instance and one connection, and three ends: its answer is the first to arrive and it
takes the place of the first attempt; it fails; or the first attempt answers and it is dropped.
`failover/hedging.py` says when a request is hedged, `Exchange` what follows.
"""

from collections.abc import Sequence
from typing import Protocol

from failover import Outcome, RetryState

from gateway.http.heads import ResponseHead
from gateway.upstream.connection import InstanceConnection, ResponseConsumer
from gateway.upstream.pool import ConnectionPool, ConnectionWaiter


class HedgedRequest(Protocol):
    """The exchange, as far as its hedged attempt uses it."""

    __slots__ = ()

    def send_hedge(self, hedge: "HedgedAttempt", connection: InstanceConnection) -> None:
        """Send the request on a connection."""

    def hedge_answered(self, hedge: "HedgedAttempt", head: ResponseHead) -> None:
        """Take the head of the hedge's answer; the exchange is the consumer of the rest."""

    def hedge_lost(self, hedge: "HedgedAttempt", outcome: Outcome) -> None:
        """Learn that the hedge gets no answer; its connection is gone."""


class HedgedAttempt(ResponseConsumer, ConnectionWaiter):
    """One hedged attempt.

    Attributes:
        state: the attempt, as the balancer knows it.
        pool: of its instance.
        connection: once there is one.
    """

    __slots__ = ("_request", "connection", "pool", "state")

    def __init__(self, request: HedgedRequest, state: RetryState, pool: ConnectionPool) -> None:
        self._request = request
        self.state = state
        self.pool = pool
        self.connection: InstanceConnection | None = None

    def begin(self, now: float) -> None:
        """Take an idle connection, or wait for one."""
        connection = self.pool.take(now, resendable=True)
        if connection is None:
            self.pool.wait(self)
        else:
            self.connected(connection)

    def drop(self) -> None:
        """End; nothing more is heard of the attempt."""
        self.pool.stop_waiting(self)
        if self.connection is not None:
            self.connection.drop()

    # Calls of the pool.

    def connected(self, connection: InstanceConnection) -> None:
        """Send the request."""
        self.connection = connection
        self._request.send_hedge(self, connection)

    def connect_failed(self) -> None:
        """End: nothing was sent."""
        self._request.hedge_lost(self, Outcome.REFUSED)

    # Calls of the connection. From the head of an answer on, they go to the exchange.

    def response_head(self, head: ResponseHead) -> None:
        """Hand the answer over."""
        self._request.hedge_answered(self, head)

    def response_body(self, data: bytes) -> None:
        """Drop bytes: there are none without a head."""

    def flush(self) -> None:
        """Wait for the head."""

    def response_end(self) -> None:
        """End: there is no end without a head."""

    def response_lost(self, outcome: Outcome, fault: str = "") -> None:
        """End without an answer; `fault` is of no use while another attempt is under way."""
        del fault
        self.connection = None
        self._request.hedge_lost(self, outcome)

    def interim_response(self, status: int, lines: Sequence[bytes]) -> None:
        """Drop it: the client has those of the first attempt."""

    def instance_paused(self, *, paused: bool) -> None:
        """Ignore it: the request was written at once, and its size is bounded."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """End: a request that asks for an upgrade is not hedged."""
        del head, data
        self.drop()
        self._request.hedge_lost(self, Outcome.GARBLED)
