"""Events of one logger that go to a file or to an HTTP address instead of the log, in batches.

The event loop only queues a formatted line. What does not fit into the queue is dropped, and
counted with the lost lines of the log.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from service_kit.batch_sender import BatchSender, post
from service_kit.logs import JsonFormatter, LogOutlet

Send = Callable[[Sequence[str]], None]
"""Sends lines; raises OSError if they did not all get there."""


def to_file(path: Path) -> Send:
    """Return what appends lines to a file, which another program may move away between batches."""

    def send(lines: Sequence[str]) -> None:
        with path.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    return send


def to_http(url: str) -> Send:
    """Return what posts lines to an address as `application/x-ndjson`."""

    def send(lines: Sequence[str]) -> None:
        post(url, "".join(f"{line}\n" for line in lines).encode(), "application/x-ndjson")

    return send


class EventSink:
    """Takes the events of a logger away from the log, until it is closed."""

    def __init__(self, logger: str, send: Send) -> None:
        """Start the thread that sends.

        Args:
            logger: name of the logger.
            send: sends the lines of a batch.
        """
        self._sender: BatchSender[logging.LogRecord] = BatchSender(
            logger, lambda records: send([record.getMessage() for record in records])
        )
        self._outlet = LogOutlet(self._sender.queue)
        self._outlet.setFormatter(JsonFormatter())
        self._logger = logging.getLogger(logger)
        self._logger.addHandler(self._outlet)
        self._logger.propagate = False
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)  # LOG_LEVEL is the log's

    def close(self) -> None:
        """Give the logger back to the log, and try once to send what waits."""
        self._logger.removeHandler(self._outlet)
        self._logger.propagate = True
        self._logger.setLevel(self._level)
        self._sender.close()
