"""Events of one logger that go to a file or to an HTTP address instead of the log, in batches.

The event loop only queues a formatted line. A thread takes all that wait, up to a bound, and writes
or posts them as JSON lines; a batch that cannot be sent is tried again each second, while further
events wait in the bounded queue and are dropped, and counted, when it is full.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from urllib.error import HTTPError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from service_kit.logs import JsonFormatter, LogOutlet

QUEUED_EVENTS = 10_000
"""Events that may wait for the file or the receiver."""
BATCH_EVENTS = 500
"""Events of one batch at most."""
SEND_SECONDS = 5.0
"""Seconds that a receiver has for a batch."""
RETRY_SECONDS = 1.0
"""Seconds between two attempts at a batch."""

_log = logging.getLogger(__name__)
Send = Callable[[Sequence[str]], None]
"""Sends lines; raises OSError if they did not all get there."""


def to_file(path: Path) -> Send:
    """Return what appends lines to a file, which another program may move away between batches."""

    def send(lines: Sequence[str]) -> None:
        with path.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    return send


def to_http(url: str) -> Send:
    """Return what posts lines to an address as `application/x-ndjson`; no proxy is asked."""
    opener: OpenerDirector = build_opener(ProxyHandler({}))
    headers = {"content-type": "application/x-ndjson"}

    def send(lines: Sequence[str]) -> None:
        body = "".join(f"{line}\n" for line in lines).encode()
        request = Request(url, body, headers)  # noqa: S310 - settings take http and https only
        try:
            opener.open(request, timeout=SEND_SECONDS).close()
        except HTTPError as error:
            error.close()
            raise
        except HTTPException as error:
            raise OSError(f"{url} gave no valid answer: {error!r}") from error

    return send


class EventSink:
    """Takes the events of a logger away from the log, until it is closed."""

    def __init__(self, logger: str, send: Send) -> None:
        """Start the thread that sends.

        Args:
            logger: name of the logger.
            send: sends the lines of a batch.
        """
        self._queue: Queue[logging.LogRecord] = Queue(QUEUED_EVENTS)
        self._send = send
        self._closing = threading.Event()
        self._outlet = LogOutlet(self._queue)
        self._outlet.setFormatter(JsonFormatter())
        self._logger = logging.getLogger(logger)
        self._logger.addHandler(self._outlet)
        self._logger.propagate = False
        self._thread = threading.Thread(target=self._run, name="event-sink", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the logger back to the log, and try once to send what waits."""
        self._logger.removeHandler(self._outlet)
        self._logger.propagate = True
        self._closing.set()
        self._thread.join(2 * SEND_SECONDS)

    def _run(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            if lines := self._take():
                self._deliver(lines)

    def _take(self) -> list[str]:
        """Wait a moment for an event; return its line and those of all that wait behind it."""
        lines: list[str] = []
        with suppress(Empty):
            lines.append(self._queue.get(timeout=0.1).getMessage())
            while len(lines) < BATCH_EVENTS:
                lines.append(self._queue.get_nowait().getMessage())
        return lines

    def _deliver(self, lines: Sequence[str]) -> None:
        """Send a batch, again and again until it is there or the sink is closed."""
        failures = 0
        while True:
            try:
                self._send(lines)
            except OSError as error:
                failures += 1
                if failures == 1:
                    _log.warning("events_not_sent", extra={"reason": str(error)})
            else:
                return
            if self._closing.wait(RETRY_SECONDS):
                _log.error("events_lost", extra={"events": len(lines)})
                return
