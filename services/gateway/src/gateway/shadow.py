"""What a route says about shadow traffic, and when two answers agree. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from failover import EVERYBODY, Subset

COMPARED = 64 * 1024
"""Bytes of a body that are kept; of what follows only the length is compared."""
MAX_SHADOWS = 64
"""Shadow requests a worker has under way; what would be more is dropped and counted."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where copies of a route's requests go.

    Attributes:
        service: Nacos service.
        share: of the requests, 0 to 1.
        timeout: seconds a copy has, from its connection to the end of its answer.
        subset: only these instances get copies.
        body: bodies are compared, not only statuses.
        ignore: members of a JSON object that may differ.
    """

    service: str
    share: float = 1.0
    timeout: float = 5.0
    subset: Subset = EVERYBODY
    body: bool = False
    ignore: frozenset[str] = frozenset()


@dataclass(slots=True)
class Seen:
    """What is kept of an answer; its memory is bounded.

    Attributes:
        status: HTTP status.
        size: bytes of the body.
        kept: the first of them.
    """

    status: int = 0
    size: int = 0
    kept: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> None:
        """Take bytes of the body."""
        self.size += len(data)
        room = COMPARED - len(self.kept)
        if room > 0:
            self.kept += data[:room]


def agree(shadow: Shadow, one: Seen, other: Seen) -> bool:
    """Whether two answers are the same as far as the route wants to know."""
    if one.status != other.status:
        return False
    if not shadow.body or (one.size == other.size and one.kept == other.kept):
        return True
    if not shadow.ignore or max(one.size, other.size) > COMPARED:
        return False
    rest = [_without(seen.kept, shadow.ignore) for seen in (one, other)]
    return rest[0] is not None and rest[0] == rest[1]


def _without(body: bytearray, ignore: frozenset[str]) -> Mapping[str, object] | None:
    """The other members of a JSON object; None if it is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    return {key: value for key, value in document.items() if key not in ignore}
