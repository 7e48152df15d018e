"""One route of Spring Cloud Gateway, as entries of the routes document.

An entry never does more than Spring's route. Where a predicate is left out, or a filter without
which a request would be another, the entry is closed: its path stays taken, and no key opens it.
`predicates.py` and `filters.py` are the tables of what has a counterpart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.routing.spring.source import SpringFileError, flat, get, items, relaxed
from gateway.upstream.service import NAME

CLOSED = "0" * 64
"""The digest of an entry that is closed; no token with this SHA-256 is known."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
DEFAULT_FILTERS = "default-filters"
MAX_PARTS = 100
"""Predicates or filters of a route, and paths of a predicate."""
MAX_PATH = 512
MAX_SECONDS = 3600.0
MAX_VALUE = 1024
"""Characters of a header field's value."""
SEGMENT = re.compile(r"(?!\.\.?$)[A-Za-z0-9._~!$&'()+,=:@-]+")
FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
REDIRECTED = ("redirect", "methods", "when", "keys")
"""Keys of a route that redirects."""
DURATIONS = {"": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of Spring's configuration that has no counterpart, or not quite.

    Attributes:
        where: id of the route, or the key.
        text: the piece as Spring has it.
        why: reason, and the text to write instead.
        left_out: the piece is missing in the document; otherwise it only differs.
    """

    where: str
    text: str
    why: str
    left_out: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}: {self.why}"

    def without_place(self) -> str:
        """Return the finding for a reader who sees where it is."""
        return f"{'left out' if self.left_out else 'note'}: {self.text}: {self.why}"


@dataclass(frozen=True, slots=True)
class SpringPart:
    """A predicate or a filter, in either of its spellings.

    Attributes:
        name: its name.
        args: by name; those of the short spelling are named by their place.
        text: the short spelling.
        shared: it is a default filter, of all routes.
    """

    name: str
    args: Mapping[str, str]
    text: str
    shared: bool = False

    @classmethod
    def read(cls, tree: Any, *, shared: bool = False) -> "SpringPart":
        """Read `Name=a,b`, or a mapping of `name` and `args`."""
        if isinstance(tree, str):
            name, _, rest = tree.partition("=")
            args = {f"_genkey_{i}": text for i, text in enumerate(items(rest))}
            return cls(name.strip(), args, tree, shared)
        name = get(tree, "name")
        args = dict(flat(get(tree, "args")))
        short = f"{name}=" + ", ".join(
            value if key.startswith("_genkey_") else f"{key}: {value}"
            for key, value in args.items()
        )
        return cls(name.strip() if isinstance(name, str) else "", args, short.rstrip("="), shared)

    def values(self) -> list[str]:
        """Return all arguments, whatever they are called."""
        return [one for text in self.args.values() for one in items(text)]

    def named(self, *order: str) -> dict[str, str]:
        """Return the arguments by their relaxed names.

        Args:
            order: names of the arguments of the short spelling.
        """
        known = {}
        for place, (key, value) in enumerate(self.args.items()):
            if key.startswith("_genkey_") and place < len(order):
                key = order[place]  # noqa: PLW2901
            known[relaxed(key)] = value.strip()
        return known


@dataclass(slots=True)
class RoutePath:
    """A path of a route, and the path that the service gets for it.

    Attributes:
        path: as in the document.
        exact: nothing below it belongs to it.
        target: the path as it is sent, "" for the root; what is below `path` follows.
    """

    path: str
    exact: bool
    target: str = ""

    def covers(self, other: "RoutePath") -> bool:
        """Return whether all requests that match the other path match this one."""
        if self.exact:
            return other.exact and other.path == self.path
        return (other.path + "/").startswith(self.path.rstrip("/") + "/")

    def match(self) -> dict[str, Any]:
        """Return the keys of the document that say which paths match."""
        return {"path": self.path, "exact": True} if self.exact else {"path": self.path}

    def rewriting(self) -> dict[str, Any]:
        """Return the keys of the document that make the target of the path."""
        old, new = segments(self.path), segments(self.target)
        while old and new and old[-1] == new[-1]:
            old.pop()
            new.pop()
        parts = {"strip_prefix": old, "rewrite": new}
        return {key: "/" + "/".join(names) for key, names in parts.items() if names}


@dataclass(slots=True)
class RouteDraft:
    """A route while it is translated.

    Attributes:
        id: Spring's id of the route.
        keys: keys of the document, without those of the paths.
        paths: its paths; without a Path predicate the root.
        findings: what has no counterpart.
        closed: something is left out without which the route would do more.
        prefixed: a PrefixPath is done; Spring heeds no second one.
        where: the place that findings name: the route, or the default filters.
    """

    id: str
    keys: dict[str, Any] = field(default_factory=dict)
    paths: list[RoutePath] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    closed: bool = False
    prefixed: bool = False
    where: str = field(init=False)

    def __post_init__(self) -> None:
        self.where = self.id

    def remark(self, text: str, why: str) -> None:
        """Note that a piece is carried over, and that something about it differs."""
        self.findings.append(Finding(self.where, text, why, left_out=False))

    def leave_out(self, text: str, why: str, *, close: bool = True) -> None:
        """Note that a piece is missing in the document."""
        self.findings.append(Finding(self.where, text, why))
        self.closed = self.closed or close

    @property
    def unconditional(self) -> bool:
        """Return whether the path alone decides if a request is this route's."""
        return not self.closed and not {"when", "methods"} & self.keys.keys()

    def covers(self, path: RoutePath) -> bool:
        """Return whether all requests below another path are below one of the route's paths."""
        return any(own.covers(path) for own in self.paths)

    def has(self, path: RoutePath) -> bool:
        """Return whether one of the route's paths has the same path."""
        return any(own.path == path.path for own in self.paths)

    def entries(self) -> list[dict[str, Any]]:
        """Return an entry of the document for each path."""
        common = dict(self.keys)
        service = common.pop("service", None) or name_of(self.id)
        if self.closed:
            common["keys"] = [CLOSED]
        if "redirect" in common:  # no service: what is sent to one has no meaning
            common = {key: common[key] for key in REDIRECTED if key in common}
            return [path.match() | common for path in self.paths]
        return [
            path.match() | {"service": service} | path.rewriting() | common for path in self.paths
        ]


def listed(values: list[Any]) -> dict[str, Any]:
    """Return a list as the trees of a file have it."""
    return {str(place): value for place, value in enumerate(values)}


def bounded(parts: list[Any]) -> list[Any]:
    """Return the predicates or filters of a list, or the paths of a predicate.

    Raises:
        SpringFileError: there are too many.
    """
    if len(parts) > MAX_PARTS:
        raise SpringFileError(f"a list of {len(parts)} parts in a route; {MAX_PARTS} may be there")
    return parts


def is_open(key: str, text: str) -> bool:
    """Return whether a text waits for a value of the environment, or for Java."""
    return "${" in text or ("#{" in text and "keyresolver" not in relaxed(key))


def segments(path: str) -> list[str]:
    """Return the segments of a path, without the empty ones."""
    return [segment for segment in path.split("/") if segment]


def name_of(text: str) -> str:
    """Return a name that Nacos takes for a service, made of a text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("._-") or "service"


def seconds(text: Any) -> float | None:
    """Return the seconds of a duration like `200`, `5s` or `PT1M30S`, None if it is none."""
    text = text.strip() if isinstance(text, str) else ""
    if plain := re.fullmatch(r"([0-9]{1,12})(ms|s|m|h|)", text):
        return int(plain[1]) * DURATIONS[plain[2]]
    iso = re.fullmatch(
        r"PT(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?",
        text,
        re.IGNORECASE,
    )
    if iso and any(iso.groups()):
        hours, minutes, rest = (float(group or 0) for group in iso.groups())
        return hours * 3600 + minutes * 60 + rest
    return None


def limited(time: float) -> float:
    """Return seconds that the document takes, without a needless point."""
    time = round(max(0.001, min(float(time), MAX_SECONDS)), 3)
    return int(time) if time.is_integer() else time


def number(text: str | None, low: int, high: int) -> int | None:
    """Return a whole number within bounds, None if the text is none."""
    if text is None or not re.fullmatch(r"[0-9]{1,15}", text):
        return None
    return value if low <= (value := int(text)) <= high else None


def add_uri(draft: RouteDraft, uri: str) -> None:
    """Put the address of a route into its draft: the service."""
    found = re.fullmatch(r"lb:(?:(wss?|https?):)?//([^/?#:]*).*", uri, re.IGNORECASE)
    if found and re.fullmatch(NAME, found[2]):
        draft.keys["service"] = found[2]
        if (found[1] or "").lower().startswith("ws"):
            draft.keys["upgrade"] = True
    elif "redirect" not in draft.keys:
        name = name_of(draft.id)
        draft.leave_out(
            f"uri: {uri}",
            f"no service of Nacos. Register it there, write its name for service: {name},"
            " and take the keys away",
        )


def add_timeout(draft: RouteDraft, metadata: Any, default: float | None) -> None:
    """Put the time-outs of a route into its draft.

    Args:
        draft: with its filters, for an attempt may be repeated.
        metadata: of the Spring route, in milliseconds.
        default: seconds, `httpclient.response-timeout`.
    """
    if get(metadata, "connect-timeout") is not None:
        text = f"metadata.connect-timeout: {get(metadata, 'connect-timeout')}"
        draft.remark(text, "one for all services: GATEWAY_CONNECT_TIMEOUT, in seconds")
    given = get(metadata, "response-timeout")
    own = seconds(given)
    if own is None and given is not None:
        own = MAX_SECONDS
        text = f"metadata.response-timeout: {given}"
        draft.remark(text, f"every route has a time limit, {MAX_SECONDS:.0f} s at most")
    retries = draft.keys.get("retries", 0)
    if own is None and retries:
        own = default
    if own:
        # Spring's time is an attempt's, `timeout` is that of all attempts.
        draft.keys["timeout"] = limited(own * (1 + retries))
        draft.keys["per_try_timeout"] = limited(own)
