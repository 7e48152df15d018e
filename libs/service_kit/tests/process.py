"""A service process for the tests: it writes what it does to the file that EVENTS names."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI, Request
from service_kit import (
    AtOnce,
    HealthChecks,
    ProcessSettings,
    RequestEdge,
    ThreadPool,
    add_health,
    configure_logs,
    read_env,
    run,
    serve,
)
from service_kit.runner import END_SECONDS

WITHDRAWING_SECONDS = 0.2


def note(event: str) -> None:
    with Path(os.environ["EVENTS"]).open("a") as file:
        file.write(event + "\n")


class RecordedPresence:
    """Notes at each step whether the port takes connections."""

    def __init__(self, port: int) -> None:
        self._port = port

    def _listening(self) -> str:
        with socket.socket() as probe:
            return "listening" if probe.connect_ex(("127.0.0.1", self._port)) == 0 else "closed"

    async def announce(self) -> None:
        """Note it."""
        note(f"announce {self._listening()}")

    async def withdraw(self) -> None:
        """Note it and what /readyz says by now, and take as long as a registry might."""
        note(f"withdraw {self._listening()}")
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{self._port}/readyz")
        note(f"readyz {answer.status_code}")
        await asyncio.sleep(WITHDRAWING_SECONDS)
        note(f"withdrawn {self._listening()}")


class RecordedListener:
    """A second port that notes its life."""

    async def open(self) -> None:
        """Note it."""
        note("open")

    def leave(self) -> None:
        """Note it."""
        note("leave")

    async def drain(self) -> None:
        """Note it."""
        note("drain")

    async def close(self) -> None:
        """Note it."""
        note("close")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
    if reason := os.environ.get("FAILS"):
        raise RuntimeError(reason)
    note("application begins")
    yield {"greeting": "hello"}
    note("application ends")


async def main() -> None:
    (settings,) = read_env(ProcessSettings)
    configure_logs(settings)
    health = HealthChecks(settings.service_name, "0")
    app = FastAPI(lifespan=lifespan)
    add_health(app, health)

    @app.get("/greeting")
    async def greeting(request: Request) -> str:
        return str(request.state.greeting)

    @app.get("/slow")
    async def slow(seconds: float) -> str:
        note("slow begins")
        await asyncio.sleep(seconds)
        return "done"

    threads = ThreadPool("test", threads=1, queue_limit=8)

    @app.get("/slow-thread")
    async def slow_thread() -> bool:
        note("slow thread asked for")
        return await threads.run(threading.Event().wait)

    await serve(
        RequestEdge(app, at_once=AtOnce("/now", lambda _: b"now")),
        settings,
        health=health,
        presence=RecordedPresence(settings.port),
        listeners=[RecordedListener()],
        queues=[threads],
        end_seconds=float(os.environ.get("END_SECONDS", END_SECONDS)),
    )
    threads.close()
    note("end")


if __name__ == "__main__":
    run(main())
