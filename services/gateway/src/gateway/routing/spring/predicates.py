"""Predicates of a Spring route: which requests are the route's."""

import re
from collections.abc import Callable
from typing import Any

from gateway.routing.pattern import TextPattern
from gateway.routing.spring.route import (
    FIELD,
    MAX_PATH,
    MAX_VALUE,
    METHODS,
    SEGMENT,
    RouteDraft,
    RoutePath,
    SpringPart,
    bounded,
)

MISSING = {
    "After": "a route here has no times; put it in when its time has come",
    "Before": "a route here has no times; take it out when its time is over",
    "Between": "a route here has no times; put it in and take it out at its times",
    "RemoteAddr": "a route here does not ask for addresses; let the firewall do so, or use keys",
    "XForwardedRemoteAddr": "a route here does not ask for addresses; let the proxy in front do so",
    "ReadBody": "a route here is chosen before the body is there; give these requests a path",
    "Weight": "announce both versions under one name with labels, and write"
    " split: [{metadata: {...}, weight: N}]",
}
"""Predicates that have no counterpart, and what to do instead."""


def add_predicates(draft: RouteDraft, parts: list[SpringPart]) -> None:
    """Put the predicates of a route into its draft: which requests are the route's."""
    seen: set[str] = set()
    for part in parts:
        act = PREDICATES.get(part.name)
        if act is None:
            draft.leave_out(part.text, MISSING.get(part.name, "the gateway has no such predicate"))
        elif part.name in seen and part.name in ("Path", "Host", "Method"):
            draft.leave_out(part.text, f"a second {part.name}; write the paths that both mean")
        else:
            act(draft, part)
        seen.add(part.name)
    if not draft.paths:
        draft.paths = [RoutePath("/", exact=False)]


def _path(draft: RouteDraft, part: SpringPart) -> None:
    for pattern in bounded(part.values()):
        if pattern.lower() in ("true", "false"):  # matchTrailingSlash
            continue
        path, whole = _beginning(pattern)
        if not whole:
            draft.leave_out(
                f"Path={pattern}",
                f"a path here is no pattern. {path.path} has everything below it:"
                " take the keys away if that is meant",
            )
        if all((known.path, known.exact) != (path.path, path.exact) for known in draft.paths):
            draft.paths.append(path)
    if not draft.paths:
        draft.leave_out(part.text, "no path at all; write one")


def _beginning(pattern: str) -> tuple[RoutePath, bool]:
    """Return the path that a pattern begins with, and whether it means the same."""
    below = re.fullmatch(r"(/.*?)?/(?:\*\*|\{\*\w+\})", pattern)
    literally = (below[1] or "/") if below else pattern
    literal: list[str] = []
    for segment in literally.strip("/").split("/"):
        if not SEGMENT.fullmatch(segment) or len("/".join([*literal, segment])) >= MAX_PATH - 1:
            break
        literal.append(segment)
    beginning = "/" + "/".join(literal)
    trailing = literally == beginning + "/" and beginning != "/" and not below
    whole = literally == beginning or trailing
    if trailing:
        beginning += "/"
    return RoutePath(beginning, whole and not below, beginning.rstrip("/")), whole


def _method(draft: RouteDraft, part: SpringPart) -> None:
    named = [method.upper() for method in part.values()]
    methods = [method for method in METHODS if method in named]
    for method in sorted(set(named) - set(methods)):
        draft.leave_out(f"Method={method}", f"a route allows {', '.join(METHODS)}", close=False)
    if methods:
        draft.keys["methods"] = methods
    else:
        draft.leave_out(part.text, "no method that a route can have")


def _host(draft: RouteDraft, part: SpringPart) -> None:
    hosts: list[str] = []
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    for pattern in part.values():
        found = re.fullmatch(rf"(\*\*\.|\*\.|\{{\w+\}}\.)?({label}(\.{label})*)", pattern)
        if pattern == "**":
            return
        if found is None or len(pattern) > 253:  # noqa: PLR2004 - the longest host name
            draft.leave_out(f"Host={pattern}", 'a host here is a whole name, or "*." and a name')
        elif not found[1]:
            hosts.append(pattern)
        else:
            hosts.append(f"*.{found[2]}")
            if found[1] == "**.":
                hosts.append(found[2])
            else:
                draft.remark(f"Host={pattern}", f"*.{found[2]} has names of any depth")
    if not part.values():
        draft.leave_out(part.text, "no host at all; write one")
    if hosts:
        _when(draft)["hosts"] = list(dict.fromkeys(hosts))


def _condition(kind: str, first: str) -> Callable[[RouteDraft, SpringPart], None]:
    """Return the translation of a predicate that has a name and a regular expression."""

    def act(draft: RouteDraft, part: SpringPart) -> None:
        args = part.named(first, "regexp", "predicate")
        name, expression = args.get(first, ""), args.get("regexp", "")
        known = draft.keys.get("when", {}).get(kind, {})
        if not name or len(name) > 64 or "predicate" in args or len(args) > 2:  # noqa: PLR2004
            draft.leave_out(part.text, f"a condition is a name and one value under when: {kind}")
        elif kind == "headers" and not FIELD.fullmatch(name):
            draft.leave_out(part.text, "not the name of a header field")
        elif name.lower() in (each.lower() for each in known):
            draft.leave_out(part.text, f"a second condition for {name}; write one that means both")
        elif (value := _value(expression or ".*")) is None:
            draft.leave_out(
                part.text, "the expression is Java's alone; write it in the syntax of Rust's regex"
            )
        else:
            _when(draft).setdefault(kind, {})[name] = value

    return act


def _value(expression: str) -> str | dict[str, str] | None:
    """Return the condition of a regular expression, None if it is, or means, nothing here.

    Beside what does not compile: intersections, possessive quantifiers and classes by property, in
    which Java and the gateway differ.
    """
    if not re.search(r"[\\.^$|?*+()\[\]{}]", expression):
        return expression
    if len(expression) > MAX_VALUE or re.search(r"&&|[*+?}]\+|\\[pP]", expression):
        return None
    try:
        TextPattern(expression)
    except ValueError:
        return None
    return {"regex": expression}


def _when(draft: RouteDraft) -> dict[str, Any]:
    when: dict[str, Any] = draft.keys.setdefault("when", {})
    return when


PREDICATES: dict[str, Callable[[RouteDraft, SpringPart], None]] = {
    "Path": _path,
    "Method": _method,
    "Host": _host,
    "Header": _condition("headers", "header"),
    "Query": _condition("query", "param"),
    "Cookie": _condition("cookies", "name"),
}
