"""Shadow traffic: a request that was answered is sent again, to see whether others answer the same.

The client has its answer before the copy leaves and nothing that becomes of the copy reaches it.
Only a request that was kept whole is copied, once, with a deadline of its own. What a copy meets is
no evidence against an instance, except a refused connection: nobody listens there for anyone.
"""

import asyncio

from failover import Member, Outcome, RetryState

from gateway import request
from gateway.core import Core
from gateway.exchange import Exchange
from gateway.http1 import ResponseHead
from gateway.keepalive import Upstream
from gateway.service import Service
from gateway.shadow import MAX_SHADOWS, Seen, Shadow, agree
from gateway.upstream import Connection

MARK = b"X-Gateway-Shadow: 1\r\n"
"""What a copy carries and nothing else does: a client cannot send it through."""


class Mirrored(Exchange):
    """An exchange whose request is sent again afterwards."""

    __slots__ = ("_body", "_seen")

    def response_head(self, head: ResponseHead) -> None:
        """Note the request and the status of its answer, before the request is forgotten."""
        whole = self.upload.complete and not self.upload.streaming
        self._body: list[bytes] | None = self.upload.opening() if whole else None
        self._seen = Seen(head.status)
        super().response_head(head)

    def response_body(self, data: bytes) -> None:
        """Keep a part of what passes."""
        self._seen.take(data)
        super().response_body(data)

    def response_end(self) -> None:
        """Let the client have its answer, then send the copy."""
        super().response_end()
        shadow, body = self._terms.route.shadow, self._body
        if shadow is not None and body is not None:
            copy = Copy(self._core, self._terms.route.name, shadow, self._seen)
            copy.begin(self._head.method, self._terms.target, [MARK, self._common, *body])


class Copy:
    """A request on its way to the shadow service: one attempt, then a count."""

    def __init__(self, core: Core, route: str, shadow: Shadow, original: Seen) -> None:
        """Prepare a copy.

        Args:
            core: what all exchanges share.
            route: its name.
            shadow: what the route says.
            original: the answer that the client got.
        """
        self._core = core
        self._route = route
        self._shadow = shadow
        self._original = original
        self._seen = Seen()
        self._judged = Outcome.ABANDONED
        self._method = self._target = b""
        self._parts: list[bytes] = []
        self._service: Service | None = None
        self._connection: Connection | None = None
        self._awaited: Upstream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._done = False
        deadline = core.clock() + shadow.timeout
        self._retries = RetryState(repeatable=False, deadline=deadline, subset=shadow.subset)

    def begin(self, method: bytes, target: bytes, parts: list[bytes]) -> None:
        """Choose an instance and connect, unless too many copies are under way."""
        core, shadow = self._core, self._shadow
        if len(core.shadows) >= MAX_SHADOWS:
            self._count("dropped")
            return
        self._method, self._target, self._parts = method, target, parts
        core.shadows.add(self)
        self._timer = asyncio.get_running_loop().call_later(shadow.timeout, self._expire)
        now = core.clock()
        service = self._service = core.directory.find(shadow.service, now)
        member = None if service is None else service.balancer.pick(self._retries, now, core.draw())
        if service is None or not isinstance(member, Member):
            self._end("failed")
            return
        upstream = service.upstream(member)
        if upstream is None or not shadow.subset.matches(member.instance):
            self._end("failed")
            return
        connection = upstream.take(now, again=True)
        if connection is not None:
            self.connected(connection)
        else:
            self._awaited = upstream
            upstream.wait(self)

    # What the upstream calls.

    def connected(self, connection: Connection) -> None:
        """Send the copy."""
        self._awaited, self._connection = None, connection
        head = request.opening(self._method, self._target, self._retries, self._core.clock())
        data = b"".join([*head, connection.pool.host_line, *self._parts])
        self._parts = []
        connection.send(self, data, to_head=self._method == b"HEAD", whole=True)

    def refused(self) -> None:
        """Nobody listens."""
        self._awaited = None
        self._end("failed", Outcome.REFUSED)

    # What the connection calls.

    def response_head(self, head: ResponseHead) -> None:
        """Note the status."""
        self._seen.status = head.status
        self._judged = head.judge(self._core.wall()).outcome

    def response_body(self, data: bytes) -> None:
        """Keep a part."""
        self._seen.take(data)

    def flush(self) -> None:
        """Wait for more."""

    def response_end(self) -> None:
        """Compare."""
        self._connection = None
        agreed = agree(self._shadow, self._original, self._seen)
        outcome = self._judged
        good = outcome is Outcome.ANSWERED  # a failure is no evidence, least of all of success
        self._end("agreed" if agreed else "differed", outcome if good else Outcome.ABANDONED)

    def response_lost(self, outcome: Outcome) -> None:
        """Count it; a copy is not sent again."""
        del outcome
        self._connection = None
        self._end("failed")

    def upstream_paused(self, *, paused: bool) -> None:
        """Ignore it: the copy was written at once, and its size is bounded."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Refuse what was not asked for."""
        del head, data
        self._end("failed")

    def _expire(self) -> None:
        self._end("failed")

    def _end(self, result: str, outcome: Outcome = Outcome.ABANDONED) -> None:
        if self._done:
            return
        self._done = True
        core = self._core
        core.shadows.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.drop()
        if self._awaited is not None:
            self._awaited.leave(self)
        if self._service is not None:
            took = None if outcome is Outcome.ANSWERED else 0.0
            self._service.balancer.record(
                self._retries, outcome, core.clock(), core.draw(), took=took
            )
            self._service.released()
        self._count(result)

    def _count(self, result: str) -> None:
        self._core.ledger.shadows[self._route, result] += 1
