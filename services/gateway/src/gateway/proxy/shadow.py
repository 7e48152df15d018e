"""Shadow traffic: a request that was answered is sent again, to see whether others answer the same.

The client has its answer before the copy leaves, and nothing that becomes of the copy reaches it.
Only a request that was kept whole is copied, once, with a deadline of its own. The outcome of a
copy is no evidence against an instance, except a refused connection: no process listens there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from failover import Member, Outcome, RetryState

from gateway.http import request
from gateway.http.heads import ResponseHead
from gateway.proxy.context import ProxyContext
from gateway.routing.table import ShadowRule
from gateway.upstream.connection import InstanceConnection, ResponseConsumer
from gateway.upstream.pool import ConnectionPool, ConnectionWaiter
from gateway.upstream.service import Service

COMPARED: Final = 64 * 1024
"""Bytes of a body that are compared; of the bytes that follow only the number is."""
MAX_SHADOWS: Final = 64
"""Copies that a worker has under way; further ones are dropped and counted."""
MARK: Final = b"X-Gateway-Shadow: 1\r\n"
"""The field that only copies carry: a client cannot send it through."""


@dataclass(slots=True)
class ComparedAnswer:
    """The part of an answer that is compared; its memory is bounded.

    Attributes:
        status: HTTP status.
        size: bytes of the body.
        kept: the first of them.
    """

    status: int = 0
    size: int = 0
    kept: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> None:
        """Take bytes of the body."""
        self.size += len(data)
        room = COMPARED - len(self.kept)
        if room > 0:
            self.kept += data[:room]


def agree(rule: ShadowRule, one: ComparedAnswer, other: ComparedAnswer) -> bool:
    """Return whether two answers are the same, as far as the route compares them."""
    if one.status != other.status:
        return False
    if not rule.body or (one.size == other.size and one.kept == other.kept):
        return True
    if not rule.ignore or max(one.size, other.size) > COMPARED:
        return False
    rest = [_without(answer.kept, rule.ignore) for answer in (one, other)]
    return rest[0] is not None and rest[0] == rest[1]


def _without(body: bytearray, ignore: frozenset[str]) -> Mapping[str, object] | None:
    """Return the other members of a JSON object; None if the body is no JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    return {key: value for key, value in document.items() if key not in ignore}


class ShadowTap:
    """Follows a request and its answer, and sends the copy when the client has the answer."""

    def __init__(self, context: ProxyContext, route: str, rule: ShadowRule) -> None:
        """Prepare to follow one request.

        Args:
            context: shared by all requests.
            route: name of the route.
            rule: shadow rule of the route.
        """
        self._context = context
        self._route = route
        self._rule = rule
        self._answer = ComparedAnswer()
        self._copied: list[bytes] | None = None
        self._method = self._target = b""

    def response_head(
        self, status: int, method: bytes, target: bytes, copied: list[bytes] | None
    ) -> None:
        """Keep the request and the status of its answer.

        Args:
            status: of the answer.
            method: of the request.
            target: path and query as the instance got them.
            copied: fields and body of the request, None if it is no longer whole.
        """
        self._answer.status = status
        self._method, self._target, self._copied = method, target, copied

    def response_body(self, data: bytes) -> None:
        """Keep a part of the answer's body."""
        self._answer.take(data)

    def response_end(self) -> None:
        """Send the copy, if the request is still whole."""
        if self._copied is not None:
            copy = ShadowCopy(self._context, self._route, self._rule, self._answer)
            copy.begin(self._method, self._target, [MARK, *self._copied])


class ShadowCopy(ResponseConsumer, ConnectionWaiter):
    """A request on its way to the shadow service: one attempt, then a count."""

    def __init__(
        self, context: ProxyContext, route: str, rule: ShadowRule, original: ComparedAnswer
    ) -> None:
        """Prepare a copy.

        Args:
            context: shared by all requests.
            route: name of the route.
            rule: shadow rule of the route.
            original: the answer that the client got.
        """
        self._context = context
        self._route = route
        self._rule = rule
        self._original = original
        self._answer = ComparedAnswer()
        self._outcome = Outcome.ABANDONED
        self._method = self._target = b""
        self._parts: list[bytes] = []
        self._service: Service | None = None
        self._connection: InstanceConnection | None = None
        self._pool: ConnectionPool | None = None  # while a connection of this pool is awaited
        self._timer: asyncio.TimerHandle | None = None
        self._done = False
        deadline = context.clock() + rule.timeout
        self._retries = RetryState(repeatable=False, deadline=deadline, subset=rule.subset)

    def begin(self, method: bytes, target: bytes, parts: list[bytes]) -> None:
        """Choose an instance and connect, unless too many copies are under way."""
        context, rule = self._context, self._rule
        if len(context.shadows) >= MAX_SHADOWS:
            self._count("dropped")
            return
        self._method, self._target, self._parts = method, target, parts
        context.shadows.add(self)
        self._timer = asyncio.get_running_loop().call_later(rule.timeout, self._expire)
        now = context.clock()
        service = self._service = context.directory.find(rule.service, now)
        if service is None:
            self._end("failed")
            return
        member = service.balancer.pick(self._retries, now, context.draw())
        pool = service.pools.get(member) if isinstance(member, Member) else None
        if (
            pool is None
            or not isinstance(member, Member)
            or not rule.subset.matches(member.instance)
        ):
            self._end("failed")
            return
        connection = pool.take(now, resendable=True)
        if connection is not None:
            self.connected(connection)
        else:
            self._pool = pool
            pool.wait(self)

    # Calls of the pool.

    def connected(self, connection: InstanceConnection) -> None:
        """Send the copy."""
        self._pool, self._connection = None, connection
        head = request.attempt_lines(
            self._method, self._target, 1, self._retries.deadline, self._context.clock()
        )
        data = b"".join([*head, connection.pool.host_line, *self._parts])
        self._parts = []
        connection.send(self, data, to_head=self._method == b"HEAD", whole=True)

    def connect_failed(self) -> None:
        """Count a failure: no process listens there."""
        self._pool = None
        self._end("failed", Outcome.REFUSED)

    # Calls of the connection.

    def response_head(self, head: ResponseHead) -> None:
        """Keep the status."""
        self._answer.status = head.status
        self._outcome = head.judge(self._context.wall()).outcome
        if head.is_last and self._service is not None:
            now, draw = self._context.clock(), self._context.draw()
            self._service.balancer.note_draining(self._retries, now, draw)

    def response_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._answer.take(data)

    def flush(self) -> None:
        """Wait for more."""

    def response_end(self) -> None:
        """Compare the answers."""
        self._connection = None
        agreed = agree(self._rule, self._original, self._answer)
        # A failed copy is no evidence, least of all of success.
        good = self._outcome is Outcome.ANSWERED
        self._end(
            "agreed" if agreed else "differed", Outcome.ANSWERED if good else Outcome.ABANDONED
        )

    def interim_response(self, status: int, lines: Sequence[bytes]) -> None:
        """Ignore it: only answers are compared."""

    def response_lost(self, outcome: Outcome, fault: str = "") -> None:
        """Count a failure; a copy is not sent again."""
        del outcome, fault
        self._connection = None
        self._end("failed")

    def instance_paused(self, *, paused: bool) -> None:
        """Ignore it: the copy was written at once, and its size is bounded."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Count a failure: a copy asks for no upgrade."""
        del head, data
        self._end("failed")

    def _expire(self) -> None:
        self._end("failed")

    def _end(self, result: str, outcome: Outcome = Outcome.ABANDONED) -> None:
        if self._done:
            return
        self._done = True
        context = self._context
        context.shadows.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.drop()
        if self._pool is not None:
            self._pool.stop_waiting(self)
        if self._service is not None:
            took = None if outcome is Outcome.ANSWERED else 0.0
            self._service.balancer.record(
                self._retries, outcome, context.clock(), context.draw(), took=took
            )
            self._service.serve_queue()
        self._count(result)

    def _count(self, result: str) -> None:
        self._context.counters.shadows[self._route, result] += 1
