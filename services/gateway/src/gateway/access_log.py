"""The access log: one JSON line per request, formatted and written in batches, off the data path.

A request leaves a tuple; a thread turns a batch of them into lines and writes them with one call.
When standard output is stuck, what does not fit is counted and dropped; nobody waits.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from gateway.ledger import Record

KEPT = 20_000
"""Lines that may wait; a few seconds of a busy gateway."""
BATCH = 2_000
PAUSE = 0.2
"""Seconds between two batches."""

Entry = tuple[Record, int, int, str, float, float]


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
            self._kept.append((record, status, sent, result, now, self._wall()))
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
    record, status, sent, result, now, wall = entry
    head = record.head
    return orjson.dumps(
        {
            "time": datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "logger": "gateway.access",
            "event": "request",
            "request_id": record.id.decode(),
            "client": record.client.decode(),
            "method": head.method.decode("latin-1"),
            "path": head.path.decode("latin-1"),
            "status": status,
            "result": result,
            "bytes": sent,
            "ms": round((now - record.started) * 1000, 2),
            "route": record.route,
            "service": record.service,
            "instance": record.attempts[-1][0] if record.attempts else None,
            "attempts": len(record.attempts),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
