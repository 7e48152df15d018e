"""The keys of a route.

The document holds only SHA-256 digests of bearer tokens and API keys. A token is random and long,
so one round of SHA-256 is enough; the comparison takes the same time wherever two digests differ.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.http.heads import Head, without_fields
from gateway.http.problems import LocalReply

API_KEY_FIELD: Final = b"x-api-key"
QUERY_TOKEN: Final = b"access_token"
SUBPROTOCOL: Final = b"sec-websocket-protocol"
BEARER_CHOSEN: Final = b"Sec-WebSocket-Protocol: bearer\r\n"
"""The answer to a page that offered nothing but its token: browsers want one of their offers."""


class Keys:
    """The digests that open a route."""

    __slots__ = ("_digests",)

    def __init__(self, digests: Iterable[str]) -> None:
        """Take digests in hexadecimal."""
        self._digests = tuple(bytes.fromhex(digest) for digest in digests)

    def check(self, head: Head, target: bytes) -> tuple[bytes, bytes]:
        """Look for `Authorization: Bearer` or `X-Api-Key`, and open the route.

        A page cannot set fields of a WebSocket. It can say `new WebSocket(url, ["bearer", token])`,
        or add the parameter `access_token`; such a token is taken out of the request, so that no
        service logs it.

        Args:
            head: of the request.
            target: as the service would get it.

        Returns:
            the target as the service gets it, and the rendered fields that the answer needs.

        Raises:
            LocalReply: 401, no token or key that opens the route was presented.
        """
        for value in head.values(b"authorization"):
            if value[:7].lower() == b"bearer " and self._opens(value[7:].strip()):
                return target, b""
        if any(self._opens(value) for value in head.values(API_KEY_FIELD)):
            return target, b""
        if head.handled.get(b"upgrade", b"").lower() == b"websocket":
            if self._opened_by_subprotocol(head):
                return target, b"" if head.values(SUBPROTOCOL) else BEARER_CHOSEN
            path, mark, query = target.partition(b"?")
            given = query.split(b"&")
            kept = [one for one in given if not self._is_token(one)]
            if len(kept) < len(given):
                return path + (mark if kept else b"") + b"&".join(kept), b""
        raise LocalReply(401, "http_request_denied", "A valid bearer token or API key is needed.",
                      lines=[b'WWW-Authenticate: Bearer realm="gateway"\r\n'])  # fmt: skip

    def _opened_by_subprotocol(self, head: Head) -> bool:
        """Look for the subprotocols `bearer, TOKEN`, and take them out of the head."""
        offered = [one.strip() for value in head.values(SUBPROTOCOL) for one in value.split(b",")]
        if offered[:1] != [b"bearer"] or len(offered) == 1 or not self._opens(offered[1]):
            return False
        head.lines = without_fields(head.lines, (SUBPROTOCOL,))
        if rest := offered[2:]:
            head.lines += b"Sec-WebSocket-Protocol: %b\r\n" % b", ".join(rest)
        return True

    def _is_token(self, parameter: bytes) -> bool:
        name, _, token = parameter.partition(b"=")
        return name == QUERY_TOKEN and self._opens(unquote_to_bytes(token))

    def _opens(self, presented: bytes) -> bool:
        digest = hashlib.sha256(presented).digest()
        return any(hmac.compare_digest(digest, known) for known in self._digests)
