"""HTTP, for what Nacos does not do over gRPC (logins, administration), and where gRPC is closed.

A request is a form, and no connection is kept. The standard library does that in a worker thread,
and loads in a tenth of the time of an HTTP library; every start of a service would wait for that.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from failover import in_brackets

from nacos_client._sdk import tls
from nacos_client.errors import Refused, Unreachable
from nacos_client.settings import NacosSettings

HTTP_SECONDS = 3.0
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of the longest answer that is read; Nacos takes documents of 10 MiB by default."""
IN_THE_QUERY = {"GET", "DELETE"}
"""The methods whose form goes in the query: not every server reads it from the body of these."""
OK = 200
NOT_FOUND, FAILED = 404, 500
DENIED = (401, 403)
MISSING = (404, 410, 501)
STATUS_ZERO = "HTTP/1.1 0 "
"""The beginning of an answer that is no HTTP: the code of an error of Nacos that has no code."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, body and headers of an HTTP answer; the names of headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self, most: int) -> str:
        """Return the body in one line, for a message; at most so many characters."""
        return " ".join(self.body.decode(errors="replace").split())[:most]

    def json(self) -> dict[str, Any]:
        """Read the body, which must be a JSON object.

        Raises:
            Refused: the body is something else.
        """
        try:
            return dict(json.loads(self.body))
        except (ValueError, TypeError) as error:
            raise Refused(f"HTTP {self.status} without a JSON object", self.status) from error


async def send(
    settings: NacosSettings,
    server: tuple[str, int],
    method: str,
    path: str,
    *,
    form: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    seconds: float = HTTP_SECONDS,
) -> HttpAnswer:
    """Send a form to a server; secrets go in the body or the headers, never in the URL.

    Args:
        settings: of the client.
        server: host and HTTP port.
        method: of HTTP; the form of a GET or DELETE goes in the query.
        path: below the context path.
        form: the fields.
        headers: beside the form's own.
        seconds: the time until the answer must be there.

    Raises:
        Unreachable: no answer in time, or a server that TLS does not trust.
        Refused: the answer is longer than 16 MiB.
    """
    target = f"{settings.context_path}{path}"
    body = urlencode(form)
    if method in IN_THE_QUERY and body:
        target, body = f"{target}?{body}", ""
    connection = HTTPConnection(*server)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(
                _exchange, settings, connection, (method, target), (body, headers or {}), seconds
            )
    except (OSError, HTTPException) as error:  # a TimeoutError is an OSError
        what = f"{type(error).__name__} {error}".rstrip()
        raise Unreachable(f"{in_brackets(server[0])}:{server[1]}: {what}") from error
    finally:
        _hang_up(connection)


def _exchange(
    settings: NacosSettings,
    connection: HTTPConnection,
    target: tuple[str, str],
    sent: tuple[str, Mapping[str, str]],
    seconds: float,
) -> HttpAnswer:
    body, headers = sent
    try:
        connection.sock = _connect(settings, (connection.host, connection.port))
        connection.sock.settimeout(seconds)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request(*target, body, {**kind, **headers})
        try:
            response = connection.getresponse()
        except BadStatusLine as error:
            if str(error).startswith(STATUS_ZERO):
                return HttpAnswer(0, b"")
            raise
        content = response.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise Refused(f"{target[0]} {target[1]}: an answer of over {MAX_BYTES} bytes")
        told = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, content, told)
    finally:
        connection.close()


def _hang_up(connection: HTTPConnection) -> None:
    """End an exchange that nobody waits for any more, so that its thread is free at once."""
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):  # the exchange is over
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # past TLS, which the thread uses


def _connect(settings: NacosSettings, server: tuple[str, int]) -> socket.socket:
    plain = socket.create_connection(server, timeout=HTTP_SECONDS)
    if not settings.tls:
        return plain
    try:
        name = settings.tls_server_name or server[0]
        return tls.trust(settings).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise
