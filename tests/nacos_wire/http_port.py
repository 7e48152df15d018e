"""The HTTP port: requests and replies of HTTP/1.1, as far as clients of Nacos speak it.

It is written by hand because Nacos before 2.4 answers with a status that no HTTP library sends: 0.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 11 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        path: without the query.
        fields: those of the query and of the form in the body.
        headers: by their names in lower case.
    """

    method: str
    path: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; its type is JSON unless another is named."""

    status: int
    body: str
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Awaitable[Reply]]


class HttpPort:
    """A port that listens, and its connections."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, port: int) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", port, limit=MAX_HEAD_BYTES
        )

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._talk(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until its client ends it."""
        try:
            while True:
                writer.write(_written(await self._answer(await _read(reader))))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client ended the connection
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in lines)
        if colon
    }
    size = int(headers.get("content-length", 0))
    assert size <= MAX_BODY_BYTES, f"a body of {size} bytes"
    body = (await reader.readexactly(size)).decode()
    url = urlsplit(target)
    pairs = [part for text in (url.query, body) for part in parse_qsl(text, keep_blank_values=True)]
    return Request(method, url.path, dict(pairs), headers)


def _written(reply: Reply) -> bytes:
    known = reply.status in set(HTTPStatus)
    phrase = HTTPStatus(reply.status).phrase if known else ""
    body = reply.body.encode()
    headers = {"Content-Type": reply.kind, "Content-Length": str(len(body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} {phrase}\r\n{lines}\r\n".encode() + body
