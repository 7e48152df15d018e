"""Cross-origin resource sharing: the pages of other origins that may read an answer. Pure.

The rules are the WHATWG Fetch standard's, section "HTTP CORS protocol".
"""

import re
from collections.abc import Sequence
from typing import Final

from gateway.http.heads import Head
from gateway.http.problems import Content, LocalReply

ASKED: Final = b"access-control-request-method"
"""The field that tells a preflight from any other OPTIONS."""
VARY: Final = b"Vary: Origin\r\n"


class Cors:
    """The policy of a route, or of all routes that have none of their own.

    Attributes:
        unshared_lines: rendered fields of an answer to a request without `Origin`: a cache must not
            give it to a page that would get other fields.
    """

    __slots__ = (
        "_anyone", "_common", "_exact", "_exposed", "_headers", "_max_age",
        "_methods", "_patterns", "unshared_lines",
    )  # fmt: skip

    def __init__(
        self,
        origins: Sequence[str],
        *,
        methods: Sequence[str] = (),
        headers: Sequence[str] = (),
        expose: Sequence[str] = (),
        credentials: bool = False,
        max_age: int = 600,
    ) -> None:
        """Take the policy.

        Args:
            origins: `https://app.example.com`, `https://*.example.com`, or `*` for every page.
            methods: those that a page may use; none: all.
            headers: request fields that a page may set; none: all.
            expose: response fields that a page may read, beside those that it always may.
            credentials: the browser sends cookies along.
            max_age: seconds for which a browser remembers the answer to a preflight.
        """
        self._anyone = "*" in origins and not credentials
        self.unshared_lines = b"" if self._anyone else VARY
        self._exact = frozenset(origin.encode() for origin in origins if "*" not in origin)
        self._patterns = tuple(
            re.compile(re.escape(origin).replace(r"\*", r"[a-z0-9.-]+").encode())
            for origin in origins
            if "*." in origin
        )
        self._methods = ", ".join(methods).encode()
        self._headers = ", ".join(headers).encode()
        self._max_age = max_age
        self._common = b"Access-Control-Allow-Credentials: true\r\n" if credentials else b""
        self._exposed = (
            b"Access-Control-Expose-Headers: %b\r\n" % ", ".join(expose).encode() if expose else b""
        )

    def lines(self, origin: bytes) -> bytes:
        """Render the fields of an answer to a page of this origin."""
        allowed = self._allowed(origin)
        return allowed + self._exposed if allowed else VARY

    def answer_preflight(self, origin: bytes, head: Head) -> LocalReply:
        """Make the answer to a browser that asks whether a page may send a request."""
        allowed = self._allowed(origin)
        if not allowed:
            return LocalReply(403, "http_request_denied",
                              "Pages of this origin may not call here: see cors in the routes "
                              "document.", lines=[VARY])  # fmt: skip
        methods = self._methods or b", ".join(head.values(ASKED))
        headers = self._headers or b", ".join(head.values(b"access-control-request-headers"))
        lines = [
            allowed,
            b"Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n",
            b"Access-Control-Allow-Methods: %b\r\n" % methods,
            b"Access-Control-Max-Age: %d\r\n" % self._max_age,
        ]
        if headers:
            lines.append(b"Access-Control-Allow-Headers: %b\r\n" % headers)
        return LocalReply(204, "preflight", "", lines=lines, content=Content())

    def _allowed(self, origin: bytes) -> bytes:
        """Render the fields that let a page of this origin read; none if it may not."""
        if self._anyone:
            return b"Access-Control-Allow-Origin: *\r\n"
        if origin in self._exact or any(one.fullmatch(origin) for one in self._patterns):
            return b"Access-Control-Allow-Origin: %b\r\n" % origin + self._common + VARY
        return b""


def asked_method(head: Head) -> bytes:
    """Return the method about which a request with an `Origin` asks, b"" if it is no preflight."""
    return next(iter(head.values(ASKED)), b"") if head.method == b"OPTIONS" else b""
