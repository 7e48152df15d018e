"""The table of routes, which is swapped whole: where a request goes and under which terms.

A route is found by path; the longest path decides, also which methods are allowed. Without a route,
`/{service}/{path}` is `/{path}` of that Nacos service. `document.py` says what an operator may
write; a `Route` is the compiled form.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from failover import EVERYBODY, RetryPolicy, Subset

from gateway.http.field_changes import FieldChanges
from gateway.http.heads import CACHE_SIZE, Head
from gateway.http.problems import Content, LocalReply
from gateway.routing.access import Keys
from gateway.routing.conditions import Conditions, cookies_of, fields_of
from gateway.routing.cors import Cors
from gateway.routing.limits import ConcurrencyGuard, RateGuard
from gateway.routing.spelling import other_readings
from gateway.upstream.service import NAME

_NAME: Final = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Split:
    """A choice between subsets of the instances, by conditions on the request or by weight.

    Attributes:
        subsets: each with its share's upper end, ascending, the last one 1.0.
        sticky: lower-case name of the request field whose value decides, b"" for chance.
        sticky_cookie: name of the cookie whose value decides, b"" for none.
        chosen: subsets for the requests that meet their conditions, whatever the weights.
    """

    subsets: tuple[tuple[float, Subset], ...] = ()
    sticky: bytes = b""
    sticky_cookie: bytes = b""
    chosen: tuple[tuple[Conditions, Subset], ...] = ()

    def choose(self, head: Head, draw: Callable[[], float]) -> Subset:
        """Return the subset for a request: by its conditions, by the sticky value, or by chance."""
        for conditions, subset in self.chosen:
            if conditions.met(head):
                return subset
        return self.subset_at(self._sticky_draw(head, draw))

    def subset_at(self, draw: float) -> Subset:
        """Return the subset into whose share a draw in [0, 1) falls."""
        for upper, subset in self.subsets:
            if draw < upper:
                return subset
        return EVERYBODY

    def _sticky_draw(self, head: Head, draw: Callable[[], float]) -> float:
        """Return the hash of the sticky value, so that it has the same subset always; or chance."""
        values: Sequence[bytes] = ()
        if self.sticky:
            values = fields_of(head).get(self.sticky, ())
        elif self.sticky_cookie:
            values = cookies_of(head).get(self.sticky_cookie, ())
        if not values:
            return draw()
        return int.from_bytes(hashlib.blake2b(values[0], digest_size=4).digest()) / 2**32


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a route's requests are sent instead of to a service.

    Attributes:
        to: URL or path.
        status: 301, 302, 303, 307 or 308.
        keep_path: the rest of the path below the route's own, and the query, are put behind `to`.
    """

    to: bytes
    status: int = 302
    keep_path: bool = False

    def reply(self, path: str, target: bytes) -> LocalReply:
        """Make the reply to a request for a target below a route's path."""
        to = self.to
        if self.keep_path:
            whole, mark, query = target.partition(b"?")
            # Without leading slashes: `//name` would be another host.
            rest = _divided(whole, path.rstrip("/").count("/"))[1].lstrip(b"/")
            to = (to.rstrip(b"/") + b"/" + rest if rest else to) + mark + query
        return LocalReply(self.status, "redirect", "", lines=[b"Location: %b\r\n" % to],
                          content=Content())  # fmt: skip


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
        hedge: a request that may run twice gets a second attempt when it takes unusually long.
        replay: a body up to this size is kept to be sent again.
        max_body: a larger body is refused.
        split: canary.
        rate: bound of requests per second.
        concurrency: bound of requests at a time.
        keys: tokens and API keys that open the route.
        upgrade: WebSocket and other upgrades are tunnelled; None: as the service declares.
        shadow: where copies of its requests go.
        when: what a request must meet beside the path, if anything.
        cors: the policy for pages of other origins; None: the table's.
        request_changes: to the fields of requests.
        response_changes: to the fields of responses.
        redirect: where requests are sent instead.
        fallback: status and content of the reply to a request that no instance has answered.
        preserve_host: instances get the `Host` that the client sent.
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
    hedge: bool = True
    replay: int = 64 * 1024
    max_body: int = 10 * 1024 * 1024
    split: Split | None = None
    rate: RateGuard | None = None
    concurrency: ConcurrencyGuard | None = None
    keys: Keys | None = None
    upgrade: bool | None = None
    shadow: ShadowRule | None = None
    when: Conditions | None = None
    cors: Cors | None = None
    request_changes: FieldChanges | None = None
    response_changes: FieldChanges | None = None
    redirect: Redirect | None = None
    fallback: tuple[int, Content] | None = None
    preserve_host: bool = False

    @property
    def strictness(self) -> int:
        """Return how many conditions the route has beside its path."""
        return self.when.strictness if self.when is not None else 0

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
        stripped, rest = _divided(path, self.strip.count(b"/"))
        if b"%2f" in stripped.lower():
            raise LocalReply(400, "http_request_error", "The path hides a slash in its prefix.")
        return (self.prefix + rest or b"/") + mark + query


class Table:
    """All routes in force."""

    def __init__(
        self,
        routes: Sequence[Route] = (),
        *,
        by_name: bool | frozenset[str] = True,
        base: Route | None = None,
        services: Mapping[str, Route] | None = None,
        cors: Cors | None = None,
    ) -> None:
        """Index the routes.

        Args:
            routes: in any order; the longest path wins, then the most conditions, then the first.
            by_name: whether (or which) services are reachable as `/{service}/{path}`.
            base: the terms of requests by name.
            services: the terms of requests for a service by its name, where they are others.
            cors: the policy of requests by name, and of routes that have none of their own.
        """
        self.routes = tuple(sorted(routes, key=lambda route: (-len(route.path), -route.strictness)))
        self.has_cors = cors is not None or any(route.cors is not None for route in routes)
        self._cors = cors
        self.by_name = by_name
        self._base = base or Route("by-name", "")
        self._services = dict(services or {})
        self._at_path: dict[bytes, list[Route]] = {}
        for route in self.routes:
            self._at_path.setdefault(route.path.encode(), []).append(route)
        self._lengths = sorted({len(path) for path in self._at_path}, reverse=True)
        self._slashed = {
            (route.path.encode(), route.service)
            for route in routes
            if route.exact and route.path.endswith("/")
        }
        self._conditional = any(route.when is not None for route in routes)
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
            if not self._depends_on_conditions(head.path):
                if len(self._matched) >= CACHE_SIZE:
                    self._matched.clear()
                self._matched[key] = found
        return found

    def cors_for(self, head: Head, *, method: bytes, preflight: bool) -> Cors | None:
        """Return the policy for a request of a page, whatever its keys.

        Args:
            head: of the request, or of the preflight that asks about it.
            method: of the request.
            preflight: the head is a preflight's.
        """
        routes = self._of_longest_path(head.path, head, preflight=preflight)
        allowing = [one for one in routes if not one.methods or method in one.methods]
        if allowing and not preflight:
            allowing = allowing[:1]  # the one that answers; a preflight does not tell
        policies = (one.cors for one in allowing or routes if one.cors is not None)
        return next(policies, self._cors)

    def unshared_lines(self, route: Route) -> bytes:
        """Render the cross-origin fields of a route's answer to a request without `Origin`."""
        policy = route.cors if route.cors is not None else self._cors
        return b"" if policy is None else policy.unshared_lines

    def _match(self, head: Head) -> tuple[Route, str, bytes]:
        routes = self._of_longest_path(head.path, head)
        for reading in self._other_readings(head.path, routes):
            same_service = routes or _first_segment(reading) == _first_segment(head.path)
            if not same_service or self._of_longest_path(reading, head) != routes:
                raise LocalReply(400, "http_request_error",
                                 "Servers read this path in different ways.")  # fmt: skip
        if routes:
            route = _for_method(routes, head.method)
            return route, route.service, route.rewrite(head.target)
        path, mark, query = head.target.partition(b"?")
        name = _first_segment(path).decode("latin-1")
        if not _NAME.fullmatch(name):  # such as the key of a service in another group
            raise LocalReply(404, "destination_not_found", "There is no service of this name.")
        if not self.by_name or (self.by_name is not True and name not in self.by_name):
            raise LocalReply(404, "destination_not_found", "No route matches this path.")
        route = self._services.get(name, self._base)
        return route, name, b"/" + path[1:].partition(b"/")[2] + mark + query

    def _other_readings(self, path: bytes, routes: Sequence[Route]) -> frozenset[bytes]:
        """Return the other paths that the servers behind these routes may read in a path."""
        readings = other_readings(path)
        if routes and routes[0].exact:  # whose author has written the last slash, or none
            return readings - {path.rstrip(b"/")}
        slashed = path + b"/"
        if any((slashed, route.service) in self._slashed for route in routes):
            return readings | {slashed}
        return readings

    def _of_longest_path(
        self, path: bytes, head: Head, *, preflight: bool = False
    ) -> tuple[Route, ...]:
        """Return the routes for a decoded path and a head, as far as none has a longer path."""
        for routes in self._at(path):
            met = [
                route
                for route in routes
                if route.when is None or route.when.met(head, preflight=preflight)
            ]
            if met:
                return tuple(met)
        return ()

    def _at(self, path: bytes) -> Iterator[list[Route]]:
        """Yield the routes that match a decoded path, those of one path at a time, longest first.

        However many routes there are, a path is looked up once for each length that routes have.
        """
        for length in self._lengths:
            known = self._at_path.get(path[:length]) if length <= len(path) else None
            if known is not None and (matching := [one for one in known if one.matches(path)]):
                yield matching

    def _depends_on_conditions(self, path: bytes) -> bool:
        """Return whether the route of a path depends on more than path and method."""
        if not self._conditional:
            return False
        readings = (path, path + b"/", *other_readings(path))
        return any(
            route.when is not None
            for one in readings
            for routes in self._at(one)
            for route in routes
        )

    def services(self) -> set[str]:
        """Return the services that routes, and terms of calls by name, name."""
        named = {route.service for route in self.routes if route.service}
        routes = (*self.routes, *self._services.values())
        shadows = {route.shadow.service for route in routes if route.shadow is not None}
        return named | shadows | self._services.keys()

    def split_routes(self) -> list[tuple[Route, str]]:
        """Return the routes and the terms of calls by name that have a split, with the service."""
        named = [(route, route.service) for route in self.routes]
        by_name = [(route, name) for name, route in self._services.items()]
        return [(route, name) for route, name in (*named, *by_name) if route.split is not None]

    def shadowed_routes(self) -> list[Route]:
        """Return the routes and the terms of calls by name whose requests are copied."""
        return [
            route for route in (*self.routes, *self._services.values()) if route.shadow is not None
        ]

    def describe(self) -> dict[str, Any]:
        """Describe the routes for a reader, in the order in which they are tried."""
        by_name = self.by_name if isinstance(self.by_name, bool) else sorted(self.by_name)
        return {
            "by_name": by_name,
            "services": {name: _describe(route) for name, route in self._services.items()},
            "routes": [_describe(route) for route in self.routes],
        }


def _divided(path: bytes, segments: int) -> tuple[bytes, bytes]:
    """Return the first segments of a path, and what follows them, with its slash."""
    parts = path.split(b"/", segments + 1)
    rest = b"/" + parts[-1] if len(parts) == segments + 2 else b""
    return b"/".join(parts[: segments + 1]), rest


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
        "conditions": route.strictness,
        "redirect": route.redirect.to.decode() if route.redirect else None,
        "protected": route.keys is not None,
        "split": route.split is not None,
        "upgrade": route.upgrade,
        "shadow": route.shadow.service if route.shadow else None,
    }
