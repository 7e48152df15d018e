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
BATCH_BYTES = 1024 * 1024
PAUSE = 0.2
"""Seconds between two batches."""
LINE = (
    b'{"time":"%b.%03d+00:00","level":"info","logger":"gateway.access","event":"request",'
    b'"request_id":"%b","client":"%b","method":"%b","path":%b,"status":%d,"result":"%b",'
    b'"bytes":%d,"ms":%.2f,"route":%b,"service":%b,"instance":%b,"attempts":%d}\n'
)


class AccessLog:
    """Takes records and writes them in the background."""

    def __init__(self, wall: Callable[[], float], fd: int = 1, *, shared: bool = False) -> None:
        """Write to a file descriptor.

        Args:
            wall: Unix time in seconds.
            fd: where to.
            shared: other processes write there too.
        """
        self._most = select.PIPE_BUF if shared else BATCH_BYTES
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
        while not self._stopping.wait(PAUSE) or self._lines:
            take = self._lines.popleft
            self._write([take() for _ in range(len(self._lines))])

    def _write(self, lines: list[bytes]) -> None:
        """Write whole lines, and of several workers never one into another.

        A pipe takes a write of up to PIPE_BUF bytes at once or not at all (POSIX).
        """
        batch: list[bytes] = []
        size = 0
        for one in lines:
            if batch and size + len(one) > self._most:
                self._write_all(b"".join(batch))
                batch, size = [], 0
            batch.append(one)
            size += len(one)
        self._write_all(b"".join(batch))

    def _write_all(self, data: bytes) -> None:
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
    return LINE % (
        _stamp(second), millis, record.id, record.client, head.method,
        _quoted(head.path[:MAX_PATH_BYTES]), status, result.encode(), sent,
        (now - record.started) * 1000, _name(record.route), _name(record.service),
        _name(attempts[-1][0] if attempts else None), len(attempts),
    )  # fmt: skip


@lru_cache(KEPT)
def _quoted(raw: bytes) -> bytes:
    """JSON of bytes from the wire."""
    return orjson.dumps(raw.decode("latin-1"))


@lru_cache(KEPT)
def _name(name: str | None) -> bytes:
    """JSON of a name of ours."""
    return orjson.dumps(name)


@lru_cache(4)
def _stamp(second: int) -> bytes:
    """Date and time; a thousand lines have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
