"""The access log: one JSON line per request, written in batches off the data path.

A request becomes a line at once, on the loop's own thread. The other thread only joins the lines
that wait and writes them: if it formatted lines, the two threads would take the interpreter lock
from each other at every request, which costs several times what a line does. When standard output
is stuck, lines that do not fit are counted and dropped; no request waits. When it takes nothing
more, as a full disk does, the lines that did not leave are counted and the next batch is tried.
"""

import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import orjson

from gateway.http.heads import CACHE_SIZE
from gateway.telemetry.records import RequestRecord

MAX_LINES: Final = 20_000
"""Lines that may wait; a second of a busy gateway."""
MAX_PATH_BYTES: Final = 1024
"""Bytes of a path that a line tells: of a longer path, the beginning."""
MAX_QUOTED_BYTES: Final = 2050
"""Bytes of a path as JSON, where a control character takes six: a line fits a pipe's write."""
LINE_ROOM: Final = select.PIPE_BUF - 1
"""Bytes of lines in one write to a shared pipe; one byte more may end a line that was cut."""
LAST_SECOND: Final = 1.0
"""Seconds for which the end of the log waits for a reader."""
POLL_MILLIS: Final = 100
PAUSE: Final = 0.03
"""Seconds for which a batch collects lines: short, so they are still in the processor's cache."""
OPENING: Final = tuple(
    b'.%03d+00:00","level":"info","logger":"gateway.access","event":"request","request_id":"'
    % millis
    for millis in range(1000)
)
"""The part of a line that follows the seconds of its time, by millisecond."""
HUNDREDTHS: Final = tuple(b"%d.%02d" % divmod(hundredths, 100) for hundredths in range(4096))
"""Milliseconds with two digits behind the point, rendered."""

_log = logging.getLogger(__name__)


class AccessLog:
    """The log to which a thread of its own writes a line for each request."""

    def __init__(self, wall: Callable[[], float], fd: int = 1, *, shared: bool = False) -> None:
        """Write to a file descriptor.

        Args:
            wall: Unix time in seconds.
            fd: where to.
            shared: other processes write there too.
        """
        self._shared = shared
        # A counter for each thread: an increment of one by both loses counts.
        self._overflowed = 0
        self._unwritten = 0
        self._cut = False
        self._failed = False
        self._wall = wall
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._until = math.inf
        self._asleep = False
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._writer = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._writer.start()

    @property
    def dropped(self) -> int:
        """Return how many lines did not fit or could not be written."""
        return self._overflowed + self._unwritten

    @property
    def waiting(self) -> int:
        """Return how many lines wait to be written."""
        return len(self._lines)

    @property
    def running(self) -> bool:
        """Return whether the writing thread has not ended."""
        return self._writer.is_alive()

    def __call__(
        self, record: RequestRecord, status: int, sent: int, result: str, now: float
    ) -> None:
        """Take the record of a request that ended."""
        if len(self._lines) < MAX_LINES:
            self._lines.append(line(record, status, sent, result, now, wall=self._wall()))
            if self._asleep:
                self._asleep = False
                self._wake.set()
        else:
            self._overflowed += 1

    def close(self) -> None:
        """Write the lines that wait, within a second."""
        self._until = time.monotonic() + LAST_SECOND
        self._stopping.set()
        self._wake.set()
        self._writer.join(LAST_SECOND)

    def _run(self) -> None:
        """Write batches while there are lines, and sleep while there are none."""
        while not self._stopping.is_set() or self._lines:
            self._sleep()
            while self._lines:
                self._stopping.wait(PAUSE)
                take = self._lines.popleft
                lines = [take() for _ in range(len(self._lines))]
                for batch in _fitting(lines) if self._shared else (lines,):
                    self._write(batch)

    def _sleep(self) -> None:
        """Wait for a line or the end; an idle gateway's thread takes no time.

        Whoever adds a line looks at `_asleep` after it, this thread at the lines after `_asleep`:
        one of the two sees the other.
        """
        self._wake.clear()
        self._asleep = True
        if not self._lines and not self._stopping.is_set():
            self._wake.wait()
        self._asleep = False

    def _write(self, lines: list[bytes]) -> None:
        """Write lines; if that fails, count the lines that did not leave whole."""
        ended = b"\n" if self._cut else b""
        data = ended + b"".join(lines)
        sent = 0
        try:
            while sent < len(data):
                sent += self._write_some(data[sent:])
        except OSError as error:
            whole = data.count(b"\n", len(ended), max(sent, len(ended)))
            self._unwritten += len(lines) - whole
            self._say_once(error)
        if sent:
            self._cut = data[sent - 1 : sent] != b"\n"

    def _write_some(self, data: bytes) -> int:
        """Write once, as soon as a reader makes room: another process may have set O_NONBLOCK."""
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:
                if not self._writable():
                    raise

    def _writable(self) -> bool:
        """Wait for room; False if the end comes first."""
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        while time.monotonic() < self._until:
            if room.poll(POLL_MILLIS):
                return True
        return False

    def _say_once(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            _log.error("access_log_not_written", extra={"reason": error.strerror})


def _fitting(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Group whole lines, so that those of several workers never run into each other.

    A pipe takes a write of up to PIPE_BUF bytes at once or not at all (POSIX).
    """
    batch: list[bytes] = []
    size = 0
    for one in lines:
        if batch and size + len(one) > LINE_ROOM:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one)
    yield batch


def line(
    record: RequestRecord, status: int, sent: int, result: str, now: float, *, wall: float
) -> bytes:
    """Render the line of a request: never a query, a body or a credential.

    Args:
        record: the request.
        status: of the response.
        sent: bytes of its body.
        result: how the request ended.
        now: clock time of its end.
        wall: Unix time of its end.
    """
    head, attempts = record.head, record.ended_attempts
    second, millis = divmod(int(wall * 1000), 1000)
    hundredths = int((now - record.started) * 100_000 + 0.5)
    quick = 0 <= hundredths < len(HUNDREDTHS)
    return b"".join((
        b'{"time":"', _stamp(second), OPENING[millis], record.id,
        b"" if record.trace is None else record.trace.log_key, b'","client":"', record.client,
        _request(head.method, head.path[:MAX_PATH_BYTES]), _end(status, result), b"%d" % sent,
        b',"ms":', HUNDREDTHS[hundredths] if quick else b"%.2f" % (hundredths / 100),
        _way(record.route, record.service, attempts[-1][0] if attempts else None, len(attempts)),
    ))  # fmt: skip


@lru_cache(CACHE_SIZE)
def _request(method: bytes, path: bytes) -> bytes:
    text = path.decode("latin-1")
    quoted = orjson.dumps(text)
    while len(quoted) > MAX_QUOTED_BYTES:
        # No character takes more than six bytes: what is cut away was too much in any case.
        text = text[: -((len(quoted) - MAX_QUOTED_BYTES + 5) // 6)]
        quoted = orjson.dumps(text)
    return b'","method":"%b","path":%b,"status":' % (method, quoted)


@lru_cache(CACHE_SIZE)
def _end(status: int, result: str) -> bytes:
    return b'%d,"result":"%b","bytes":' % (status, result.encode())


@lru_cache(CACHE_SIZE)
def _way(route: str, service: str, instance: str | None, attempts: int) -> bytes:
    names = (orjson.dumps(route), orjson.dumps(service), orjson.dumps(instance))
    return b',"route":%b,"service":%b,"instance":%b,"attempts":%d}\n' % (*names, attempts)


@lru_cache(4)
def _stamp(second: int) -> bytes:
    """Render date and time; the lines of one second share the result."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
