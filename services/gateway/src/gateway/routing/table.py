"""The table of routes, which is swapped whole: where a request goes and under which terms.

A route is found by path; the longest path decides, also which methods are allowed. Without a route,
`/{service}/{path}` is `/{path}` of that Nacos service. `document.py` says what an operator may
write; a `Route` is the compiled form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from failover import EVERYBODY, RetryPolicy, Subset

from gateway.http.heads import CACHE_SIZE, Head
from gateway.http.problems import LocalReply
from gateway.routing.access import ConcurrencyGuard, Keys, RateGuard
from gateway.routing.spelling import other_readings


@dataclass(frozen=True, slots=True)
class Split:
    """A weighted choice between subsets of the instances.

    Attributes:
        subsets: each with its share's upper end, ascending, the last one 1.0.
        sticky: lower-case name of the request field whose value decides, b"" for chance.
    """

    subsets: tuple[tuple[float, Subset], ...] = ()
    sticky: bytes = b""

    def choose(self, draw: float) -> Subset:
        """Return the subset into whose share a draw in [0, 1) falls."""
        for upper, subset in self.subsets:
            if draw < upper:
                return subset
        return EVERYBODY


@dataclass(frozen=True, slots=True)
class ShadowRule:
    """The service to which copies of a route's requests go, and how answers are compared.

    Attributes:
        service: Nacos service.
        share: of the requests, 0 to 1.
        timeout: seconds a copy has, from its connection to the end of its answer.
        subset: only these instances get copies.
        body: bodies are compared, not only statuses.
        ignore: members of a JSON object that may differ.
    """

    service: str
    share: float = 1.0
    timeout: float = 5.0
    subset: Subset = EVERYBODY
    body: bool = False
    ignore: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """The terms of a group of requests; times in seconds, sizes in bytes.

    Attributes:
        name: bounded label for metrics and logs.
        service: Nacos service.
        strip: leading part of the path that is removed, whole segments.
        prefix: path that is put in their place.
        methods: allowed methods, empty for all.
        exact: the path matches as a whole only.
        idempotent: methods that may run twice; None: as the service declares.
        timeout: until the response head, everything included; None: as the service says.
        per_try: until an attempt is given up for another; None: as the service says.
        retry: number of attempts and the pauses between them.
        idle: without a byte of the response; None: as the kind of response needs.
        body_idle: without a byte of the request's body; None: as the data port's limit says.
        replay: a body up to this size is kept to be sent again.
        max_body: a larger body is refused.
        split: canary.
        rate: bound of requests per second.
        concurrency: bound of requests at a time.
        keys: tokens and API keys that open the route.
        upgrade: WebSocket and other upgrades are tunnelled.
        shadow: where copies of its requests go.
    """

    name: str
    service: str
    path: str = "/"
    strip: bytes = b""
    prefix: bytes = b""
    methods: frozenset[bytes] = frozenset()
    exact: bool = False
    idempotent: frozenset[bytes] | None = None
    timeout: float | None = None
    per_try: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    idle: float | None = None
    body_idle: float | None = None
    replay: int = 64 * 1024
    max_body: int = 10 * 1024 * 1024
    split: Split | None = None
    rate: RateGuard | None = None
    concurrency: ConcurrencyGuard | None = None
    keys: Keys | None = None
    upgrade: bool = False
    shadow: ShadowRule | None = None

    def matches(self, path: bytes) -> bool:
        """Return whether a decoded path is this route's or lies below it."""
        own = self.path.encode()
        if path == own or (own == b"/" and not self.exact):
            return True
        return not self.exact and path.startswith(own.rstrip(b"/") + b"/")

    def rewrite(self, target: bytes) -> bytes:
        """Return the target as the service gets it: bytes as sent, apart from the first segments.

        Raises:
            LocalReply: a slash among these segments is encoded, so that the rest would be another
                path than the one that was matched, and perhaps protected.
        """
        if not self.strip and not self.prefix:
            return target
        path, mark, query = target.partition(b"?")
        segments = self.strip.count(b"/")
        parts = path.split(b"/", segments + 1)
        if b"%2f" in b"/".join(parts[: segments + 1]).lower():
            raise LocalReply(400, "http_request_error", "The path hides a slash in its prefix.")
        rest = b"/" + parts[-1] if len(parts) == segments + 2 else b""
        return (self.prefix + rest or b"/") + mark + query


class Table:
    """All routes in force."""

    def __init__(
        self,
        routes: Sequence[Route] = (),
        *,
        by_name: bool | frozenset[str] = True,
        base: Route | None = None,
    ) -> None:
        """Index the routes.

        Args:
            routes: in any order; the longest path wins, then the first.
            by_name: whether (or which) services are reachable as `/{service}/{path}`.
            base: the terms of requests by name.
        """
        self.routes = tuple(sorted(routes, key=lambda route: -len(route.path)))
        self.by_name = by_name
        self._base = base or Route("by-name", "")
        self._first: dict[bytes, list[Route]] = {}
        for route in self.routes:
            self._first.setdefault(route.path.encode().split(b"/", 2)[1], []).append(route)
        self._anywhere = self._first.get(b"", [])
        self._matched: dict[tuple[bytes, bytes], tuple[Route, str, bytes, str]] = {}

    def match(self, head: Head) -> tuple[Route, str, bytes, str]:
        """Return the route of a request, its service, and the target and path to send there.

        Raises:
            LocalReply: no route is there (404), or none for this method (405).
        """
        key = head.method, head.target
        found = self._matched.get(key)
        if found is None:
            route, service, target = self._match(head)
            found = route, service, target, target.partition(b"?")[0].decode("latin-1")
            if len(self._matched) >= CACHE_SIZE:
                self._matched.clear()
            self._matched[key] = found
        return found

    def _match(self, head: Head) -> tuple[Route, str, bytes]:
        routes = self._of_longest_path(head.path)
        for reading in other_readings(head.path):
            same_service = routes or _first_segment(reading) == _first_segment(head.path)
            if not same_service or self._of_longest_path(reading) != routes:
                raise LocalReply(400, "http_request_error",
                                 "Servers read this path in different ways.")  # fmt: skip
        if routes:
            route = _for_method(routes, head.method)
            return route, route.service, route.rewrite(head.target)
        path, mark, query = head.target.partition(b"?")
        name = _first_segment(path).decode("latin-1")
        if not self.by_name or (self.by_name is not True and name not in self.by_name):
            raise LocalReply(404, "destination_not_found", "No route matches this path.")
        return self._base, name, b"/" + path[1:].partition(b"/")[2] + mark + query

    def _of_longest_path(self, path: bytes) -> tuple[Route, ...]:
        """Return the routes that match a decoded path, as far as none has a longer path."""
        segment = _first_segment(path)
        candidates = self._first.get(segment, []) + (self._anywhere if segment else [])
        matching = [route for route in candidates if route.matches(path)]
        return tuple(route for route in matching if len(route.path) == len(matching[0].path))

    def services(self) -> set[str]:
        """Return the services that routes name."""
        shadows = {route.shadow.service for route in self.routes if route.shadow is not None}
        return shadows.union(route.service for route in self.routes)

    def describe(self) -> dict[str, Any]:
        """Describe the routes for a reader, in the order in which they are tried."""
        by_name = self.by_name if isinstance(self.by_name, bool) else sorted(self.by_name)
        return {"by_name": by_name, "routes": [_describe(route) for route in self.routes]}


def _first_segment(path: bytes) -> bytes:
    return path[1:].partition(b"/")[0]


def _for_method(routes: Sequence[Route], method: bytes) -> Route:
    """Return the first route that allows a method: a route with a shorter path is not asked.

    Raises:
        LocalReply: 405, no route of this path allows the method.
    """
    for route in routes:
        if not route.methods or method in route.methods:
            return route
    names = b", ".join(sorted(frozenset().union(*(route.methods for route in routes))))
    raise LocalReply(405, "http_request_denied", "The route does not allow this method.",
                     lines=[b"Allow: " + names + b"\r\n"])  # fmt: skip


def _describe(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "path": route.path,
        "exact": route.exact,
        "service": route.service,
        "methods": sorted(method.decode() for method in route.methods),
        "timeout": route.timeout,
        "per_try_timeout": route.per_try,
        "attempts": route.retry.max_attempts,
        "protected": route.keys is not None,
        "split": route.split is not None,
        "upgrade": route.upgrade,
        "shadow": route.shadow.service if route.shadow else None,
    }
