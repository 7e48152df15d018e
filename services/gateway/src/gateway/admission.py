"""Whether a request may go on, and under which terms: route, keys, limits, service, deadline."""

import hashlib
from collections.abc import Callable

from failover import RetryState, attempt_deadline, deadline_of, may_run_twice, parse_millis

from gateway import problems
from gateway.core import Core
from gateway.http1 import Head
from gateway.ledger import Record
from gateway.problems import Refusal
from gateway.request import check_loop, upgrade_of
from gateway.routes import Route, Split
from gateway.service import Service


class Terms:
    """What was granted to a request.

    Attributes:
        route: the route's own terms.
        service: where it goes.
        target: path and query as the instance gets them.
        tries: its attempts; the deadline is set when the first one starts.
        limit: seconds it may take from then on.
        upgrade: the protocol it may switch to, b"" for none.
    """

    __slots__ = ("limit", "retries", "route", "service", "target", "upgrade")

    def __init__(
        self, route: Route, service: Service, target: bytes, retries: RetryState, *, limit: float,
        upgrade: bytes,
    ) -> None:  # fmt: skip
        self.route = route
        self.service = service
        self.target = target
        self.retries = retries
        self.limit = limit
        self.upgrade = upgrade

    @property
    def prefix(self) -> bytes:
        """What the route strips from the path."""
        return self.route.strip if self.route.service else self.service.prefix

    def due(self, now: float, *, streamed: bool) -> float:
        """When an attempt that has sent all of the request by now is given up.

        The time that a streamed body took does not count: its client took it.
        """
        route, retries = self.route, self.retries
        if streamed:
            retries.deadline = max(retries.deadline, now + min(route.per_try, self.limit))
        return attempt_deadline(now, retries.deadline, route.per_try)

    def reconsider(self, method: bytes) -> None:
        """Ask again whether the request may run twice: its service may not have been known."""
        self.retries.repeatable = _repeatable(self.route, self.service, method, self.target)

    def leave(self) -> None:
        """Give back the place on the route."""
        if self.route.gate is not None:
            self.route.gate.leave()


def admit(core: Core, head: Head, record: Record, now: float) -> Terms:
    """Grant a request its terms.

    Raises:
        Refusal: it may not go on.
    """
    check_loop(head, core.name)
    route, name, target = core.table.match(head)
    record.route = route.name
    if route.keys is not None:
        route.keys.check(head.lines)
    if head.length is not None and head.length > route.max_body:
        raise problems.too_large(route.max_body)
    upgrade = upgrade_of(head, allowed=route.upgrade)
    service = core.directory.find(name, now)
    if service is None or service.absent:
        raise problems.not_found()
    if service.expected:
        record.service = name
    _enter(route, now)
    asked = head.handled.get(b"x-request-timeout-ms")
    seconds = parse_millis(asked.decode("latin-1")) if asked else None
    repeatable = _repeatable(route, service, head.method, target)
    retries = RetryState(repeatable=repeatable, deadline=0.0, policy=route.retry)
    if route.split is not None:
        retries.subset = route.split.choose(_draw(route.split, head, core.draw))
    limit = deadline_of(0.0, route.timeout, seconds)
    return Terms(route, service, target, retries, limit=limit, upgrade=upgrade)


def _enter(route: Route, now: float) -> None:
    """Take a place on the route."""
    if route.rate is not None:
        wait = route.rate.take(now)
        if wait:
            raise Refusal(429, "http_request_denied", "The route's rate limit is reached.",
                          retry_after=max(1, round(wait)))  # fmt: skip
    if route.gate is not None and not route.gate.enter():
        raise Refusal(503, "connection_limit_reached", "The route has all the requests it may.",
                      retry_after=1)  # fmt: skip


def _repeatable(route: Route, service: Service, method: bytes, target: bytes) -> bool:
    """Return whether the request may run twice."""
    operator = None if route.idempotent is None else method in route.idempotent
    path = target.partition(b"?")[0].decode("latin-1")
    return may_run_twice(method.decode(), path, service.declared, operator=operator)


def _draw(split: Split, head: Head, draw: Callable[[], float]) -> float:
    """Chance, or the hash of the sticky field, so that one value always meets one subset."""
    value = _field(head, split.sticky) if split.sticky else None
    if value is None:
        return draw()
    return int.from_bytes(hashlib.blake2b(value, digest_size=4).digest()) / 2**32


def _field(head: Head, name: bytes) -> bytes | None:
    """The value of a field, by its lower-case name; None if there is none."""
    for line in head.lines:
        given, _, value = line.partition(b":")
        if given.lower() == name:
            return value.strip()
    return head.handled.get(name)
