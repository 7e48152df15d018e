"""A port for gRPC that a test opens and closes, before a server whose HTTP port stays open."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from stack.ports import free_port

GRPC_OFFSET = 1000
PATIENCE_SECONDS = 10.0


class GrpcGate:
    """A TCP relay to the gRPC port of one server; closed until `open`.

    Attributes:
        port: for NACOS_GRPC_PORT; nobody listens there while the gate is closed.
    """

    def __init__(self, server_addr: str) -> None:
        host, _, port = server_addr.rpartition(":")
        self._server = host, int(port) + GRPC_OFFSET
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc gate")
        self._listening: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Relay connections from now on."""
        self._run(self._open())

    def close(self) -> None:
        """Refuse connections from now on, and end those that are there."""
        self._run(self._close())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _open(self) -> None:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for relay in list(self._relays):
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, ways = [writer], list[asyncio.Task[None]]()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._server)
            ends.append(far_writer)
            ways.append(asyncio.create_task(_copy(reader, far_writer)))
            ways.append(asyncio.create_task(_copy(far_reader, writer)))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the server does not listen
        finally:
            for way in ways:
                way.cancel()
            for end in ends:
                end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
