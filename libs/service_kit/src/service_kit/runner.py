"""Runs a service as a process that is announced in Nacos only while it listens.

FastAPI's lifespan is the wrong place for that at both ends: uvicorn begins it before the socket
listens and ends it after the last connection is closed. Here the order is:

1. Begin the application's own lifespan, listen, announce, serve until SIGTERM.
2. Become not ready, and withdraw while still serving. Each answer says `Connection: close` and
   `X-Gateway-Draining: 1` from now on: a caller that knows the field takes the instance out of
   traffic at once, whenever it hears of it from the registry. Other ports of the process say
   likewise that they close.
3. Serve on for `drain_seconds`, so that callers with a cached list notice.
4. Stop accepting. Work that waits in a queue is declined, so that its callers ask elsewhere; what
   runs has the rest of `end_seconds`, less the last three, and is then cut: its callers get 503.
5. End the application's own lifespan, exit with 0, even if threads still do what nobody waits for.
"""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from types import FrameType
from typing import Protocol

import uvicorn
import uvloop
from starlette.types import ASGIApp

from service_kit.at_once import AtOnceHttp
from service_kit.exit_codes import ExitCode
from service_kit.health import HealthChecks
from service_kit.http import close_late
from service_kit.listen import bind
from service_kit.settings import ProcessSettings

TICKS_PER_SECOND = 10
"""Ticks of uvicorn's main loop."""
KEEP_ALIVE_SECONDS = 75
"""Seconds that an idle connection is kept: longer than the gateway and Java's pools do (60 s)."""
END_SECONDS = 35.0
"""Seconds from the signal to the end of the process, beside `drain_seconds`. They hold a request of
30 s, the usual limit, that begins as the drain ends."""
LAST_SECONDS = 3.0
"""The last of these seconds: requests that still run are cut, and the process ends."""
CUT_SECONDS = 0.5
"""Seconds in which requests that are cut are answered; in which threads may end; and in which the
application's lifespan may after a second signal."""

LAST_FIELDS = ((b"connection", b"close"), (b"x-gateway-draining", b"1"))
"""The fields by which a process that was told to stop asks callers to go elsewhere."""

_log = logging.getLogger(__name__)


class Presence(Protocol):
    """The service's entry in the registry."""

    async def announce(self) -> None:
        """Register the instance; return at once and go on trying in the background."""

    async def withdraw(self) -> None:
        """Remove the entry; return once the registry no longer shows it, within a bounded time."""


class WorkQueue(Protocol):
    """Work of requests that waits for its turn."""

    def decline(self) -> None:
        """Answer 503 to the work that waits and to what comes; what runs goes on."""


class Listener(Protocol):
    """Another port of the process, such as the gateway's data port."""

    async def open(self) -> None:
        """Begin to listen."""

    def leave(self) -> None:
        """Have each answer from now on close its connection; connections are still accepted."""

    async def drain(self) -> None:
        """Stop accepting and finish what runs, within a bounded time."""

    async def close(self) -> None:
        """Release all that the listener holds."""


def run(main: Coroutine[None, None, None]) -> None:
    """Run a service's `main` on uvloop; then end the process, even if threads still work.

    Python would wait for them: a fit or a model's call that nobody waits for any more may take
    minutes, and code in C cannot be told to stop.
    """
    uvloop.run(main)
    until = time.monotonic() + CUT_SECONDS
    others = [each for each in threading.enumerate() if each is not threading.main_thread()]
    lasting = [each for each in others if not each.daemon]
    for thread in lasting:
        thread.join(max(0.0, until - time.monotonic()))
    if working := [thread.name for thread in lasting if thread.is_alive()]:
        _log.warning("work_abandoned", extra={"threads": working})
        logging.shutdown()
        os._exit(0)


async def serve(
    app: ASGIApp,
    settings: ProcessSettings,
    *,
    health: HealthChecks,
    presence: Presence | None = None,
    listeners: Sequence[Listener] = (),
    queues: Sequence[WorkQueue] = (),
    end_seconds: float = END_SECONDS,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal cuts the drain and the running requests short.

    Args:
        app: the application.
        settings: the environment.
        health: state of the service.
        presence: the service's entry in the registry.
        listeners: other ports of the process.
        queues: work that waits, to be declined after the drain.
        end_seconds: seconds from the signal to the end of the process, beside `drain_seconds`.

    Raises:
        SystemExit: code 3 when the address cannot be listened on, 6 when the application's own
            lifespan fails at its start.
    """
    sockets = bind(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        http=AtOnceHttp,
        loop="none",
        ws="none",
        lifespan="auto",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    # The objects that exist by now live as long as the process. Garbage collections that look at
    # them again cost 11 ms of CPU in each request of 10,000 points, so they are frozen.
    gc.collect()
    gc.freeze()
    server = _Server(
        config,
        settings,
        health=health,
        presence=presence,
        listeners=listeners,
        queues=queues,
        end_seconds=end_seconds,
    )
    await server.serve(sockets)
    _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn's server, which also announces the service after its start and withdraws it."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: ProcessSettings,
        *,
        health: HealthChecks,
        presence: Presence | None,
        listeners: Sequence[Listener],
        queues: Sequence[WorkQueue],
        end_seconds: float,
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._health = health
        self._presence = presence
        self._listeners = listeners
        self._queues = queues
        self._end_seconds = end_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin the application's lifespan and listen, then announce."""
        try:
            await super().startup(sockets)
        except SystemExit as error:  # with the code of an address that cannot be listened on
            raise SystemExit(ExitCode.NOT_STARTED) from error
        if self.lifespan.should_exit:  # all that older versions of uvicorn do then
            raise SystemExit(ExitCode.NOT_STARTED)
        for listener in self._listeners:
            await listener.open()
        settings = self._settings
        _log.info("listening", extra={"host": settings.host, "port": settings.port})
        if self._presence is not None:
            await self._presence.announce()

    async def on_tick(self, counter: int) -> bool:
        """Do uvicorn's housekeeping; every second, end requests that arrive too slowly."""
        if counter % TICKS_PER_SECOND == 0:
            close_late(self.server_state.connections, time.monotonic())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Withdraw and drain while serving, then stop accepting and finish what runs in time."""
        ends_at = time.monotonic() + self._settings.drain_seconds + self._end_seconds
        self._health.drain()
        self._say_last()
        leaving = asyncio.create_task(self._leave())
        while not leaving.done() and not self.force_exit:
            await self.on_tick(0)
            await asyncio.sleep(1 / TICKS_PER_SECOND)
        leaving.cancel()
        for listener in self._listeners:
            await listener.drain()
        for queue in self._queues:
            queue.decline()
        left = ends_at - LAST_SECONDS - time.monotonic()
        self.config.timeout_graceful_shutdown = max(0, int(left))
        await super().shutdown(sockets)
        await self._cut()
        if self.force_exit:
            await self._end_lifespan()
        for listener in self._listeners:
            await listener.close()

    async def _cut(self) -> None:
        """End the requests that still run; each is answered by the application's edge."""
        running = list(self.server_state.tasks)
        for task in running:
            if not task.cancelling():  # else uvicorn has, when the time was over
                task.cancel()
        if running:
            await asyncio.wait(running, timeout=CUT_SECONDS)

    async def _end_lifespan(self) -> None:
        """End the application's lifespan, which uvicorn leaves running after a second signal."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_SECONDS):
                await self.lifespan.shutdown()

    def _say_last(self) -> None:
        """Have each answer from now on say that the process ends; those under way, too.

        The registry's word may reach callers late.
        """
        self.config.encoded_headers = [*self.config.encoded_headers, *LAST_FIELDS]
        last = [*self.server_state.default_headers, *LAST_FIELDS]
        self.server_state.default_headers = last
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)  # None before the first request
            if cycle is not None:
                cycle.default_headers = last

    async def _leave(self) -> None:
        _log.info("stopping", extra={"drain_seconds": self._settings.drain_seconds})
        for listener in self._listeners:
            listener.leave()
        if self._presence is not None:
            await self._presence.withdraw()
            _log.info("withdrawn")
        await asyncio.sleep(self._settings.drain_seconds)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to stop; on a second signal, stop at once.

        The signal is not raised again at the end, as uvicorn would: a drained process exits with 0.
        """
        self.force_exit = self.should_exit
        self.should_exit = True
