"""The access log: one JSON line per request, formatted and written in batches, off the data path.

A request leaves a tuple; a thread turns a batch of them into lines and writes them with one call.
When standard output is stuck, what does not fit is counted and dropped; nobody waits.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import orjson

from gateway.ledger import Record

KEPT = 20_000
"""Lines that may wait; a few seconds of a busy gateway."""
BATCH = 2_000
PAUSE = 0.2
"""Seconds between two batches."""


class Entry(NamedTuple):
    """What a line says; while it waits, the request itself is not held in memory."""

    wall: float
    id: bytes
    client: bytes
    method: bytes
    path: bytes
    status: int
    result: str
    sent: int
    took: float
    route: str
    service: str
    instance: str | None
    attempts: int


class AccessLog:
    """Takes records and writes them in the background."""

    def __init__(self, wall: Callable[[], float], fd: int = 1) -> None:
        """Write to a file descriptor.

        Args:
            wall: Unix time in seconds.
            fd: where to.
        """
        self.dropped = 0
        self._wall = wall
        self._fd = fd
        self._kept: deque[Entry] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __call__(self, record: Record, status: int, sent: int, result: str, now: float) -> None:
        """Take a finished request."""
        if len(self._kept) < KEPT:
            head, attempts = record.head, record.attempts
            instance = attempts[-1][0] if attempts else None
            entry = (
                self._wall(), record.id, record.client, head.method, head.path, status, result,
                sent, now - record.started, record.route, record.service, instance, len(attempts),
            )  # fmt: skip
            self._kept.append(Entry._make(entry))
        else:
            self.dropped += 1

    def close(self) -> None:
        """Write what is left, within a second."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE) or self._kept:
            while self._kept:
                batch = [self._kept.popleft() for _ in range(min(BATCH, len(self._kept)))]
                self._write(b"".join(map(line, batch)))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


def line(entry: Entry) -> bytes:
    """One line; never a query, a body or a credential."""
    second, millis = divmod(int(entry.wall * 1000), 1000)
    return orjson.dumps(
        {
            "time": f"{_stamp(second)}.{millis:03d}+00:00",
            "level": "info",
            "logger": "gateway.access",
            "event": "request",
            "request_id": entry.id.decode(),
            "client": entry.client.decode(),
            "method": entry.method.decode("latin-1"),
            "path": entry.path.decode("latin-1"),
            "status": entry.status,
            "result": entry.result,
            "bytes": entry.sent,
            "ms": round(entry.took * 1000, 2),
            "route": entry.route,
            "service": entry.service,
            "instance": entry.instance,
            "attempts": entry.attempts,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


@lru_cache(4)
def _stamp(second: int) -> str:
    """Date and time; a thousand lines have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
