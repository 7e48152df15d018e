"""The routes document: the keys an operator may write, and how they become a table.

It lives in Nacos under the data id `gateway`. A document with one mistake is refused as a whole,
with the reason; the routes in force stay.
"""

import re
from itertools import accumulate
from typing import Annotated, Any, Literal, Self

from failover import RetryPolicy, Subset
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from gateway.routing.access import ConcurrencyGuard, Keys, RateGuard
from gateway.routing.table import Route, ShadowRule, Split, Table
from gateway.upstream.service import NAME, PER_TRY

DATA_ID = "gateway"
PERCENT = 100


def _no_pattern(path: object) -> object:
    """Refuse a path that is a pattern elsewhere, as in Spring, with the path to write instead."""
    if isinstance(path, str) and re.search(r"[*{}?]", path):
        beginning = re.split(r"/?[^/]*[*{}?]", path, maxsplit=1)[0] or "/"
        raise ValueError(
            f"{path} is a pattern. A path has everything below it, so write {beginning}"
        )
    return path


Path = Annotated[
    str,
    BeforeValidator(_no_pattern),
    StringConstraints(pattern=r"^/[A-Za-z0-9._~!$&'()+,;=:@/-]*$", max_length=512),
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ServiceName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Labels = Annotated[dict[str, str], Field(min_length=1, max_length=8)]


class DocumentPart(BaseModel):
    """A part of the document; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitShare(DocumentPart):
    """A share of the traffic for the instances with these labels."""

    metadata: Labels
    weight: Annotated[int, Field(ge=0, le=100)]


class RateLimit(DocumentPart):
    """Requests per second on average, and at once."""

    per_second: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)]


class ShadowEntry(DocumentPart):
    """Copies of a route's requests, sent when the client has its answer.

    Attributes:
        service: Nacos service that gets the copies; its answers are compared and thrown away.
        share: percent of the requests.
        metadata: only instances with these labels get copies.
        compare: `status`, or `body`: status and body, byte for byte.
        ignore: members of a JSON object that may differ, for `compare: body`.
        timeout: seconds for a copy.
    """

    service: ServiceName
    share: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 100.0
    metadata: Labels | None = None
    compare: Literal["status", "body"] = "status"
    ignore: Annotated[list[str], Field(max_length=16)] = Field(default_factory=list)
    timeout: Seconds = 5.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ignore and self.compare != "body":
            raise ValueError("ignore needs compare: body")
        return self

    def compile(self) -> ShadowRule:
        """Compile the entry into the rule that the data path reads."""
        return ShadowRule(
            self.service,
            share=self.share / PERCENT,
            timeout=self.timeout,
            subset=Subset(_pairs(self.metadata or {})),
            body=self.compare == "body",
            ignore=frozenset(self.ignore),
        )


class Terms(DocumentPart):
    """The terms that a route has of its own, or from `defaults`.

    Attributes:
        timeout: seconds until the response head, everything included; default: what the service
            says of itself (metadata `gateway.timeout`), or 15.
        per_try_timeout: seconds until an attempt is given up for one on another instance; default
            5, or the share of `timeout` of each attempt where that is more. An attempt that none
            could follow has the time that is left of `timeout`.
        retries: attempts after the first; default 2.
        idle_timeout: seconds without a byte of the response, or in either direction of a WebSocket;
            default 30, for server-sent events and WebSockets 3600.
        body_timeout: seconds without a byte of the request's body; default: GATEWAY_BODY_TIMEOUT.
        replay_bytes: a body up to this size is kept to be sent again; default 64 KiB.
        max_body_bytes: a larger body is refused; default 10 MiB.
    """

    timeout: Seconds | None = None
    per_try_timeout: Seconds | None = None
    retries: Annotated[int, Field(ge=0, le=5)] | None = None
    idle_timeout: Seconds | None = None
    body_timeout: Seconds | None = None
    replay_bytes: Annotated[int, Field(ge=0, le=1024 * 1024)] | None = None
    max_body_bytes: Annotated[int, Field(ge=0, le=1024 * 1024 * 1024)] | None = None

    @model_validator(mode="after")
    def _attempt_within_request(self) -> Self:
        if self.per_try_timeout and self.timeout and self.per_try_timeout > self.timeout:
            raise ValueError("per_try_timeout is over timeout")
        return self

    def compiled(self, defaults: "Terms") -> dict[str, Any]:
        """Return these terms, or those of `defaults` where these say nothing, as fields of a route.

        A field that neither sets is left to the route.
        """
        said = {
            name: value
            for terms in (defaults, self)
            for name in Terms.model_fields
            if (value := getattr(terms, name)) is not None
        }
        policy = RetryPolicy(max_attempts=1 + said.pop("retries", 2))
        timeout, per_try = said.get("timeout"), said.get("per_try_timeout")
        if timeout is not None:
            usual = max(PER_TRY, timeout / policy.max_attempts)
            said["per_try_timeout"] = min(per_try or usual, timeout)
        return {_FIELD_OF[name]: value for name, value in said.items()} | {"retry": policy}


_FIELD_OF = {
    "timeout": "timeout",
    "per_try_timeout": "per_try",
    "idle_timeout": "idle",
    "body_timeout": "body_idle",
    "replay_bytes": "replay",
    "max_body_bytes": "max_body",
}
"""The field of a `Route` that holds a term."""


class RouteEntry(Terms):
    """One route.

    Attributes:
        name: for metrics and logs; default: the path.
        path: the request's path, and everything below it unless `exact`.
        service: Nacos service.
        methods: allowed ones; default all.
        strip_prefix: leading part of `path` that the service does not see.
        rewrite: path that is put in its place.
        idempotent: methods that may run twice; default: as the service declares.
        split: weights in percent; the rest goes to all other instances.
        sticky: name of the request header that decides instead of chance.
        rate_limit: for each worker.
        concurrency: requests at a time, for each worker.
        keys: SHA-256 digests (hex) of the tokens and API keys that open the route.
        upgrade: WebSockets are let through.
        shadow: copies of the requests.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    path: Path
    exact: bool = False
    service: ServiceName
    methods: Annotated[list[Method], Field(max_length=7)] = Field(default_factory=list)
    strip_prefix: Path | None = None
    rewrite: Path | None = None
    idempotent: list[Method] | None = None
    split: Annotated[list[SplitShare], Field(max_length=8)] = Field(default_factory=list)
    sticky: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    rate_limit: RateLimit | None = None
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    keys: Annotated[list[Sha256], Field(min_length=1, max_length=64)] | None = None
    upgrade: bool = False
    shadow: ShadowEntry | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        strip = (self.strip_prefix or "/").rstrip("/")
        if strip and self.path != strip and not self.path.startswith(strip + "/"):
            raise ValueError(
                f"strip_prefix {self.strip_prefix} is not the beginning of {self.path}"
            )
        if sum(share.weight for share in self.split) > PERCENT:
            raise ValueError(f"the weights of the split of {self.path} are over 100 percent")
        if self.sticky is not None and not self.split:
            raise ValueError(f"{self.path} is sticky, but has no split")
        return self

    def compile(self, defaults: Terms, before: Route | None = None) -> Route:
        """Compile the entry into the route that requests are matched against.

        Args:
            defaults: the terms where the entry says nothing.
            before: the route of this name that is in force; unchanged limits go on counting.
        """
        return Route(
            name=self.label,
            service=self.service,
            path=self.path if self.exact else self.path.rstrip("/") or "/",
            strip=(self.strip_prefix or "").rstrip("/").encode(),
            prefix=(self.rewrite or "").rstrip("/").encode(),
            methods=frozenset(method.encode() for method in self.methods),
            exact=self.exact,
            idempotent=None
            if self.idempotent is None
            else frozenset(method.encode() for method in self.idempotent),
            split=self._split(),
            rate=self._rate(before.rate if before else None),
            concurrency=self._concurrency(before.concurrency if before else None),
            keys=Keys(self.keys) if self.keys else None,
            upgrade=self.upgrade,
            shadow=self.shadow.compile() if self.shadow else None,
            **self.compiled(defaults),
        )

    @property
    def label(self) -> str:
        """Return the name by which metrics, logs and the next document know the route."""
        return self.name or self.path

    def _rate(self, before: RateGuard | None) -> RateGuard | None:
        limit = self.rate_limit
        if limit is None:
            return None
        if before and (before.per_second, before.burst) == (limit.per_second, limit.burst):
            return before
        return RateGuard(limit.per_second, limit.burst)

    def _concurrency(self, before: ConcurrencyGuard | None) -> ConcurrencyGuard | None:
        if self.concurrency is None:
            return None
        if before and before.width == self.concurrency:
            return before
        return ConcurrencyGuard(self.concurrency)

    def _split(self) -> Split | None:
        if not self.split:
            return None
        labels = [_pairs(share.metadata) for share in self.split]
        uppers = [total / PERCENT for total in accumulate(share.weight for share in self.split)]
        shares = [(upper, Subset(one)) for upper, one in zip(uppers, labels, strict=True)]
        rest = Subset(without=tuple(labels))
        return Split((*shares, (1.0, rest)), (self.sticky or "").lower().encode())


class RoutesDocument(DocumentPart):
    """The whole document; an absent document means the defaults.

    Attributes:
        by_name: whether (or which) services are reachable as `/{service}/{path}`. A route with keys
            protects its own path only: list services here, or say false, to close the other way.
        defaults: the terms of calls by name, and of routes that say nothing else.
        routes: in any order; the longest path wins.
    """

    by_name: bool | list[ServiceName] = True
    defaults: Terms = Field(default_factory=Terms)
    routes: Annotated[list[RouteEntry], Field(max_length=1000)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [entry.label for entry in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"route names must differ: {', '.join(twice)}")
        return self

    def compile(self, before: Table | None = None) -> Table:
        """Compile the document into the table of routes.

        Args:
            before: the table in force; its limits go on counting where they stay the same.
        """
        known = {route.name: route for route in before.routes} if before else {}
        terms = self.defaults
        routes = [entry.compile(terms, known.get(entry.label)) for entry in self.routes]
        by_name = self.by_name if isinstance(self.by_name, bool) else frozenset(self.by_name)
        base = Route("by-name", "", **terms.compiled(terms))
        return Table(routes, by_name=by_name, base=base)


def _pairs(metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(metadata.items()))
