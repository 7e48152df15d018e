"""The CORS rules of Spring: for all paths, for some, or of a route's metadata."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.routing.document import MAX_AGE, Origin
from gateway.routing.spring.route import METHODS, Finding, RouteDraft, RoutePath, is_open
from gateway.routing.spring.source import flat, get, items, relaxed

EVERYWHERE = "/**"
CORS_LISTS = {
    "allowed-origins": "origins",
    "allowed-methods": "methods",
    "allowed-headers": "headers",
    "exposed-headers": "expose",
}


def add_global_cors(rules: Any, drafts: list[RouteDraft], findings: list[Finding]) -> Any:
    """Return the rule for all routes; the rules for some paths go to their routes."""
    everywhere = None
    known = rules.items() if isinstance(rules, dict) else ()
    for pattern, tree in sorted(known, key=lambda rule: -len(rule[0])):  # the nearest rule first
        where = f"globalcors [{pattern}]"
        cors, left = _cors(tree, where)
        findings += left
        below = re.fullmatch(r"(/[^*{?]+)/\*\*", pattern)
        if pattern == EVERYWHERE:
            everywhere = cors
        elif below is None:
            findings.append(Finding(where, "its paths", "no beginning of a path; write cors there"))
        elif cors:
            findings += _add_below(below[1], cors, drafts, where)
    return everywhere


def _add_below(
    beginning: str, cors: dict[str, Any], drafts: list[RouteDraft], where: str
) -> Iterator[Finding]:
    """Put a rule into the routes below a path; yields the routes that are there in part only."""
    rule = RoutePath(beginning, exact=False)
    for draft in drafts:
        if all(rule.covers(path) for path in draft.paths):
            draft.keys.setdefault("cors", cors)
        elif draft.covers(rule) or any(rule.covers(path) for path in draft.paths):
            why = "the rule is for a part of the route; give this part a route with cors"
            yield Finding(where, f"route {draft.id}", why)


def add_cors(draft: RouteDraft, tree: Any) -> None:
    """Put the rule of a route's metadata into its draft."""
    cors, left = _cors(tree, draft.id)
    draft.findings += left
    if cors:
        draft.keys["cors"] = cors


def _cors(tree: Any, where: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return the key `cors` for a rule of Spring, and what it does not carry over."""
    cors: dict[str, Any] = {}
    findings: list[Finding] = []
    for spring, ours in CORS_LISTS.items():
        if named := [each for each in items(get(tree, spring)) if isinstance(each, str)]:
            cors[ours] = named
    findings += _add_pages(cors, tree, where)
    asked = [method.upper() for method in cors.get("methods", ["GET", "HEAD"])]
    cors["methods"] = [each for each in METHODS if each in asked or "*" in asked]
    if (age := get(tree, "max-age")) is not None:
        if isinstance(age, str) and re.fullmatch(r"[0-9]{1,8}", age):
            cors["max_age"] = min(int(age), MAX_AGE)
        else:
            findings.append(Finding(where, f"max-age: {age}", "write max_age, in seconds"))
    known = {relaxed(key) for key in (*CORS_LISTS, "allow-credentials", "max-age")}
    for key, text in flat(tree):
        if relaxed(key.partition(".")[0]) not in known:
            why = "list whole origins under cors: {origins: [...]}"
            findings.append(Finding(where, f"{key}: {text}", why))
    unknown = [f"{key}: {text}" for key, text in flat(tree) if is_open(key, text)]
    if unknown:
        findings.append(Finding(where, unknown[0], "has no value in the file; write it there"))
        return None, findings
    if not cors.get("origins"):
        findings.append(Finding(where, "cors", "no allowed-origins: the rule is not written"))
        return None, findings
    return cors, findings


def _add_pages(cors: dict[str, Any], tree: Any, where: str) -> Iterator[Finding]:
    """Keep the origins that are origins, and say whether their pages may send cookies along."""
    named = cors.get("origins", [])
    for origin in [one for one in named if not _is_origin(one)]:
        named.remove(origin)
        yield Finding(where, f"allowed-origins: {origin}", "write SCHEME://HOST")
    if get(tree, "allow-credentials") == "true":
        if "*" in named or "null" in named:
            why = "credentials for every page: list the origins"
            yield Finding(where, "allow-credentials: true", why)
        else:
            cors["credentials"] = True


def _is_origin(text: str) -> bool:
    try:
        TypeAdapter(Origin).validate_python(text)
    except ValidationError:
        return False
    return True
