"""Who may use a route: bearer tokens or API keys, of which the document holds only SHA-256 digests.

A token is random and long, so one round of SHA-256 is enough; the comparison takes the same time
wherever two digests differ.
"""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.problems import Refusal

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
            Refusal: 401, nothing that opens the route was presented.
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
        raise Refusal(401, "http_request_denied", "A valid bearer token or API key is needed.",
                      lines=[b'WWW-Authenticate: Bearer realm="gateway"\r\n'])  # fmt: skip

    def _opens(self, presented: bytes) -> bool:
        digest = hashlib.sha256(presented).digest()
        return any(hmac.compare_digest(digest, known) for known in self._digests)
