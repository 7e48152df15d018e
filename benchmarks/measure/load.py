"""Open-loop load: a constant rate that does not wait for answers, over raw sockets.

Every latency counts from the moment the request was due, so a stalled server (or a late client) is
seen in full by every request that it held up: no coordinated omission. Nothing is retried, not
even on a reused connection that dies.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import httptools

TFD_NONBLOCK = os.O_NONBLOCK
CLOCK_MONOTONIC = 1
SWEEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be written; `kind` groups samples, `identity` is its X-Request-Id."""

    kind: str
    identity: str
    wire: bytes


@dataclass(slots=True)
class Sample:
    """The result of one request. Times are CLOCK_MONOTONIC seconds, the same in every process.

    Attributes:
        status: HTTP status; 0 if no whole response came.
        error: why no whole response came, else empty.
        attempts: value of X-Gateway-Attempts, 0 if the proxy does not say.
    """

    kind: str
    identity: str
    due: float
    done: float = 0.0
    status: int = 0
    error: str = ""
    attempts: int = 0

    @property
    def latency(self) -> float:
        """Return the seconds from the moment the request was due to its end."""
        return self.done - self.due

    @property
    def failed(self) -> bool:
        """Return whether there was no response, or one that tells of a fault on the way."""
        return self.status == 0 or self.status >= 500


def post(
    path: str, identity: str, *, kind: str, body: bytes = b"{}", host: str = "bench"
) -> Request:
    """Make a POST with a JSON body and an identity that the server can count."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {identity}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Request(kind, identity, head.encode() + body)


class _Owner(Protocol):
    def release(self, connection: "_Connection") -> None: ...


class _Connection(asyncio.Protocol):
    """One client connection with at most one request on it."""

    def __init__(self, owner: _Owner, clock: Callable[[], float]) -> None:
        self._owner = owner
        self._clock = clock
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.sample: Sample | None = None
        self._headers: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transport is no subclass

    def send(self, sample: Sample, wire: bytes) -> None:
        self.sample = sample
        self._headers.clear()
        assert self.transport is not None
        self.transport.write(wire)

    def usable(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def end(self, error: str) -> None:
        """Give up the request in flight, and the connection with it."""
        if self.sample is not None:
            self.sample.error, self.sample.done = error, self._clock()
            self.sample = None
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.end(f"malformed answer: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_message_complete(self) -> None:
        sample, self.sample = self.sample, None
        if sample is None:
            return
        sample.done, sample.status = self._clock(), self._parser.get_status_code()
        sample.attempts = int(self._headers.get(b"x-gateway-attempts", b"0"))
        if self._parser.should_keep_alive():
            self._owner.release(self)
        elif self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"connection lost: {exc!r}" if exc else "connection closed without an answer")


@dataclass
class OpenLoop:
    """A constant-rate client of one address.

    Args:
        rate: requests per second.
        seconds: the time in which new requests become due, unless `stop` comes first.
        make: builds the request of a given number.
        timeout: seconds from due after which a request counts as failed.
        connections: opened before the first request is due; more are opened when all are busy.
    """

    host: str
    port: int
    rate: float
    seconds: float
    make: Callable[[int], Request]
    timeout: float = 10.0
    connections: int = 0
    samples: list[Sample] = field(default_factory=list)
    _idle: list[_Connection] = field(default_factory=list)
    _busy: set[_Connection] = field(default_factory=set)
    _opening: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    def stop(self) -> None:
        """Let no further request become due."""
        self._stopping = True

    def release(self, connection: _Connection) -> None:
        """Take back a connection whose response is complete."""
        self._busy.discard(connection)
        self._idle.append(connection)

    async def run(self) -> list[Sample]:
        """Offer the load, wait for the last responses, return all samples in due order."""
        loop = asyncio.get_running_loop()
        gc.collect()
        gc.disable()
        sweeper = asyncio.create_task(self._sweep(loop))
        try:
            for _ in range(self.connections):
                self._idle.append(await self._open(loop))
            await self._offer(loop)
            while self._busy or self._opening:  # noqa: ASYNC110 - the sweep below moves both
                await asyncio.sleep(SWEEP_SECONDS)
        finally:
            gc.enable()
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper
            for connection in self._idle:
                connection.end("")
        return self.samples

    async def _offer(self, loop: asyncio.AbstractEventLoop) -> None:
        total, start = round(self.rate * self.seconds), loop.time() + 0.05
        finished = asyncio.Event()
        issued = 0

        def tick() -> None:
            nonlocal issued
            with contextlib.suppress(BlockingIOError):
                os.read(timer, 8)
            due = min(total, int((loop.time() - start) * self.rate) + 1)
            while issued < due:
                self._issue(self.make(issued), start + issued / self.rate)
                issued += 1
            if issued == total or self._stopping:
                finished.set()

        timer = _periodic_timer(1 / self.rate)
        loop.add_reader(timer, tick)
        try:
            await finished.wait()
        finally:
            loop.remove_reader(timer)
            os.close(timer)

    def _issue(self, request: Request, due: float) -> None:
        sample = Sample(request.kind, request.identity, due)
        self.samples.append(sample)
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                self._busy.add(connection)
                connection.send(sample, request.wire)
                return
        task = asyncio.create_task(self._issue_on_new(sample, request.wire))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _issue_on_new(self, sample: Sample, wire: bytes) -> None:
        loop = asyncio.get_running_loop()
        left = sample.due + self.timeout - loop.time()
        try:
            async with asyncio.timeout(left):
                connection = await self._open(loop)
        except (OSError, TimeoutError) as error:
            sample.error, sample.done = f"connect: {error!r}", loop.time()
            return
        self._busy.add(connection)
        connection.send(sample, wire)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        _, connection = await loop.create_connection(
            lambda: _Connection(self, loop.time), self.host, self.port
        )
        return connection

    async def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in tuple(self._busy):
                if connection.sample is None:
                    self._busy.discard(connection)
                elif connection.sample.due + self.timeout < now:
                    connection.end("timeout")


def _periodic_timer(seconds: float) -> int:
    """Make a timerfd: the loop's timers count milliseconds, too coarse for 1,000 ticks a second."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer: int = libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)
    whole, nanoseconds = divmod(int(seconds * 1e9), 10**9)
    setting = (ctypes.c_long * 4)(whole, nanoseconds, whole, nanoseconds)
    if timer < 0 or libc.timerfd_settime(timer, 0, setting, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd")
    return timer


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
