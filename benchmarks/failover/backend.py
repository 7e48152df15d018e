"""The service behind the gateways, which writes down every execution before it answers.

The journal is one file for all instances, one line an execution, written with a single append, so
that it survives SIGKILL: seconds of CLOCK_MONOTONIC, instance, request id, path. `POST /fault`
tells the instance how to behave.
"""

import asyncio
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Annotated, Any

from nacos_client import Announcement, Nacos, NacosSettings
from pydantic import Field
from service_kit import HealthChecks, ProcessSettings, configure_logs, read_env, run, serve
from starlette.types import Message, Receive, Scope, Send

from benchmarks.gateway.calls import METADATA

SLOW_SECONDS = 1.0
WELL, UNAVAILABLE, SLOW, RESETTING = "well", "unavailable", "slow", "resetting"
WITHDRAWN, ANNOUNCED = "withdrawn", "announced"


class Settings(ProcessSettings):
    """The settings of the service, with the file of its journal and its release in Nacos."""

    journal: Annotated[Path, Field(validation_alias="JOURNAL")]
    release: Annotated[str, Field(validation_alias="RELEASE")] = "1"


class Backend:
    """The application: pure ASGI, because a reset needs the connection itself."""

    def __init__(self, name: str, journal: Path, health: HealthChecks, entry: Announcement) -> None:
        self._name = name
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._health = health
        self._entry = entry
        self._mode = WELL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"]
        body = await _body(receive)
        if path == "/livez":
            await self._answer(send, 200)
        elif path == "/readyz":
            await self._answer(send, 200 if self._health.report()[0] else 503)
        elif path == "/fault":
            await self._obey(json.loads(body)["mode"])
            await self._answer(send, 200)
        elif self._mode == UNAVAILABLE:
            await self._answer(send, 503)
        else:
            self._write_down(dict(scope["headers"])[b"x-request-id"].decode(), path)
            if self._mode == RESETTING:
                _reset(send)
                return
            if self._mode == SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            await self._answer(send, 200)

    async def _obey(self, mode: str) -> None:
        if mode == WITHDRAWN:
            await self._entry.withdraw()
        elif mode == ANNOUNCED:
            await self._entry.announce()
        else:
            self._mode = mode

    def _write_down(self, request_id: str, path: str) -> None:
        line = f"{time.monotonic():.6f} {self._name} {request_id} {path}\n"
        os.write(self._journal, line.encode())

    async def _answer(self, send: Send, status: int) -> None:
        body = b'{"predictions":[1],"errors":null}'
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-instance", self._name.encode()),
        ]
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _reset(send: Any) -> None:
    """End the connection with RST, as a crashing process does; uvicorn's `send` leads to it."""
    transport = send.__self__.transport
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


async def main() -> None:
    """Serve as one instance, announced in Nacos, until told to stop."""
    settings, nacos_settings = read_env(Settings, NacosSettings)
    configure_logs(settings)
    health = HealthChecks(settings.service_name, "1")
    async with Nacos(nacos_settings) as nacos:
        metadata = {**METADATA, "release": settings.release}
        entry = nacos.announcement(settings.service_name, port=settings.port, metadata=metadata)
        app = Backend(settings.host, settings.journal, health, entry)
        await serve(app, settings, health=health, presence=entry)


if __name__ == "__main__":
    run(main())
