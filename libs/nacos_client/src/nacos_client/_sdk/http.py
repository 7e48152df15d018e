"""HTTP, for the two things that Nacos does not do over gRPC: logging in, and administration.

A request is a form, and no connection is kept. The standard library does that in a worker thread,
and loads in a tenth of the time of an HTTP library; every start of a service would wait for that.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from failover import in_brackets

from nacos_client._sdk import tls
from nacos_client.errors import Refused, Unreachable
from nacos_client.settings import NacosSettings

HTTP_SECONDS = 3.0
MAX_BYTES = 1024 * 1024
OK = 200
DENIED = (401, 403)
MISSING = (404, 410, 501)
STATUS_ZERO = "HTTP/1.1 0 "
"""The beginning of an answer that is no HTTP: the code of an error of Nacos that has no code."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body of an HTTP answer."""

    status: int
    body: bytes

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
) -> HttpAnswer:
    """Send a form to a server; secrets go in the body or the headers, never in the URL.

    Raises:
        Unreachable: no answer within three seconds, or a server that TLS does not trust.
    """
    try:
        async with asyncio.timeout(HTTP_SECONDS):
            return await asyncio.to_thread(
                _exchange,
                settings,
                server,
                (method, f"{settings.context_path}{path}"),
                form,
                headers or {},
            )
    except (OSError, HTTPException) as error:  # a TimeoutError is an OSError
        what = f"{type(error).__name__} {error}".rstrip()
        raise Unreachable(f"{in_brackets(server[0])}:{server[1]}: {what}") from error


def _exchange(
    settings: NacosSettings,
    server: tuple[str, int],
    target: tuple[str, str],
    form: Mapping[str, str],
    headers: Mapping[str, str],
) -> HttpAnswer:
    connection = HTTPConnection(*server)
    try:
        connection.sock = _connect(settings, server)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request(*target, urlencode(form), {**kind, **headers})
        try:
            response = connection.getresponse()
        except BadStatusLine as error:
            if str(error).startswith(STATUS_ZERO):
                return HttpAnswer(0, b"")
            raise
        return HttpAnswer(response.status, response.read(MAX_BYTES))
    finally:
        connection.close()


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
