"""Filters of a Spring route: what becomes of its requests and answers."""

import re
from collections.abc import Callable
from typing import Any

from gateway.http.heads import HANDLED, RESPONSE_HANDLED
from gateway.routing.spring.route import (
    DEFAULT_FILTERS,
    FIELD,
    MAX_PATH,
    MAX_VALUE,
    METHODS,
    SEGMENT,
    RouteDraft,
    RoutePath,
    SpringPart,
    number,
    segments,
)
from gateway.routing.spring.source import items

MAX_RETRIES = 5
MAX_BODY = 1024 * 1024 * 1024
MAX_RATE = 1_000_000
REDIRECTS = {
    "MOVED_PERMANENTLY": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}
VALUE = re.compile(rf"[!-z|~]([ -z|~]{{0,{MAX_VALUE - 2}}}[!-z|~])?")
"""A fixed value of a field."""
REWRITE = re.compile(
    r"(?P<start>\^?)(?P<old>(?:/(?:[\w~-]|\\[.-])+)*)(?P<outer>/\??|)"
    r"\((?:\?<(?P<name>\w+)>)?(?P<inner>/\??|)\.[*+]\)\$?",
    re.ASCII,
)
"""The expression of a RewritePath that cuts off a beginning: `/old/?(?<rest>.*)`."""
REPLACEMENT = re.compile(
    r"(?P<new>(?:/[\w.~-]+)*)(?P<slash>/?)\$\\?(?:\{(?P<name>\w+)\}|(?P<number>[0-9]))", re.ASCII
)
SIZES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}

NEEDLESS = {
    "SaveSession": "the gateway has no sessions of its own",
    "CacheRequestBody": "the gateway keeps a body itself, up to replay_bytes, to send it again",
    "RequestHeaderSize": "the gateway bounds the head of every request itself",
}
"""Filters that a route does without, and loses nothing."""
LEFT_OUT = {
    "SecureHeaders": "write the fields under response_headers: {set: {...}}",
    "LocalResponseCache": "the gateway keeps no answers; cache in the service or in front",
    "FallbackHeaders": "a fallback here is a fixed answer and gets no request",
    "RewriteLocationResponseHeader": "let the service write Location with X-Forwarded-Host",
    "AddResponseHeadersIfNotPresent": "response_headers has no such condition; use set",
}
"""Filters whose absence a client may see, but which keep nobody out and nothing back."""
CLOSING = {
    "TokenRelay": "the gateway is no OAuth client; the token that a client sends passes as it is",
    "SetStatus": "the gateway does not change a status; let the service answer so",
    "SetRequestHostHeader": "the gateway writes no other Host; preserve_host keeps the client's",
    "AddRequestHeadersIfNotPresent": "request_headers has no such condition; use set, or let the"
    " service have the default",
    "MapRequestHeader": "the gateway copies no field; let the service read the first one",
    "AddRequestParameter": "the gateway does not edit the query; let the service have the default",
}
"""Filters without which a service would get other requests than it expects; they close a route."""


def add_filters(draft: RouteDraft, parts: list[SpringPart]) -> None:
    """Put the filters of a route into its draft, in the order in which Spring runs them."""
    for part in parts:
        draft.where = DEFAULT_FILTERS if part.shared else draft.id
        if act := FILTERS.get(part.name):
            act(draft, part)
        elif part.name in NEEDLESS:
            draft.remark(part.text, f"not needed, {NEEDLESS[part.name]}")
        elif part.name in LEFT_OUT:
            draft.leave_out(part.text, LEFT_OUT[part.name], close=False)
        else:
            why = CLOSING.get(part.name, "the gateway has no such filter; let the service do it")
            draft.leave_out(part.text, why)
    draft.where = draft.id


# The path


def _change_path(
    change: Callable[[RoutePath, dict[str, str]], str | None], *order: str, why: str
) -> Callable[[RouteDraft, SpringPart], None]:
    """Return the translation of a filter that changes the path.

    Args:
        change: returns the new target of a path, None if there is none for all its paths.
        order: names of the filter's arguments.
        why: reason for which a change is left out.
    """

    def act(draft: RouteDraft, part: SpringPart) -> None:
        targets = [change(path, part.named(*order)) for path in draft.paths]
        if None in targets:
            draft.leave_out(part.text, why)
            return
        for path, target in zip(draft.paths, targets, strict=True):
            path.target = target or ""

    return act


def _strip_prefix(path: RoutePath, args: dict[str, str]) -> str | None:
    count = number(args.get("parts", "1"), 0, MAX_PATH)
    known = segments(path.target)
    if count is None or (count > len(known) and not path.exact):
        return None
    return "".join(f"/{segment}" for segment in known[count:])


def _set_path(path: RoutePath, args: dict[str, str]) -> str | None:
    new = args.get("template", "")
    return new.rstrip("/") if path.exact and _is_path(new) else None


def _rewrite_path(path: RoutePath, args: dict[str, str]) -> str | None:
    old = REWRITE.fullmatch(args.get("regexp", ""))
    new = REPLACEMENT.fullmatch(args.get("replacement", ""))
    if old is None or new is None:
        return None
    if new["name"] != old["name"] if new["name"] else new["number"] != "1":
        return None
    # A slash that the expression takes before the group, the replacement has to put back.
    if (new["slash"] == "/") != (old["outer"] != "") or (old["outer"] and old["inner"]):
        return None
    literal = old["old"].replace("\\", "")
    if not literal and not old["start"] and "/" not in (old["outer"], old["inner"]):
        return None  # Java replaces the empty end once more
    return _replace(path, literal, new["new"], anchored=bool(old["start"]), outer=old["outer"])


def _replace(path: RoutePath, old: str, new: str, *, anchored: bool, outer: str) -> str | None:
    place = path.target.find(old)
    rest = path.target[place + len(old) :]
    if place < 0 or (place and anchored) or (rest and not rest.startswith("/")):
        return None
    if not rest and path.exact and outer == "/":
        return path.target
    replaced = path.target[:place] + new + rest
    return replaced if _is_path(replaced) else None


def _is_path(text: str) -> bool:
    known = segments(text)
    return (
        text.rstrip("/") == "".join(f"/{segment}" for segment in known)
        and all(SEGMENT.fullmatch(segment) for segment in known)
        and len(text) <= MAX_PATH
    )


def _prefix_path(draft: RouteDraft, part: SpringPart) -> None:
    prefix = part.named("prefix").get("prefix", "")
    if draft.prefixed:
        draft.remark(part.text, "Spring heeds the first PrefixPath only, and so does the document")
    elif (
        not prefix
        or not _is_path(prefix)
        or any(len(prefix + path.target) > MAX_PATH for path in draft.paths)
    ):
        draft.leave_out(part.text, "write the path that the service gets under rewrite")
    else:
        for path in draft.paths:
            path.target = prefix.rstrip("/") + path.target
    draft.prefixed = True


# Header fields


def _edit(side: str, how: str) -> Callable[[RouteDraft, SpringPart], None]:
    """Return the translation of a filter that sets, adds or removes a header field."""
    close = side == "request_headers"
    own = HANDLED if close else RESPONSE_HANDLED

    def act(draft: RouteDraft, part: SpringPart) -> None:
        args = part.named("name", "value", "override")
        name, value = args.get("name", ""), args.get("value", "")
        if not FIELD.fullmatch(name) or name.lower().encode() in own:
            why = f"the gateway does not edit the field {name!r}"
            draft.leave_out(part.text, why, close=close and how != "remove")
        elif args.keys() - {"name", "value"} and args.get("override") != "true":
            why = "a value with a comma, or a condition; write the value under " + side
            draft.leave_out(part.text, why, close=close)
        elif how != "remove" and not VALUE.fullmatch(value):
            why = "the value is filled in by Spring, or is no plain text; write a fixed value"
            draft.leave_out(part.text, why, close=close)
        elif not _edited(draft.keys.setdefault(side, {}), how, name, value):
            why = f"{name} is added already; write both values in one, with a comma"
            draft.leave_out(part.text, why, close=close)

    return act


def _edited(edits: dict[str, Any], how: str, name: str, value: str) -> bool:
    """Put an edit after those that are there; returns False if the field has a value to keep."""
    same = name.lower()
    removed = [each for each in edits.get("remove", []) if each.lower() == same]
    given = [(kind, each) for kind in ("set", "add") for each in edits.get(kind, {})]
    given = [(kind, each) for kind, each in given if each.lower() == same]
    if how == "add" and given:
        return False
    for kind, each in given:
        del edits[kind][each]
    for each in removed:
        edits["remove"].remove(each)
    if how == "remove":
        edits.setdefault("remove", []).append(name)
    else:
        # A value added to a field that was removed is its only value.
        edits.setdefault("set" if removed else how, {})[name] = value
    for kind in [kind for kind, values in edits.items() if not values]:
        del edits[kind]
    return True


# The rest


def _preserve_host(draft: RouteDraft, _: SpringPart) -> None:
    draft.keys["preserve_host"] = True


def _redirect(draft: RouteDraft, part: SpringPart) -> None:
    args = part.named("status", "url", "includeRequestParams")
    status = REDIRECTS.get(args.get("status", "").upper()) or number(args.get("status"), 300, 399)
    to = args.get("url", "")
    if status not in REDIRECTS.values() or not re.fullmatch(r"https?://[!-z|~]{1,1000}", to):
        draft.leave_out(
            part.text, "a redirect has an absolute address and 301, 302, 303, 307 or 308"
        )
        return
    if args.get("includerequestparams") == "true":
        draft.leave_out(part.text, "the query is not carried along", close=False)
    draft.keys["redirect"] = {"to": to, "status": status}


def _retry(draft: RouteDraft, part: SpringPart) -> None:
    args = part.named("retries", "statuses", "methods")
    retries = number(args.get("retries", "3"), 0, MAX_RATE)
    if retries is None:
        draft.leave_out(part.text, "write retries: 0 to 5", close=False)
        return
    draft.keys["retries"] = min(retries, MAX_RETRIES)
    if retries > MAX_RETRIES:
        draft.remark(part.text, f"{MAX_RETRIES} retries are the most")
    methods = [value for key, value in args.items() if re.fullmatch(r"methods(\.[0-9]+)?", key)]
    named = [one.upper() for text in methods for one in items(text)]
    if set(named) - {"GET", "HEAD"} and set(named) <= set(METHODS):
        draft.keys["idempotent"] = [method for method in METHODS if method in named]
    if {key.partition(".")[0] for key in args} - {"retries", "methods", "name"}:
        draft.remark(part.text, "the gateway itself knows what may be retried, and when")


def _request_size(draft: RouteDraft, part: SpringPart) -> None:
    text = part.named("maxSize").get("maxsize", "5000000")
    found = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]?B|)", text.upper())
    if found is None:
        draft.leave_out(part.text, "write max_body_bytes, a number of bytes", close=False)
        return
    size = int(found[1]) * SIZES[found[2]]
    draft.keys["max_body_bytes"] = min(size, MAX_BODY)
    if size > MAX_BODY:
        draft.remark(part.text, f"max_body_bytes is {MAX_BODY} at most")


def _rate_limit(draft: RouteDraft, part: SpringPart) -> None:
    args = {key.rpartition(".")[2]: value for key, value in part.named().items()}
    rate = number(args.get("replenishrate"), 1, MAX_RATE)
    burst = number(args.get("burstcapacity", "1"), 1, MAX_RATE)
    tokens = number(args.get("requestedtokens", "1"), 1, MAX_RATE)
    if rate is None or burst is None or tokens is None:
        draft.leave_out(part.text, "write rate_limit: {per_second: N, burst: N}")
        return
    draft.keys["rate_limit"] = {
        "per_second": rate if tokens == 1 else rate / tokens,
        "burst": max(1, burst // tokens),
    }
    draft.remark(
        part.text,
        "counts all callers of the route together, not each key",
    )


def _circuit_breaker(draft: RouteDraft, part: SpringPart) -> None:
    args = part.named("name")
    if fallback := args.get("fallbackuri"):
        draft.leave_out(
            part.text,
            f"no request goes to {fallback}. A fixed answer is"
            ' fallback: {status: 503, body: "...", content_type: application/json}',
            close=False,
        )
    else:
        draft.remark(part.text, "not needed, the gateway takes failing instances out itself")


def _dedupe(draft: RouteDraft, part: SpringPart) -> None:
    names = part.named("name", "strategy").get("name", "").lower().split()
    if names and all(name.startswith("access-control-") or name == "vary" for name in names):
        draft.remark(part.text, "not needed, with cors the gateway alone writes these fields")
    else:
        draft.leave_out(part.text, "let the service write the field once, or use set", close=False)


FILTERS: dict[str, Callable[[RouteDraft, SpringPart], None]] = {
    "StripPrefix": _change_path(
        _strip_prefix, "parts", why="more than the path's own segments; use by_name, or a path each"
    ),
    "SetPath": _change_path(_set_path, "template", why="only an exact path can become another one"),
    "RewritePath": _change_path(
        _rewrite_path,
        "regexp",
        "replacement",
        why="only a beginning can be replaced: strip_prefix takes it away, rewrite is put there",
    ),
    "PrefixPath": _prefix_path,
    "AddRequestHeader": _edit("request_headers", "add"),
    "SetRequestHeader": _edit("request_headers", "set"),
    "RemoveRequestHeader": _edit("request_headers", "remove"),
    "AddResponseHeader": _edit("response_headers", "add"),
    "SetResponseHeader": _edit("response_headers", "set"),
    "RemoveResponseHeader": _edit("response_headers", "remove"),
    "PreserveHostHeader": _preserve_host,
    "RedirectTo": _redirect,
    "Retry": _retry,
    "RequestSize": _request_size,
    "RequestRateLimiter": _rate_limit,
    "CircuitBreaker": _circuit_breaker,
    "DedupeResponseHeader": _dedupe,
}
