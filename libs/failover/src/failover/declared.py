"""What a service's owner says of its requests: which of them may run twice.

Instance metadata `gateway.idempotent` lists `METHOD /path`, separated by commas (or semicolons,
which survive where commas do not); `*` stands for one path segment. An entry counts when every
instance has it: any of them may be the one to repeat the request.
"""

import re
from collections.abc import Iterable, Mapping

IDEMPOTENT = "gateway.idempotent"


class Declared:
    """The declaration of one service."""

    __slots__ = ("_entries", "_patterns")

    def __init__(self, metadata: Iterable[Mapping[str, str]] = ()) -> None:
        """Take the metadata of every instance; without an instance nothing is declared."""
        each = [frozenset(_entries(labels.get(IDEMPOTENT, ""))) for labels in metadata]
        shared = frozenset.intersection(*each) if each else frozenset[str]()
        self._entries = frozenset(entry for entry in shared if "*" not in entry)
        self._patterns = tuple(map(_pattern, sorted(shared - self._entries)))

    def __bool__(self) -> bool:
        """Whether anything is declared."""
        return bool(self._entries or self._patterns)

    def allows(self, method: str, path: str) -> bool:
        """Whether such a request may run twice."""
        entry = f"{method} {path}"
        return entry in self._entries or any(one.fullmatch(entry) for one in self._patterns)


def _entries(text: str) -> Iterable[str]:
    for entry in text.replace(";", ",").split(","):
        if entry.strip():
            yield " ".join(entry.split())


def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, entry.split("*"))))
