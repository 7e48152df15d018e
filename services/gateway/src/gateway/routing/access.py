"""The guards of a route: keys, requests per second, requests at a time. State, but no clock.

The document holds only SHA-256 digests of bearer tokens and API keys. A token is random and long,
so one round of SHA-256 is enough; the comparison takes the same time wherever two digests differ.
"""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.http.problems import LocalReply

API_KEY_FIELD = b"x-api-key"


class Keys:
    """The digests that open a route."""

    __slots__ = ("_digests",)

    def __init__(self, digests: Iterable[str]) -> None:
        """Take digests in hexadecimal."""
        self._digests = tuple(bytes.fromhex(digest) for digest in digests)

    def check(self, lines: Iterable[bytes]) -> None:
        """Look for `Authorization: Bearer` or `X-Api-Key` in rendered fields.

        Raises:
            LocalReply: 401, no token or key that opens the route was presented.
        """
        for line in lines:
            name, _, value = line.partition(b":")
            key = name.lower()
            value = value.strip()
            if key == b"authorization" and value[:7].lower() == b"bearer ":
                if self._opens(value[7:].strip()):
                    return
            elif key == API_KEY_FIELD and self._opens(value):
                return
        raise LocalReply(401, "http_request_denied", "A valid bearer token or API key is needed.",
                      lines=[b'WWW-Authenticate: Bearer realm="gateway"\r\n'])  # fmt: skip

    def _opens(self, presented: bytes) -> bool:
        digest = hashlib.sha256(presented).digest()
        return any(hmac.compare_digest(digest, known) for known in self._digests)


class RateGuard:
    """A token bucket: `per_second` requests on average, `burst` at once."""

    __slots__ = ("_at", "_left", "burst", "per_second")

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self._left = float(burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Count a request: 0.0 if it may go on, else the seconds until one may."""
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.per_second


class ConcurrencyGuard:
    """A bound on the requests under way: at most `width` at a time."""

    __slots__ = ("inside", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.inside = 0

    def enter(self) -> bool:
        """Count a request in; False if there is no room."""
        if self.inside >= self.width:
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        """Count a request out."""
        self.inside -= 1
