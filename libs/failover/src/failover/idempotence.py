"""The rule which requests may run twice.

A request that may have run is sent again only if running it twice does no harm. Four parties can
say so, and the first of them that says anything decides:

    1. the caller, for this very request       3. the operator, in the gateway's route
    2. HTTP, by the method (RFC 9110, 9.2.2)   4. the service's owner, in instance metadata
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

IDEMPOTENT: Final = "gateway.idempotent"
"""Instance metadata: the requests that may run twice, as `METHOD /path`, separated by commas (or
semicolons, which survive where commas do not); `*` stands for one path segment."""
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
MAX_REMEMBERED: Final = 256
"""Different requests whose answer a declaration remembers."""


class Declared:
    """The requests that one service's owner declared to be idempotent.

    An entry counts when every instance has it: any of them may be the one to repeat the request.
    """

    __slots__ = ("_entries", "_patterns", "_remembered")

    def __init__(self, metadata: Iterable[Mapping[str, str]] = ()) -> None:
        """Take the metadata of every instance; without an instance nothing is declared."""
        each = [frozenset(_entries(labels.get(IDEMPOTENT, ""))) for labels in metadata]
        shared = frozenset.intersection(*each) if each else frozenset[str]()
        self._entries = frozenset(entry for entry in shared if "*" not in entry)
        self._patterns = tuple(map(_pattern, sorted(shared - self._entries)))
        self._remembered: dict[tuple[str, str], bool] = {}

    def __bool__(self) -> bool:
        """Return whether anything is declared."""
        return bool(self._entries or self._patterns)

    def allows(self, method: str, path: str) -> bool:
        """Return whether such a request may run twice."""
        if not self._entries and not self._patterns:
            return False
        allowed = self._remembered.get((method, path))
        if allowed is None:
            entry = f"{method} {path}"
            allowed = entry in self._entries or any(one.fullmatch(entry) for one in self._patterns)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[method, path] = allowed
        return allowed


def may_run_twice(
    method: str,
    path: str,
    declared: Declared,
    *,
    caller: bool | None = None,
    operator: bool | None = None,
) -> bool:
    """Return whether a request may run twice.

    Args:
        method: of the request.
        path: of the request as the service gets it, without the query.
        declared: the declaration of the service's owner.
        caller: the caller's word on this request, None if the caller said nothing.
        operator: the word of the route on this method, None if the route says nothing.
    """
    if caller is not None:
        return caller
    if method in IDEMPOTENT_METHODS:
        return True
    if operator is not None:
        return operator
    return declared.allows(method, path)


def _entries(text: str) -> Iterable[str]:
    for entry in text.replace(";", ",").split(","):
        if entry.strip():
            yield " ".join(entry.split())


def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, entry.split("*"))))
