"""What readers try out at the admin port's page of APIs: requests that go through the gateway.

The page is of another origin than the data port, which answers no pages of other origins unless a
route says so. So the page sends a request to its own origin, and it goes from here to the data
port as any client's would. A page of somebody else cannot: browsers let no other origin set the
field `MARK` here. What a service answers must not act as the console's page, so of its fields only
harmless ones come along, and nothing of it runs.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
from fastapi import Request, Response
from service_kit import Problem

from gateway.control.order_desk import is_own_origin

MARK = "x-gateway-docs"
"""The field that the page's script sets, and that no other page may set."""
MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_ANSWER_BYTES = 10 * 1024 * 1024
ANSWER_SECONDS = 60.0
AT_ONCE = 8
"""Requests that are tried out at a time."""
TAKEN = frozenset(
    {
        MARK, "cookie", "host", "origin", "referer", "content-length", "connection", "keep-alive",
        "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding", "expect", "forwarded",
        "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
"""Request fields that stay here: of the reader's session, of the page, and of the connection."""
SHOWN = frozenset(
    {
        "content-type", "content-encoding", "content-disposition", "retry-after", "proxy-status",
        "allow",
    }
)  # fmt: skip
"""Fields of answers that come along, beside `x-...`. No `Location`: browsers would go there."""
HARMLESS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
)


@dataclass(frozen=True, slots=True)
class DataPortPlace:
    """Where the data port is for this process.

    Attributes:
        host: address by which it is reached.
        port: its TCP port.
        tls: verifies its certificate; None if it speaks no TLS.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def scheme(self) -> str:
        """Return `http` or `https`."""
        return "http" if self.tls is None else "https"


def trust_in(certificate: Path) -> ssl.SSLContext:
    """Return the trust in whoever has the key of this certificate, whatever host it names."""
    tls = ssl.create_default_context(cafile=certificate)
    tls.check_hostname = False  # it is called by loopback, which its certificate need not name
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return tls


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
            Problem: it is not the page's own request, is too large, or has no bounded answer.
        """
        origin = request.headers.get("origin")
        if MARK not in request.headers or not (
            origin is None or is_own_origin(origin, request.headers.get("host", ""))
        ):
            raise Problem(403, "This is for the page of APIs alone, which marks its requests.")
        if self._under_way >= AT_ONCE:
            raise Problem(503, "Too many requests are tried out.", headers={"Retry-After": "1"})
        self._under_way += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._sent(request, target)
        except TimeoutError as error:
            raise Problem(504, f"No answer within {ANSWER_SECONDS:g} s.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Problem(502, f"The data port has not answered: {error}") from error
        finally:
            self._under_way -= 1

    async def _sent(self, request: Request, target: bytes) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise Problem(413, f"A body has at most {MAX_BODY_BYTES} bytes here.")
        place = self.place
        url = httpx.URL(
            scheme=place.scheme, host=place.host, port=place.port, raw_path=target
        )  # fmt: skip
        fields = [
            (name, value)
            for name, value in request.headers.items()
            if name not in TAKEN and not name.startswith("sec-")
        ]
        fields.append(("accept-encoding", "identity"))
        tls = place.tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        data = bytearray()
        async with (
            httpx.AsyncClient(verify=tls, trust_env=False, timeout=ANSWER_SECONDS) as http,
            http.stream(request.method, url, headers=fields, content=bytes(body)) as got,
        ):
            async for piece in got.aiter_raw():
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise Problem(502, f"The answer has more than {MAX_ANSWER_BYTES} bytes.")
        shown = {
            name: value
            for name, value in got.headers.items()
            if name in SHOWN or name.startswith("x-")
        }
        return Response(bytes(data), got.status_code, {**shown, **HARMLESS})
