"""The server: HTTP and the memory in a thread with an event loop, gRPC in threads of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from stack.access import NacosAccess
from stack.ports import NacosPorts

from tests.nacos_wire.character import Character
from tests.nacos_wire.grpc_api import GrpcApi
from tests.nacos_wire.http_api import HttpApi
from tests.nacos_wire.http_port import HttpPort
from tests.nacos_wire.registry import Registry

GRPC_OFFSET = 1000
EXPIRE_SECONDS = 0.1
"""Seconds between two looks for instances without beats; a real server takes five."""
PATIENCE_SECONDS = 10.0
MOST_CONNECTIONS = 64
"""Threads for gRPC; each connection holds one."""


class WireNacos:
    """A Nacos of a version, on free ports of this machine, from `start` until `stop`.

    It has what clients and operators of this repository ask for: naming and configuration by gRPC
    and by HTTP, v1 and v3, logins and namespaces. The paths of v2 are left out.

    Attributes:
        access: its address, and a login of one who may do all; gRPC is 1000 above the port.
    """

    def __init__(
        self,
        version: str,
        *,
        auth: bool | None = None,
        context_path: str = "/nacos",
        instead_of: NacosAccess | None = None,
    ) -> None:
        """Make a server of a version like `2.0.4`.

        Args:
            version: decides how the server behaves.
            auth: whether clients need a login; None: as the version has it by default.
            context_path: precedes every path of the HTTP API.
            instead_of: a server that has stopped, whose address and password this one takes over.
        """
        password = instead_of.password if instead_of else None
        character = Character(version, auth=auth, password=password)
        address = instead_of.server_addr if instead_of else f"127.0.0.1:{NacosPorts.free().http}"
        self.access = NacosAccess(address, character.username, character.password)
        self._port = int(address.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nacos {version}")
        self._registry = Registry()
        self._http = HttpPort(HttpApi(character, self._registry, context_path).answer)
        self._grpc_api = GrpcApi(character, self._registry, self._loop)
        self._grpc: grpc.Server | None = None
        self._expiry: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen on both ports."""
        self._thread.start()
        self._run(self._open_http())
        self.open_grpc()

    def stop(self) -> None:
        """End every connection, and the thread."""
        self.close_grpc()
        self._run(self._close_http())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open_grpc(self) -> None:
        """Open the gRPC port; `start` does so."""
        # Not grpc.aio: it has one poller for all event loops of a process, the clients' too.
        self._threads = ThreadPoolExecutor(MOST_CONNECTIONS)
        self._grpc = grpc.server(self._threads, (self._grpc_api,))
        self._grpc.add_insecure_port(f"127.0.0.1:{self._port + GRPC_OFFSET}")
        self._grpc.start()

    def close_grpc(self) -> None:
        """Close the gRPC port, as a firewall may; its connections end, HTTP goes on."""
        if self._grpc is not None:
            self._grpc.stop(None).wait(PATIENCE_SECONDS)
            self._threads.shutdown()
            self._grpc = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _open_http(self) -> None:
        self._expiry = asyncio.create_task(self._expire())
        await self._http.open(self._port)

    async def _close_http(self) -> None:
        await self._http.close()
        if self._expiry is not None:
            self._expiry.cancel()
            await asyncio.wait([self._expiry])

    async def _expire(self) -> None:
        while True:
            self._registry.expire()
            await asyncio.sleep(EXPIRE_SECONDS)
