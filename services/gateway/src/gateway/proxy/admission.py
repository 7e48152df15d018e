"""Admission: a request gets its terms (route, service, deadline, may it run twice) or a reply."""

from collections.abc import Callable
from typing import Final

from failover import AnswerTimes, RetryState, deadline_of, may_run_twice, parse_millis

from gateway.http import problems
from gateway.http.heads import Head
from gateway.http.problems import LocalReply
from gateway.http.request import check_loop, upgrade_of
from gateway.proxy.context import Directory
from gateway.routing.cors import asked_method
from gateway.routing.table import Route, Table
from gateway.telemetry.records import RequestRecord
from gateway.upstream.service import Service

LATE_DOES_HARM: Final[tuple[bytes, ...]] = (b"PUT", b"DELETE")
NO_PART: Final = "The route's limit is less than one request for each gateway: this one has none."


class Admitted:
    """The terms under which a request was admitted.

    Attributes:
        route: the route's own terms.
        service: where the request goes.
        target: path and query as the instance gets them.
        path: the target without its query, as text.
        retries: the attempts of the request; their deadline is set when the first one starts.
        limit: seconds the request may take from then on.
        per_try: seconds until an attempt is given up for one on another instance.
        upgrade: the protocol that the client may switch to, b"" for none.
        prefix: the leading part of the path that the instance does not see.
        inner: the leading part of the path that only the instance sees.
    """

    __slots__ = (
        "inner", "limit", "path", "per_try", "prefix", "retries", "route", "service", "target",
        "upgrade",
    )  # fmt: skip

    def __init__(
        self, route: Route, service: Service, target: bytes, path: str, retries: RetryState, *,
        limit: float, per_try: float, upgrade: bytes,
    ) -> None:  # fmt: skip
        self.route = route
        self.service = service
        self.target = target
        self.path = path
        self.retries = retries
        self.limit = limit
        self.per_try = per_try
        self.upgrade = upgrade
        named = bool(route.service)
        self.prefix = route.strip if named else service.prefix
        self.inner = route.prefix if named else service.context_path

    def answer_times(self, method: bytes) -> AnswerTimes | None:
        """Return how long such requests take, None if this one may not have two attempts at a time.

        A PUT or DELETE may run twice, but not so late that it undoes what its client did next.
        """
        if not self.route.hedge or self.upgrade or method in LATE_DOES_HARM:
            return None
        return self.service.hedging.times(method, self.path)

    def extend_deadline(self, now: float) -> None:
        """Give the instance the whole time: a streamed body took its client's time."""
        self.retries.deadline = max(self.retries.deadline, now + self.limit)

    def broken_limit(self, now: float) -> tuple[float, str]:
        """Return the seconds that an attempt given up now had, and the setting that says so."""
        route, service, deadline = self.route, self.service, self.retries.deadline
        own = service.timeout if route.timeout is None else route.timeout
        if self.limit < own and now >= deadline:
            return self.limit, "the client's X-Request-Timeout-Ms"
        key, seconds, said = "timeout", self.limit, route.timeout
        if now < deadline:
            key, seconds, said = "per_try_timeout", self.per_try, route.per_try
        if route.service:
            return seconds, f"{key} of the route {route.name}, or of the defaults of all routes"
        by_service = "" if said else ", or gateway.timeout in the service's metadata"
        part = "defaults" if route.name == "by-name" else "services, or defaults,"
        return seconds, f"{key} in the {part} of the routes document{by_service}"

    def reconsider(self, method: bytes) -> None:
        """Ask again whether the request may run twice: its service may not have been known."""
        self.retries.repeatable = _repeatable(self.route, self.service, method, self.path)


def admit(
    head: Head,
    record: RequestRecord,
    now: float,
    *,
    table: Table,
    directory: Directory,
    draw: Callable[[], float],
    name: bytes,
) -> Admitted:
    """Grant a request its terms, and take a place on its route.

    Args:
        head: of the request.
        record: gets the labels of route and service.
        now: the clock.
        table: the routes in force.
        directory: services by name.
        draw: uniform random numbers in [0, 1).
        name: the gateway's pseudonym, by which a loop is found.

    Raises:
        LocalReply: the request may not go on.
    """
    admitted = granted(
        head, record, now, table=table, directory=directory, draw=draw, name=name
    )  # fmt: skip
    _enter(admitted.route, now)
    return admitted


def granted(
    head: Head,
    record: RequestRecord,
    now: float,
    *,
    table: Table,
    directory: Directory,
    draw: Callable[[], float],
    name: bytes,
) -> Admitted:
    """Return the terms that `admit` grants, and count the request on no limit of its route.

    Raises:
        LocalReply: the request may not go on, whatever the limits of its route.
    """
    handled = head.handled
    if b"via" in handled:
        check_loop(handled[b"via"], name)
    if table.has_cors:
        _share(head, record, table)
    route, service_name, target, path = table.match(head)
    record.route = route.name
    if table.has_cors or route.response_changes is not None:
        _add_fields(record, route, table)
    if route.keys is not None:
        target, fields = route.keys.check(head, target)
        record.fields += fields
    if route.redirect is not None:
        raise route.redirect.reply(route.path, target)
    if head.length is not None and head.length > route.max_body:
        raise problems.body_too_large(route.max_body)
    service = _find(directory, service_name, record, now)
    upgrade = _upgrade(head, route, service) if b"upgrade" in handled else b""
    if service.context_path and not route.service:
        target = service.in_context(target)
        path = target.partition(b"?")[0].decode("latin-1")
    repeatable = _repeatable(route, service, head.method, path)
    retries = RetryState(repeatable=repeatable, deadline=0.0, policy=route.retry)
    if route.split is not None:
        retries.subset = route.split.choose(head, draw)
    limit = service.timeout if route.timeout is None else route.timeout
    per_try = min(service.per_try if route.per_try is None else route.per_try, limit)
    if b"x-request-timeout-ms" in handled:
        allowed = parse_millis(handled[b"x-request-timeout-ms"].decode("latin-1"))
        limit = deadline_of(0.0, limit, allowed)
    return Admitted(
        route, service, target, path, retries, limit=limit, per_try=per_try, upgrade=upgrade
    )


def _find(directory: Directory, name: str, record: RequestRecord, now: float) -> Service:
    """Return the service of a request, and label the record with it once it is no stranger's name.

    Raises:
        LocalReply: there is no such service.
    """
    service = directory.find(name, now)
    if service is None or (service.absent and not service.expected):
        raise problems.unknown_service()
    if service.expected:
        record.service = name
    return service


def _upgrade(head: Head, route: Route, service: Service) -> bytes:
    """Return the protocol that the client may switch to, as the route or the service allows."""
    if route.upgrade is not None:
        return upgrade_of(head, allowed=route.upgrade)
    websocket = head.handled[b"upgrade"].lower() == b"websocket"
    return upgrade_of(head, allowed=websocket and service.takes_websockets)


def _share(head: Head, record: RequestRecord, table: Table) -> None:
    """Give the record the fields that let a page of another origin read whatever comes.

    Raises:
        LocalReply: the answer to a preflight.
    """
    origin = next(iter(head.values(b"origin")), None)
    if origin is None:
        return
    asked = asked_method(head)
    policy = table.cors_for(head, method=asked or head.method, preflight=bool(asked))
    if policy is None:
        return
    if asked:
        raise policy.answer_preflight(origin, head)
    record.shared = True
    record.fields += policy.lines(origin)


def _add_fields(record: RequestRecord, route: Route, table: Table) -> None:
    """Give the record the fields that every response of the route has."""
    if table.has_cors and not record.shared:
        record.fields += table.unshared_lines(route)
    changes = record.changes = route.response_changes
    if changes is not None:
        record.fields = changes.without_dropped(record.fields) + changes.added


def _enter(route: Route, now: float) -> None:
    """Take a place on the route."""
    if route.rate is not None:
        wait = route.rate.take(now)
        if wait:
            told = "The route's rate limit is reached." if route.rate.has_part else NO_PART
            raise LocalReply(429, "http_request_denied", told,
                             retry_after=max(1, round(wait)))  # fmt: skip
    if route.concurrency is not None and not route.concurrency.enter():
        told = "The route has all the requests it may." if route.concurrency.has_part else NO_PART
        raise LocalReply(503, "connection_limit_reached", told, retry_after=1)


def _repeatable(route: Route, service: Service, method: bytes, path: str) -> bool:
    """Return whether the request may run twice."""
    operator = None if route.idempotent is None else method in route.idempotent
    return may_run_twice(method.decode(), path, service.declared, operator=operator)
