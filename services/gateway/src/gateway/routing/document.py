"""The routes document: the keys an operator may write, and how they become a table.

It lives in Nacos under the data id `gateway`. A document with one mistake is refused as a whole,
with the reason; the routes in force stay.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Annotated, Any, Literal, Self

from failover import RetryPolicy, Subset
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from gateway.http.field_changes import FieldChanges
from gateway.http.heads import HANDLED, RESPONSE_HANDLED
from gateway.http.problems import Content
from gateway.routing.access import Keys
from gateway.routing.conditions import Conditions
from gateway.routing.cors import Cors
from gateway.routing.limits import ConcurrencyGuard, Ledger, RateGuard, own_ledger
from gateway.routing.pattern import TextPattern
from gateway.routing.spelling import plain
from gateway.routing.table import Redirect, Route, ShadowRule, Split, Table
from gateway.upstream.service import NAME, PER_TRY

DATA_ID = "gateway"
PERCENT = 100


def _spelled(pattern: str, told: str) -> AfterValidator:
    """Make the check that a whole text has a pattern; `told` is what to write instead."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"write {told}")
        return text

    return AfterValidator(check)


def _no_pattern(path: object) -> object:
    """Refuse a path that is a pattern elsewhere, as in Spring, with the path to write instead."""
    if isinstance(path, str) and re.search(r"[*{}?]", path):
        beginning = re.split(r"/?[^/]*[*{}?]", path, maxsplit=1)[0] or "/"
        raise ValueError(
            f"{path} is a pattern. A path has everything below it, so write {beginning}"
        )
    return path


def _plain(path: str) -> str:
    """Refuse a path that servers read as another: requests for it are refused, too."""
    if path != (read := plain(path.encode()).decode()):
        raise ValueError(f"{path} reads to many servers as {read}, so write that")
    return path


Path = Annotated[
    str,
    BeforeValidator(_no_pattern),
    StringConstraints(max_length=512),
    _spelled(
        r"/[A-Za-z0-9._~!$&'()+,;=:@/-]*",
        "a path that begins with a slash and has no space, % or letter beyond ASCII",
    ),
    AfterValidator(_plain),
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ServiceName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
ServiceKey = Annotated[str, StringConstraints(pattern=f"^([A-Za-z0-9._:-]{{1,128}}@@)?{NAME}$")]
NAMESPACE = r"^[A-Za-z0-9_-]{1,64}$"
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Sha256 = Annotated[str, _spelled("[0-9a-f]{64}", "the SHA-256 of the token, in 64 hex digits")]
Labels = Annotated[dict[str, str], Field(min_length=1, max_length=8)]
Text = Annotated[str, StringConstraints(max_length=256)]
FieldName = Annotated[
    str,
    _spelled(
        r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}",
        "the name of a field: 64 letters, digits and -_. at most",
    ),
]
FieldValue = Annotated[
    str,
    StringConstraints(max_length=1024),
    _spelled(r"[!-~]([ -~\t]*[!-~])?", "visible ASCII without a space at an end"),
]
Host = Annotated[
    str,
    StringConstraints(max_length=253),
    _spelled(
        r"(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]",
        "a name without a port, *.example.com for all names below one, or [::1]",
    ),
]


def _as_sent(origin: str) -> str:
    """Refuse an origin that no browser sends, with the one to write instead."""
    for scheme, port in (("http://", ":80"), ("https://", ":443")):
        if origin.startswith(scheme) and origin.endswith(port):
            told = origin.removesuffix(port)
            raise ValueError(f"browsers send {origin} without the port: write {told}")
    return origin


Origin = Annotated[
    str,
    _spelled(
        r"\*|null|[a-z][a-z0-9+.-]{0,31}://(\*\.)?[a-z0-9.-]{1,200}(:[0-9]{1,5})?",
        "https://host in lower case, without a path, https://*.host, or *",
    ),
    AfterValidator(_as_sent),
]
"""An origin as browsers send it, or a pattern of such origins."""
MAX_AGE = 86_400


SPRING_KEYS = {
    "id": "write name",
    "uri": "write service: NAME for lb://NAME",
    "predicates": "write path, methods and when",
    "filters": "write strip_prefix, rewrite, request_headers, response_headers, redirect, retries",
    "order": "leave it out, the longest path decides",
    "metadata": "write timeout for response-timeout",
}
"""Keys of a route in Spring Cloud Gateway, with what to write here."""


class DocumentPart(BaseModel):
    """A part of the document; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pattern(DocumentPart):
    """A regular expression that a whole value has to match, without look-around."""

    regex: Annotated[str, StringConstraints(min_length=1, max_length=1024)]

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        TextPattern(regex)
        return regex


Wanted = Annotated[dict[Text, Text | Pattern], Field(max_length=16)]
"""Values, or patterns of values, by name."""


class When(DocumentPart):
    """The conditions on a request beside its path; all have to be met.

    Attributes:
        hosts: names, without a port; `*.example.com` is every name below example.com.
        headers: header fields by name.
        query: query parameters by name.
        cookies: cookies by name.
    """

    hosts: Annotated[list[Host], Field(max_length=64)] = Field(default_factory=list)
    headers: Annotated[dict[FieldName, Text | Pattern], Field(max_length=16)] = Field(
        default_factory=dict
    )
    query: Wanted = Field(default_factory=dict)
    cookies: Wanted = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.hosts or self.headers or self.query or self.cookies):
            raise ValueError("when has no condition")
        for name in _repeated(self.headers):
            raise ValueError(f"two conditions for {name}: write one, a pattern can have both")
        return self

    def compile(self) -> Conditions:
        """Compile the conditions."""
        return Conditions(
            hosts=[host.lower().removesuffix(".") for host in self.hosts],
            fields=_wanted({name.lower(): value for name, value in self.headers.items()}),
            query=_wanted(self.query),
            cookies=_wanted(self.cookies),
        )


class SplitShare(DocumentPart):
    """A share of the traffic for the instances with these labels.

    Attributes:
        metadata: labels of the instances.
        weight: percent of the requests.
        when: requests that go there in any case.
    """

    metadata: Labels
    weight: Annotated[int, Field(ge=0, le=100)] = 0
    when: When | None = None

    @model_validator(mode="after")
    def _gets_something(self) -> Self:
        if self.when is None and "weight" not in self.model_fields_set:
            raise ValueError("a share of a split needs weight, or when")
        return self


class CorsEntry(DocumentPart):
    """The policy for pages of other origins, answered by the gateway for its services.

    Attributes:
        origins: `https://app.example.com`, `https://*.example.com`, or `*` for every page.
        methods: those that a page may use; default all.
        headers: request fields that a page may set; default, or `*`: all.
        expose: response fields that a page may read beside those that it always may.
        credentials: the browser sends cookies along.
        max_age: seconds for which a browser remembers the answer to its question.
    """

    origins: Annotated[list[Origin], Field(min_length=1, max_length=64)]
    methods: Annotated[list[Method], Field(max_length=7)] = Field(default_factory=list)
    headers: Annotated[list[FieldName], Field(max_length=64)] = Field(default_factory=list)
    expose: Annotated[list[FieldName], Field(max_length=64)] = Field(default_factory=list)
    credentials: bool = False
    max_age: Annotated[int, Field(ge=0, le=MAX_AGE)] = 600

    @model_validator(mode="after")
    def _every_page_is_no_friend(self) -> Self:
        for every in {"*", "null"}.intersection(self.origins if self.credentials else ()):
            raise ValueError(
                f"credentials for every page ({every}) would let any page act for its reader"
            )
        return self

    def compile(self) -> Cors:
        """Compile the policy."""
        return Cors(
            self.origins, methods=self.methods,
            headers=() if "*" in self.headers else self.headers,
            expose=self.expose, credentials=self.credentials, max_age=self.max_age,
        )  # fmt: skip


class HeaderChanges(DocumentPart):
    """Header fields that are set, added or removed.

    Attributes:
        set: values that take the place of all values of a field.
        add: values beside those that are there.
        remove: names.
    """

    set: Annotated[dict[FieldName, FieldValue], Field(max_length=32)] = Field(default_factory=dict)
    add: Annotated[dict[FieldName, FieldValue], Field(max_length=32)] = Field(default_factory=dict)
    remove: Annotated[list[FieldName], Field(max_length=32)] = Field(default_factory=list)

    def compile(self, own: frozenset[bytes]) -> FieldChanges:
        """Compile the changes.

        Args:
            own: lower-case names of the fields that the gateway itself writes or reads.

        Raises:
            ValueError: one of the fields is the gateway's own, or is set twice.
        """
        for name in (*self.set, *self.add, *self.remove):
            if name.lower().encode() in own:
                hint = ", set preserve_host: true" if name.lower() == "host" else ""
                raise ValueError(f"{name} is written by the gateway itself{hint}")
        for name in _repeated(self.set):
            raise ValueError(f"two values for {name}: write one under set, the other under add")
        return FieldChanges(replace=self.set, add=self.add, remove=self.remove)


class RedirectEntry(DocumentPart):
    """Where a route's requests are sent instead of to a service.

    Attributes:
        to: URL, or a path.
        status: of the reply.
        keep_path: the rest of the path below the route's, and the query, are put behind `to`.
    """

    to: Annotated[
        str,
        StringConstraints(max_length=2048),
        _spelled(
            r"(https?://[A-Za-z0-9.:\[\]-]+([/?#][!-~]*)?|/(?!/)[!-~]*)",
            "https://host/path, or /path",
        ),
    ]
    status: Literal[301, 302, 303, 307, 308] = 302
    keep_path: bool = False

    @model_validator(mode="after")
    def _ends_in_a_path(self) -> Self:
        if self.keep_path and (behind := re.search("[?#].*", self.to)):
            raise ValueError(f"keep_path puts a path behind {self.to}: leave out {behind[0]}")
        return self

    def compile(self) -> Redirect:
        """Compile the entry."""
        return Redirect(self.to.encode(), self.status, keep_path=self.keep_path)


class FallbackEntry(DocumentPart):
    """The reply to a request that no instance has answered.

    Attributes:
        status: of the reply.
        body: its content, in UTF-8.
        content_type: of the content.
    """

    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: Annotated[str, StringConstraints(max_length=16 * 1024)] = ""
    content_type: FieldValue = "application/json"

    @model_validator(mode="after")
    def _may_have_a_body(self) -> Self:
        if self.body and self.status in (204, 205, 304):
            raise ValueError(f"a reply of status {self.status} has no body: leave body out")
        return self

    def compile(self) -> tuple[int, Content]:
        """Compile the entry."""
        return self.status, Content(self.body.encode(), self.content_type if self.body else "")


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

    service: ServiceKey
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
        hedge: a request that may run twice goes to a second instance when it takes longer than 99
            of 100 like it; the first answer wins. Default true.
        replay_bytes: a body up to this size is kept to be sent again; default 64 KiB.
        max_body_bytes: a larger body is refused; default 10 MiB.
    """

    timeout: Seconds | None = None
    per_try_timeout: Seconds | None = None
    retries: Annotated[int, Field(ge=0, le=5)] | None = None
    idle_timeout: Seconds | None = None
    body_timeout: Seconds | None = None
    hedge: bool | None = None
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
    "hedge": "hedge",
    "replay_bytes": "replay",
    "max_body_bytes": "max_body",
}
"""The field of a `Route` that holds a term."""


OF_REDIRECT = frozenset(
    {"name", "path", "exact", "redirect", "when", "methods", "keys", "cors", "response_headers"}
)
"""Keys that a route with a redirect can have."""


class Traffic(Terms):
    """The terms, the canaries and the shadow of a route, or of the calls of a service by name.

    Attributes:
        split: weights in percent; the rest goes to all other instances.
        sticky: name of the request header that decides instead of chance.
        sticky_cookie: name of the cookie that does.
        shadow: copies of the requests.
    """

    split: Annotated[list[SplitShare], Field(max_length=8)] = Field(default_factory=list)
    sticky: FieldName | None = None
    sticky_cookie: FieldName | None = None
    shadow: ShadowEntry | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if sum(share.weight for share in self.split) > PERCENT:
            raise ValueError("the weights of the split are over 100 percent")
        if (self.sticky or self.sticky_cookie) and not self.split:
            raise ValueError("sticky needs a split")
        if self.sticky and self.sticky_cookie:
            raise ValueError("sticky by a header and by a cookie: write one")
        return self

    def compiled(self, defaults: Terms) -> dict[str, Any]:
        """Return all of this as fields of a route, as `Terms` does."""
        shadow = self.shadow.compile() if self.shadow else None
        return {**super().compiled(defaults), "split": self._split(), "shadow": shadow}

    def _split(self) -> Split | None:
        if not self.split:
            return None
        labels = [_pairs(share.metadata) for share in self.split]
        uppers = [total / PERCENT for total in accumulate(share.weight for share in self.split)]
        shares = [(upper, Subset(one)) for upper, one in zip(uppers, labels, strict=True)]
        rest = Subset(without=tuple(labels))
        return Split(
            (*shares, (1.0, rest)),
            sticky=(self.sticky or "").lower().encode(),
            sticky_cookie=(self.sticky_cookie or "").encode(),
            chosen=tuple(
                (share.when.compile(), Subset(one))
                for share, one in zip(self.split, labels, strict=True)
                if share.when is not None
            ),
        )


class RouteEntry(Traffic):
    """One route.

    Attributes:
        name: for metrics and logs; default: the path.
        path: the request's path, and everything below it unless `exact`.
        service: Nacos service; `GROUP@@name` for one of another group.
        namespace: id of the service's namespace, where that is another than the gateway's.
        redirect: where requests are sent instead of to a service.
        when: what a request must meet beside the path. Of two routes with the same path, the one
            with more conditions is asked first.
        methods: allowed ones; default all.
        strip_prefix: leading part of `path` that the service does not see.
        rewrite: path that is put in its place.
        idempotent: methods that may run twice; default: as the service declares.
        rate_limit: over all workers of all gateways.
        concurrency: requests at a time, over all workers of all gateways.
        keys: SHA-256 digests (hex) of the tokens and API keys that open the route.
        upgrade: WebSockets are let through; default: as the service declares (metadata
            `gateway.upgrade`).
        cors: the policy for pages of other origins; default: the document's.
        request_headers: changes to the requests.
        response_headers: changes to the responses.
        fallback: the reply to a request that no instance has answered.
        preserve_host: instances get the `Host` that the client sent; default: their own address.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    path: Path
    exact: bool = False
    service: ServiceKey | None = None
    namespace: Annotated[str, StringConstraints(pattern=NAMESPACE)] | None = None
    redirect: RedirectEntry | None = None
    when: When | None = None
    methods: Annotated[list[Method], Field(max_length=7)] = Field(default_factory=list)
    strip_prefix: Path | None = None
    rewrite: Path | None = None
    idempotent: list[Method] | None = None
    rate_limit: RateLimit | None = None
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    keys: Annotated[list[Sha256], Field(min_length=1, max_length=64)] | None = None
    upgrade: bool | None = None
    cors: CorsEntry | None = None
    request_headers: HeaderChanges | None = None
    response_headers: HeaderChanges | None = None
    fallback: FallbackEntry | None = None
    preserve_host: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_spring(cls, entry: object) -> object:
        """Refuse Spring's keys with the key to write instead."""
        if isinstance(entry, dict) and (foreign := sorted(set(entry) & set(SPRING_KEYS))):
            told = "; ".join(f"{key}: {SPRING_KEYS[key]}" for key in foreign)
            raise ValueError(
                f"keys of Spring Cloud Gateway ({told}). gateway-routes import translates a file"
            )
        return entry

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.service is None) == (self.redirect is None):
            raise ValueError(f"{self.path} needs a service, or a redirect, and not both")
        if self.namespace is not None and self.service is None:
            raise ValueError(f"{self.path} has a namespace, but no service")
        if self.redirect is not None:
            of_service = [
                name
                for name, field in RouteEntry.model_fields.items()
                if name not in OF_REDIRECT
                and getattr(self, name) != field.get_default(call_default_factory=True)
            ]
            if of_service:
                raise ValueError(f"{', '.join(of_service)} are for routes with a service")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        strip = (self.strip_prefix or "/").rstrip("/")
        if strip and self.path != strip and not self.path.startswith(strip + "/"):
            raise ValueError(
                f"strip_prefix {self.strip_prefix} is not the beginning of {self.path}"
            )
        self._changes()
        return self

    def compile(self, defaults: Terms, ledger: Ledger) -> Route:
        """Compile the entry into the route that requests are matched against.

        Args:
            defaults: the terms where the entry says nothing.
            ledger: where its limits count.
        """
        request, response = self._changes()
        return Route(
            name=self.label,
            service=self._service(),
            path=self.path if self.exact else self.path.rstrip("/") or "/",
            strip=(self.strip_prefix or "").rstrip("/").encode(),
            prefix=(self.rewrite or "").rstrip("/").encode(),
            methods=frozenset(method.encode() for method in self.methods),
            exact=self.exact,
            idempotent=None
            if self.idempotent is None
            else frozenset(method.encode() for method in self.idempotent),
            rate=self._rate(ledger),
            concurrency=self._concurrency(ledger),
            keys=Keys(self.keys) if self.keys else None,
            upgrade=self.upgrade,
            when=self.when.compile() if self.when else None,
            cors=self.cors.compile() if self.cors else None,
            request_changes=request,
            response_changes=response,
            redirect=self.redirect.compile() if self.redirect else None,
            fallback=self.fallback.compile() if self.fallback else None,
            preserve_host=self.preserve_host,
            **self.compiled(defaults),
        )

    @property
    def label(self) -> str:
        """Return the name by which metrics, logs and the next document know the route."""
        return self.name or self.path

    def _service(self) -> str:
        """Return the key under which the service is followed, "" for a redirect."""
        if self.service is None or self.namespace is None:
            return self.service or ""
        return f"{self.namespace}/{self.service}"

    def _changes(self) -> tuple[FieldChanges | None, FieldChanges | None]:
        """Compile the changes of requests and of responses."""
        request, response = self.request_headers, self.response_headers
        return (
            request.compile(HANDLED) if request else None,
            response.compile(RESPONSE_HANDLED) if response else None,
        )

    def _rate(self, ledger: Ledger) -> RateGuard | None:
        limit = self.rate_limit
        if limit is None:
            return None
        return RateGuard(self.label, limit.per_second, limit.burst, ledger)

    def _concurrency(self, ledger: Ledger) -> ConcurrencyGuard | None:
        width = self.concurrency
        return None if width is None else ConcurrencyGuard(self.label, width, ledger)


class RoutesDocument(DocumentPart):
    """The whole document; an absent document means the defaults.

    Attributes:
        by_name: whether (or which) services are reachable as `/{service}/{path}`. A route with keys
            protects its own path only: list services here, or say false, to close the other way.
        defaults: the terms of calls by name, and of routes that say nothing else.
        cors: the policy for pages of other origins, by name and for routes that have none.
        services: the terms, canaries and shadows of calls by name, by the service's name.
        routes: in any order; the longest path wins.
    """

    by_name: bool | list[ServiceName] = True
    defaults: Terms = Field(default_factory=Terms)
    cors: CorsEntry | None = None
    services: Annotated[dict[ServiceName, Traffic], Field(max_length=1000)] = Field(
        default_factory=dict
    )
    routes: Annotated[list[RouteEntry], Field(max_length=1000)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [entry.label for entry in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"route names must differ: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _services_are_open(self) -> Self:
        open_ones = self.by_name if isinstance(self.by_name, list) else ()
        closed = [] if self.by_name is True else sorted(set(self.services).difference(open_ones))
        if closed:
            raise ValueError(f"services has {', '.join(closed)}, which by_name does not open")
        return self

    def compile(self, ledger: Ledger | None = None, own: Iterable[Route] = ()) -> Table:
        """Compile the document into the table of routes.

        Args:
            ledger: where limits count, also those of earlier documents; default: a new one.
            own: routes of the gateway's own, which give way to those of the document.
        """
        terms, counts = self.defaults, ledger or own_ledger()
        routes = [*(entry.compile(terms, counts) for entry in self.routes), *own]
        by_name = self.by_name if isinstance(self.by_name, bool) else frozenset(self.by_name)
        base = Route("by-name", "", **terms.compiled(terms))
        cors = self.cors.compile() if self.cors else None
        services = {
            name: Route(f"by-name {name}", "", **entry.compiled(terms))
            for name, entry in self.services.items()
        }
        return Table(routes, by_name=by_name, base=base, services=services, cors=cors)


def _wanted(values: Mapping[str, str | Pattern]) -> dict[bytes, bytes | TextPattern]:
    """Compile values and patterns of values."""
    return {
        name.encode(): value.encode() if isinstance(value, str) else TextPattern(value.regex)
        for name, value in values.items()
    }


def _repeated(names: Iterable[str]) -> list[str]:
    """Return the names that are there twice when letters count alike."""
    lower = [name.lower() for name in names]
    return sorted({name for name in lower if lower.count(name) > 1})


def _pairs(metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(metadata.items()))
