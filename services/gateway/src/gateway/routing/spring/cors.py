"""The CORS rules of Spring: for all paths, for some, or of a route's metadata."""

from typing import Any

from gateway.routing.spring.route import METHODS, Finding, RouteDraft, is_open, seconds
from gateway.routing.spring.source import flat, get, items, relaxed

WIDEST = {"", "/**", "/*", "**", "*"}
CORS_LISTS = {
    "allowed-origins": "origins",
    "allowed-methods": "methods",
    "allowed-headers": "headers",
    "exposed-headers": "expose",
}


def add_global_cors(rules: Any, drafts: list[RouteDraft], findings: list[Finding]) -> Any:
    """Return the rule for all routes; the rules for some paths go to their routes."""
    everywhere = None
    for pattern, tree in rules.items() if isinstance(rules, dict) else ():
        where = f"globalcors {pattern}"
        cors, left = _cors(tree, where)
        findings += left
        if pattern in WIDEST:
            everywhere = cors
            continue
        beginning = pattern.removesuffix("/**")
        for draft in drafts:
            if all((way.path + "/").startswith(beginning + "/") for way in draft.ways):
                draft.keys.setdefault("cors", cors)
            elif any(beginning.startswith(way.path.rstrip("/") + "/") for way in draft.ways):
                why = f"the rule is for a part of {draft.id}; give this part a route with cors"
                findings.append(Finding(where, f"[{pattern}]", why))
    return everywhere


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
    asked = [method.upper() for method in cors.get("methods", ["GET", "HEAD"])]
    cors["methods"] = [each for each in METHODS if each in asked or "*" in asked]
    if get(tree, "allow-credentials") == "true":
        cors["credentials"] = True
    if (age := seconds(f"{get(tree, 'max-age')}s")) is not None:
        cors["max_age"] = int(age)
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
