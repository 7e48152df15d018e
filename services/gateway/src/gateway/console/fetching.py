"""What an instance answers at a path: a stranger's text, bounded in bytes.

It is asked where discovery says that it is, with the gateway's own trust, and told no secret.
"""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import httpx
from nacos_client import InstanceTls

MAX_PORT = 65_535
ANSWER_SECONDS = 3.0
"""Seconds that an instance has to answer at a path."""
_ABSENT = frozenset({404, 405, 410})


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance of a service is asked.

    Attributes:
        service: its bare name, which a certificate may hold.
        host: IP literal of an instance.
        port: its TCP port.
        secure: it listens for TLS.
        root: the leading part of every path of the service.
        version: as the instance's metadata say.
        keyed: a reader may need the key of a route.
    """

    service: str
    host: str
    port: int
    secure: bool = False
    root: str = ""
    version: str = ""
    keyed: bool = False


class Lack(Enum):
    """The reason why an answer has nothing to read."""

    ABSENT = "there is nothing at this path"
    REFUSED = "another status than 200"
    ENCODED = "compressed, though that was not asked for"
    TOO_LARGE = "too many bytes"


class NothingReadError(Exception):
    """An answer has nothing to read."""

    def __init__(self, lack: Lack) -> None:
        super().__init__(lack.value)
        self.lack = lack


def client_of(tls: InstanceTls, *, secure: bool) -> httpx.AsyncClient:
    """Return a client for instances that listen for TLS, or for those that do not."""
    # Without TLS a context that trusts nobody: reading the system's authorities takes long.
    context = tls.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(verify=context, trust_env=False, timeout=ANSWER_SECONDS)


async def fetched(
    http: httpx.AsyncClient, tls: InstanceTls, place: Place, path: str, *, accept: str, most: int
) -> bytes:
    """Read an answer of at most so many bytes; how long it takes is for the caller to bound.

    Raises:
        NothingReadError: it is too long, or has nothing to read.
        httpx.HTTPError: there is none.
    """
    if not 0 < place.port <= MAX_PORT:  # discovery lists whatever was registered
        raise httpx.ConnectError(f"{place.port} is no port")
    url = httpx.URL(
        scheme="https" if place.secure else "http",
        host=place.host, port=place.port, path=place.root + path,
    )  # fmt: skip
    name = tls.server_name(place.service, place.host)
    # Compressed, a few bytes could become many before they are counted.
    plain = {"Accept": accept, "Accept-Encoding": "identity"}
    data = bytearray()
    async with http.stream("GET", url, headers=plain, extensions={"sni_hostname": name}) as got:
        if got.status_code != httpx.codes.OK:
            raise NothingReadError(Lack.ABSENT if got.status_code in _ABSENT else Lack.REFUSED)
        if "content-encoding" in got.headers:
            raise NothingReadError(Lack.ENCODED)
        async for chunk in got.aiter_raw():
            data += chunk
            if len(data) > most:
                raise NothingReadError(Lack.TOO_LARGE)
    return bytes(data)


async def given_up(asking: Collection[asyncio.Task[None]]) -> None:
    """Ask no more; return when each of these has ended."""
    for task in asking:
        task.cancel()
    if asking:
        await asyncio.wait(asking)
