"""The routes document for a configuration of Spring Cloud Gateway, and what it does not carry over.

`source.py` reads the file, `route.py` is one route with its `predicates.py` and `filters.py`. Here
is what concerns all: Spring tries routes in their order, the gateway takes the longest path.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import yaml

from gateway.routing.spring.cors import add_cors, add_global_cors
from gateway.routing.spring.filters import add_filters
from gateway.routing.spring.predicates import add_predicates
from gateway.routing.spring.route import (
    CLOSED,
    DEFAULT_FILTERS,
    Finding,
    RouteDraft,
    RoutePath,
    SpringPart,
    add_timeout,
    add_uri,
    bounded,
    is_open,
    limited,
    listed,
    seconds,
)
from gateway.routing.spring.source import SpringFile, SpringFileError, flat, get, items, relaxed

PREFIXES = (
    "spring.cloud.gateway.server.webflux",
    "spring.cloud.gateway.server.webmvc",
    "spring.cloud.gateway.server.mvc",
    "spring.cloud.gateway.mvc",
    "spring.cloud.gateway",
)
"""The places where versions of Spring Cloud Gateway have their keys."""
TRANSLATED = {
    *("routes", "routesmap", "defaultfilters", "globalcors", "discovery", "enabled"),
    *("httpclient.connecttimeout", "httpclient.responsetimeout", "server", "mvc"),
}
MAX_ROUTES = 1000
MAX_NAME = 64
MAX_TEXT = 300
"""Characters of a comment or a finding that stand for a piece of Spring's configuration."""


@dataclass(frozen=True, slots=True)
class TranslatedRoute:
    """A Spring route and its entries in the document; none if Spring never reaches it."""

    id: str
    entries: list[dict[str, Any]]
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Translation:
    """A routes document, and what of Spring's configuration is missing in it or differs.

    Attributes:
        head: the keys of the document apart from the routes.
        routes: in Spring's order.
        findings: the same piece once, those of routes too.
    """

    head: dict[str, Any]
    routes: list[TranslatedRoute]
    findings: list[Finding]

    def render(self) -> str:
        """Return the document as YAML, each route under a comment with Spring's id."""
        own = {one for route in self.routes for one in route.findings if one.where == route.id}
        lines = [f"# {readable(str(one))}\n" for one in self.findings if one not in own]
        lines.append(_yaml(self.head))
        lines.append("routes:\n" if any(route.entries for route in self.routes) else "routes: []\n")
        for route in self.routes:
            lines.append(f"\n  # Spring route {readable(route.id)}\n")
            notes = [one.without_place() for one in route.findings if one in own]
            lines += [f"  #   {readable(note)}\n" for note in notes]
            if any(entry.get("keys") == [CLOSED] for entry in route.entries):
                lines.append("  #   closed until you have read this: nobody has the key\n")
            for entry in route.entries:
                lines += [f"  {line}\n" for line in _yaml([entry]).splitlines()]
        return "".join(lines)


def readable(text: str) -> str:
    """Return a text of the file as one line without control characters, cut if it is long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= MAX_TEXT else line[:MAX_TEXT] + "..."


def translate(file: SpringFile) -> Translation:
    """Translate a configuration.

    Raises:
        SpringFileError: there are more than a document holds.
    """
    whole: list[Finding] = [
        Finding(f"profile {name}", "a document of the file", "give --profile to have it read")
        for name in file.skipped
    ]
    default = _defaults_timeout(file)
    defaults = bounded(items(_filled(file, _key(file, "default-filters"))))
    drafts = _in_order(file, defaults, default)
    rules = _filled(file, get(_key(file, "globalcors"), "cors-configurations"))
    cors = add_global_cors(rules, drafts, whole)
    routes = _named(drafts)
    head: dict[str, Any] = {"by_name": _by_name(file, defaults, whole)}
    if default:
        head["defaults"] = {"timeout": default, "per_try_timeout": default}
    whole += _settings(file)
    if cors:
        head["cors"] = cors
    found = dict.fromkeys([*whole, *(one for route in routes for one in route.findings)])
    return Translation(head, routes, list(found))


def _key(file: SpringFile, name: str) -> Any:
    """Return the value of a key of the gateway, wherever its version of Spring has it."""
    found = (file.find(f"{prefix}.{name}") for prefix in PREFIXES)
    return next((value for value in found if value is not None), None)


def _filled(file: SpringFile, tree: Any) -> Any:
    """Return a tree with the placeholders of its texts filled in."""
    if isinstance(tree, dict):
        return {key: _filled(file, value) for key, value in tree.items()}
    return file.fill(tree) if isinstance(tree, str) else tree


# Routes


def _in_order(file: SpringFile, defaults: list[Any], timeout: float | None) -> list[RouteDraft]:
    """Translate the routes and sort them as Spring tries them."""
    trees = [tree for prefix in PREFIXES for tree in items(file.find(f"{prefix}.routes"))]
    mapped = _key(file, "routes-map")
    if isinstance(mapped, dict):
        trees += [{"id": key, **tree} for key, tree in mapped.items() if isinstance(tree, dict)]
    if len(trees) > MAX_ROUTES:
        raise SpringFileError(f"{len(trees)} routes; a document holds {MAX_ROUTES}")
    ordered: list[tuple[int, RouteDraft]] = []
    for place, raw in enumerate(trees, 1):
        tree = _filled(file, raw)
        draft = _translate_route(tree, place, defaults, timeout)
        order = get(tree, "order") or "0"
        if not isinstance(order, str) or not re.fullmatch(r"[+-]?[0-9]{1,10}", order):
            draft.leave_out(f"order: {order}", "no whole number; sort the routes", close=False)
            order = "0"
        ordered.append((int(order), draft))
    if sum(len(draft.paths) for _, draft in ordered) > MAX_ROUTES:
        raise SpringFileError(f"more than {MAX_ROUTES} paths; a document holds as many routes")
    return [draft for _, draft in sorted(ordered, key=lambda pair: pair[0])]


def _translate_route(
    tree: Any, place: int, defaults: list[Any], timeout: float | None
) -> RouteDraft:
    if isinstance(tree, str):  # id=uri,predicate,predicate
        name, _, rest = tree.partition("=")
        uri, *short = items(rest) or [""]
        tree = {"id": name, "uri": uri, "predicates": listed(short)}
    named = get(tree, "id")
    draft = RouteDraft(
        named.strip() if isinstance(named, str) and named.strip() else f"route-{place}"
    )
    for where, part in ((draft.id, tree), (DEFAULT_FILTERS, listed(defaults))):
        draft.where = where
        for key, text in flat(part):
            if is_open(key, text):
                draft.leave_out(f"{key}: {text}", "has no value in the file; write it there")
    draft.where = draft.id
    add_predicates(
        draft, [SpringPart.read(each) for each in bounded(items(get(tree, "predicates")))]
    )
    add_filters(draft, _filters(tree, defaults))
    uri = get(tree, "uri")
    add_uri(draft, uri if isinstance(uri, str) else "")
    metadata = get(tree, "metadata")
    add_timeout(draft, metadata, timeout)
    if (configured := get(metadata, "cors")) is not None:
        add_cors(draft, configured)
    if get(tree, "enabled") == "false":
        draft.paths.clear()
        draft.remark("enabled: false", "a route that is switched off is not in the document")
    return draft


def _filters(tree: Any, defaults: list[Any]) -> list[SpringPart]:
    """Return the filters that a route has, in the order in which Spring runs them.

    Spring numbers both lists from 1 and sorts: a default filter comes before the route's of the
    same number.
    """
    own = bounded(items(get(tree, "filters")))
    numbered = [*enumerate(SpringPart.read(part, shared=True) for part in defaults)]
    numbered += enumerate(map(SpringPart.read, own))
    return [part for _, part in sorted(numbered, key=lambda pair: pair[0])]


def _named(drafts: list[RouteDraft]) -> list[TranslatedRoute]:
    """Return the routes under names of their own, without paths that Spring never reaches."""
    names: set[str] = set()
    routes: list[TranslatedRoute] = []
    for place, draft in enumerate(drafts):
        for path in list(draft.paths):
            _compare(draft, path, drafts[:place], drafts[place + 1 :])
        entries = [{"name": _free(names, draft.id), **entry} for entry in draft.entries()]
        routes.append(TranslatedRoute(draft.id, entries, list(dict.fromkeys(draft.findings))))
    return routes


def _compare(
    draft: RouteDraft, path: RoutePath, before: list[RouteDraft], after: list[RouteDraft]
) -> None:
    """Note where Spring's order decides otherwise than the longest path; drop what it hides."""
    text = f"Path={path.path}"
    covering = [one for one in before if one.covers(path)]
    hiding = next((one for one in covering if one.unconditional), None)
    first = hiding or next(iter(covering), None)
    if first is not None and first is hiding:
        draft.paths.remove(path)
        why = f"Spring never gets here: {first.id} comes before and takes all requests of this path"
        draft.leave_out(text, why, close=False)
    elif first is not None and first.closed and first.has(path):
        why = f"{first.id} has the same path and is closed; open it or take it out"
        draft.leave_out(text, why, close=False)
    elif first is not None and not first.has(path):
        why = f"here the longest path decides; in Spring {first.id} comes before, where it matches"
        draft.leave_out(text, why, close=False)
    shorter = next((one for one in after if one.covers(path) and not one.has(path)), None)
    if shorter is not None and "methods" in draft.keys:
        why = f"a request with another method is a 405 and does not go to {shorter.id}"
        draft.remark(text, why)


def _free(names: set[str], wanted: str) -> str:
    """Return a name for an entry that no other one has, and keep it."""
    tails = ("" if i == 1 else f"-{i}" for i in count(1))
    candidates = (readable(wanted)[: MAX_NAME - len(tail)] + tail for tail in tails)
    name = next(each for each in candidates if each not in names)
    names.add(name)
    return name


# For all routes


def _by_name(file: SpringFile, defaults: list[Any], findings: list[Finding]) -> bool:
    locator = _key(file, "discovery.locator")
    if get(locator, "enabled") != "true":
        return False
    where = "discovery.locator"
    for key, text in flat(locator):
        if relaxed(key) == "lowercaseserviceid" and text == "true":
            why = "a name is written as Nacos has it, also in capitals"
            findings.append(Finding(where, f"{key}: {text}", why, left_out=False))
        elif relaxed(key) not in ("enabled", "lowercaseserviceid"):
            why = "by_name has no such rule; list the services, by_name: [orders], or write routes"
            findings.append(Finding(where, f"{key}: {text}", why))
    if defaults:
        why = "default-filters are for routes here: write by_name: true if requests may do without"
        findings.append(Finding(where, "enabled: true", why))
        return False
    return not any(one.where == where and one.left_out for one in findings)


def _defaults_timeout(file: SpringFile) -> float | None:
    value = _filled(file, _key(file, "httpclient.response-timeout"))
    found = seconds(value)
    return limited(found) if found else None


def _settings(file: SpringFile) -> Iterator[Finding]:
    """Yield what is no matter of routes."""
    text = _filled(file, _key(file, "httpclient.response-timeout"))
    if text is not None and not seconds(text):
        why = "every request has a time limit; write defaults: {timeout: SECONDS}"
        yield Finding("httpclient", f"response-timeout: {text}", why)
    if (connect := _key(file, "httpclient.connect-timeout")) is not None:
        why = "set GATEWAY_CONNECT_TIMEOUT, in seconds"
        yield Finding("httpclient", f"connect-timeout: {connect}", why, left_out=False)
    for prefix in PREFIXES:
        for key, value in flat(file.find(prefix)):
            parts = relaxed(key).split(".")
            if not {parts[0], ".".join(parts[:2])} & TRANSLATED:
                why = "no matter of a route; the gateway's settings are in docs/operations.md"
                yield Finding(prefix, f"{key}: {value}", why)
    for name in ("group", "namespace"):
        key = f"spring.cloud.nacos.discovery.{name}"
        if isinstance(value := file.find(key), str):
            why = f"the gateway has to look there too: NACOS_{name.upper()}"
            yield Finding(key, file.fill(value), why, left_out=False)
    if file.find("spring.security") is not None:
        why = "who may do what stays with the services; a route can ask for keys"
        yield Finding("spring.security", "rules of Spring Security", why)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
