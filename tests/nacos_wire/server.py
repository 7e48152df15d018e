"""The server: its two ports, in a thread with an event loop of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import grpc.aio
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


class WireNacos:
    """A Nacos of a version, on free ports of this machine, from `start` until `stop`.

    It has what clients and operators of this repository ask for: naming and configuration by gRPC
    and by HTTP, v1 and v3, logins and namespaces. The paths of v2 are left out.

    Attributes:
        access: its address, and a login of one who may do all; gRPC is 1000 above the port.
    """

    def __init__(
        self, version: str, *, auth: bool | None = None, context_path: str = "/nacos"
    ) -> None:
        """Make a server of a version like `2.0.4`.

        Args:
            version: decides how the server behaves.
            auth: whether clients need a login; None: as the version has it by default.
            context_path: precedes every path of the HTTP API.
        """
        self._port = NacosPorts.free().http
        self._character = Character(version, auth=auth)
        self.access = NacosAccess(
            f"127.0.0.1:{self._port}", self._character.username, self._character.password
        )
        self._context_path = context_path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nacos {version}")
        self._grpc: grpc.aio.Server | None = None

    def start(self) -> None:
        """Listen on both ports."""
        self._thread.start()
        self._run(self._start())

    def stop(self) -> None:
        """End every connection, and the thread."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close_grpc(self) -> None:
        """Close the gRPC port, as a firewall may; connections end, HTTP goes on."""
        self._run(self._close_grpc())

    def open_grpc(self) -> None:
        """Open the gRPC port again."""
        self._run(self._open_grpc())

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

    async def _start(self) -> None:
        registry = Registry()
        self._grpc_api = GrpcApi(self._character, registry)
        self._http_api = HttpApi(self._character, registry, self._context_path)
        self._expiry = asyncio.create_task(_expire(registry))
        self._http = HttpPort(self._http_api.answer)
        await self._http.open(self._port)
        await self._open_grpc()

    async def _stop(self) -> None:
        await self._close_grpc()
        self._expiry.cancel()
        await self._http.close()

    async def _open_grpc(self) -> None:
        self._grpc = grpc.aio.server()
        self._grpc.add_generic_rpc_handlers((self._grpc_api,))
        self._grpc.add_insecure_port(f"127.0.0.1:{self._port + GRPC_OFFSET}")
        await self._grpc.start()

    async def _close_grpc(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(None)
            self._grpc = None


async def _expire(registry: Registry) -> None:
    while True:
        registry.expire()
        await asyncio.sleep(EXPIRE_SECONDS)
