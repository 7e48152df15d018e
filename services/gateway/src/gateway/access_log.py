"""The access log: one JSON line per request, written in batches off the data path.

A request becomes a line at once, on the loop's own thread. The other thread only joins what waits
and writes it: were it to format lines, the two would take the interpreter lock from each other at
every request, which costs several times what a line does. When standard output is stuck, what does
not fit is counted and dropped; nobody waits.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from gateway.http1 import KEPT
from gateway.ledger import Record

MAX_LINES = 20_000
"""Lines that may wait; a second of a busy gateway."""
MAX_PATH_BYTES = 1024
"""What a line tells of a longer path is its beginning."""
PAUSE = 0.03
"""Seconds between two batches: short, and what waits is still in the processor's cache."""
OPENING = tuple(
    b'.%03d+00:00","level":"info","logger":"gateway.access","event":"request","request_id":"'
    % millis
    for millis in range(1000)
)
"""What follows the second of a time."""
HUNDREDTHS = tuple(b"%d.%02d" % divmod(hundredths, 100) for hundredths in range(4096))
"""Milliseconds with two digits behind the point."""


class AccessLog:
    """Takes records and writes them in the background."""

    def __init__(self, wall: Callable[[], float], fd: int = 1, *, shared: bool = False) -> None:
        """Write to a file descriptor.

        Args:
            wall: Unix time in seconds.
            fd: where to.
            shared: other processes write there too.
        """
        self._shared = shared
        self.dropped = 0
        self._wall = wall
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __call__(self, record: Record, status: int, sent: int, result: str, now: float) -> None:
        """Take a finished request."""
        if len(self._lines) < MAX_LINES:
            self._lines.append(line(record, status, sent, result, now, wall=self._wall()))
        else:
            self.dropped += 1

    def close(self) -> None:
        """Write what is left, within a second."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        write = self._write_whole if self._shared else self._write_all
        while not self._stopping.wait(PAUSE) or self._lines:
            take = self._lines.popleft
            write([take() for _ in range(len(self._lines))])

    def _write_whole(self, lines: list[bytes]) -> None:
        """Write whole lines, of several workers never one into another.

        A pipe takes a write of up to PIPE_BUF bytes at once or not at all (POSIX).
        """
        batch: list[bytes] = []
        size = 0
        for one in lines:
            if batch and size + len(one) > select.PIPE_BUF:
                self._write_all(batch)
                batch, size = [], 0
            batch.append(one)
            size += len(one)
        self._write_all(batch)

    def _write_all(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        while data:
            data = data[os.write(self._fd, data) :]


def line(record: Record, status: int, sent: int, result: str, now: float, *, wall: float) -> bytes:
    """One line; never a query, a body or a credential.

    Args:
        record: the request.
        status: of the answer.
        sent: bytes of its body.
        result: how it went.
        now: clock time of its end.
        wall: Unix time of its end.
    """
    head, attempts = record.head, record.attempts
    second, millis = divmod(int(wall * 1000), 1000)
    hundredths = int((now - record.started) * 100_000 + 0.5)
    quick = 0 <= hundredths < len(HUNDREDTHS)
    return b"".join((
        b'{"time":"', _stamp(second), OPENING[millis], record.id, b'","client":"', record.client,
        _request(head.method, head.path[:MAX_PATH_BYTES]), _end(status, result), b"%d" % sent,
        b',"ms":', HUNDREDTHS[hundredths] if quick else b"%.2f" % (hundredths / 100),
        _way(record.route, record.service, attempts[-1][0] if attempts else None, len(attempts)),
    ))  # fmt: skip


@lru_cache(KEPT)
def _request(method: bytes, path: bytes) -> bytes:
    quoted = orjson.dumps(path.decode("latin-1"))
    return b'","method":"%b","path":%b,"status":' % (method, quoted)


@lru_cache(KEPT)
def _end(status: int, result: str) -> bytes:
    return b'%d,"result":"%b","bytes":' % (status, result.encode())


@lru_cache(KEPT)
def _way(route: str, service: str, instance: str | None, attempts: int) -> bytes:
    names = (orjson.dumps(route), orjson.dumps(service), orjson.dumps(instance))
    return b',"route":%b,"service":%b,"instance":%b,"attempts":%d}\n' % (*names, attempts)


@lru_cache(4)
def _stamp(second: int) -> bytes:
    """Date and time; a thousand lines have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
