"""httptools' parser for a server that upgrades to no other protocol.

httptools takes all that follows a head with `Upgrade` for the other protocol, so that uvicorn loses
the request's body (Kludex/uvicorn 2722). Java's own HTTP client, which is the default of Spring's
RestClient, offers HTTP/2 in this way with each first request.
"""

from types import SimpleNamespace

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PlainParser(HttpRequestParser):
    """Parser that reads a request with an offer to upgrade as if there were no offer.

    A server may ignore the offer (RFC 9110, section 7.8). The end of such a head is kept from the
    protocol; the head is parsed again without the field, and before what follows it.
    """

    _has_offer = False
    """Whether the head that was read last has an offer."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        super().__init__(
            SimpleNamespace(
                on_message_begin=protocol.on_message_begin,
                on_url=protocol.on_url,
                on_header=protocol.on_header,
                on_headers_complete=self._end_head,
                on_body=protocol.on_body,
                on_message_complete=self._end_message,
            )
        )
        self._protocol = protocol
        # Looked up once, not for each request.
        self._parse = super().feed_data
        self._headers_complete = protocol.on_headers_complete
        self._message_complete = protocol.on_message_complete

    def feed_data(self, data: bytes) -> None:  # type: ignore[override] # uvicorn has nothing else
        """Parse bytes that arrived."""
        while True:
            try:
                self._parse(data)
            except HttpParserUpgrade as offer:
                if not self._has_offer:
                    raise
                data = self._head_without_offer() + data[offer.args[0] :]
            else:
                return

    def _head_without_offer(self) -> bytes:
        fields = [each for each in self._protocol.headers if each[0] != b"upgrade"]
        version = self.get_http_version().encode()
        line = b"%b %b HTTP/%b\r\n" % (self.get_method(), self._protocol.url, version)
        return line + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"

    def _end_head(self) -> None:
        # To httptools, CONNECT is an upgrade as well.
        self._has_offer = self.should_upgrade() and self.get_method() != b"CONNECT"
        if not self._has_offer:
            self._headers_complete()

    def _end_message(self) -> None:
        if not self._has_offer:
            self._message_complete()
