"""What readers try out at the admin port's page of APIs: requests that go through the gateway.

The page is of another origin than the data port, which answers no pages of other origins unless a
route says so. So the page sends a request to its own origin, and it goes from here to the data
port as any client's would. A page of somebody else cannot: browsers let no other origin set the
field `MARK` here. What a service answers must not act as the console's page, so of its fields only
harmless ones come along, and nothing of it runs.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from service_kit import Problem
from starlette.types import Receive, Scope, Send

from gateway.console.api_documents import in_pieces
from gateway.control.order_desk import is_own_origin

MARK = "x-gateway-docs"
"""The field that the page's script sets, and that no other page may set."""
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Bytes of the largest answer; with the body of its request it is in memory until it is sent."""
ANSWER_SECONDS = 60.0
AT_ONCE = 8
"""Requests that are tried out at a time, until the reader has the answer."""
TAKEN = frozenset(
    {
        MARK.encode(), b"cookie", b"host", b"origin", b"referer", b"content-length", b"connection",
        b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"accept-encoding",
        b"expect", b"forwarded", b"proxy-authorization", b"proxy-connection",
    }
)  # fmt: skip
"""Request fields that stay here: of the reader's session, of the page, and of the connection."""
SHOWN = frozenset(
    {
        b"content-type", b"content-encoding", b"content-disposition", b"retry-after",
        b"proxy-status", b"allow",
    }
)  # fmt: skip
"""Fields of answers that come along, beside `x-...`. No `Location`: browsers would go there."""
HARMLESS: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"content-security-policy": b"sandbox; default-src 'none'",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
    }
)
Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class DataPortPlace:
    """Where the data port is for this process.

    Attributes:
        host: address by which it is reached.
        port: its TCP port.
        certificate: file of its certificate, which may be renewed; None if it speaks no TLS.
    """

    host: str
    port: int
    certificate: Path | None = None

    @property
    def scheme(self) -> str:
        """Return `http` or `https`."""
        return "http" if self.certificate is None else "https"

    def trust(self) -> ssl.SSLContext:
        """Return the trust in the data port, by the file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        if self.certificate is None:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return trust_in(self.certificate)


def trust_in(certificate: Path) -> ssl.SSLContext:
    """Return the trust in whoever has the key of this certificate, whatever host it names."""
    tls = ssl.create_default_context(cafile=certificate)
    tls.check_hostname = False  # it is called by loopback, which its certificate need not name
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return tls


class _Answer(StreamingResponse):
    """A whole answer, sent in pieces with these fields, that says when it is over."""

    def __init__(
        self, data: bytearray, status: int, fields: Fields, over: Callable[[], None]
    ) -> None:
        super().__init__(in_pieces(data), status)
        self.raw_headers = fields
        if status not in {204, 304}:
            self.raw_headers.append((b"content-length", b"%d" % len(data)))
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


class TryOut:
    """Sends what readers try out to the data port."""

    def __init__(self, place: DataPortPlace) -> None:
        """Take where the data port is."""
        self.place = place
        self._under_way = 0

    async def send(self, request: Request, target: bytes) -> Response:
        """Send a reader's request to the data port, and return the answer without its power.

        Args:
            request: of the page.
            target: path and query at the data port.

        Raises:
            Problem: it is not the page's own request, is too large, has a target that is no URL's,
                or has no bounded answer.
        """
        origin = request.headers.get("origin")
        if MARK not in request.headers or not (
            origin is None or is_own_origin(origin, request.headers.get("host", ""))
        ):
            raise Problem(403, "This is for the page of APIs alone, which marks its requests.")
        place = self.place
        try:
            url = httpx.URL(
                scheme=place.scheme, host=place.host, port=place.port, raw_path=target
            )  # fmt: skip
        except (UnicodeError, httpx.InvalidURL) as error:
            raise Problem(400, "The path or query holds what a URL spells with %.") from error
        if self._under_way >= AT_ONCE:
            raise Problem(503, "Too many requests are tried out.", headers={"Retry-After": "1"})
        self._under_way += 1
        is_answered = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._sent(request, url)
            is_answered = True
        except TimeoutError as error:
            raise Problem(504, f"No answer within {ANSWER_SECONDS:g} s.") from error
        except (httpx.HTTPError, OSError) as error:
            raise Problem(502, f"The data port has not answered: {error}") from error
        finally:
            if not is_answered:
                self._end()
        return answer

    def _end(self) -> None:
        self._under_way -= 1

    async def _sent(self, request: Request, url: httpx.URL) -> Response:
        """Return the whole answer, which counts as under way until it is sent."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise Problem(413, f"A body has at most {MAX_BODY_BYTES} bytes here.")
        fields = [
            (name, value)
            for name, value in request.headers.raw
            if name not in TAKEN and not name.startswith(b"sec-")
        ]
        fields.append((b"accept-encoding", b"identity"))
        if body:
            fields.append((b"content-length", b"%d" % len(body)))
        tls = self.place.trust()
        content = (bytes(piece) async for piece in in_pieces(body)) if body else None
        data = bytearray()
        async with (
            httpx.AsyncClient(verify=tls, trust_env=False, timeout=ANSWER_SECONDS) as http,
            http.stream(request.method, url, headers=fields, content=content) as got,
        ):
            async for piece in got.aiter_raw():
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise Problem(502, f"The answer has more than {MAX_ANSWER_BYTES} bytes.")
        answered = [(name.lower(), value) for name, value in got.headers.raw]
        shown = [
            (name, value)
            for name, value in answered
            if (name in SHOWN or name.startswith(b"x-")) and name not in HARMLESS
        ]
        return _Answer(data, got.status_code, [*shown, *HARMLESS.items()], self._end)
