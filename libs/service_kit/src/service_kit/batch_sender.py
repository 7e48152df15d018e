"""A thread that sends what is queued, in batches, so that nobody waits for a file or a receiver.

The queue is bounded: what does not fit is dropped where it is queued, never waited for. A batch is
what waits when the thread comes, up to a bound. Where each batch costs much, such as a connection,
the thread gives the first item a moment for company.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from queue import Empty, Full, Queue
from typing import Generic, TypeVar
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

T = TypeVar("T")
QUEUED = 10_000
"""Items that may wait for the thread."""
BATCH = 500
"""Items of one batch at most."""
SEND_SECONDS = 5.0
"""Seconds that a receiver has for a batch."""
RETRY_SECONDS = 1.0
"""Seconds between two attempts at a batch."""
LOOK_SECONDS = 0.1
"""Seconds in which an idle thread notices that it is to end."""

_log = logging.getLogger(__name__)


class BatchSender(Generic[T]):
    """A bounded queue, and the thread that sends what is in it until it is closed.

    Attributes:
        queue: of what is to be sent.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[T]], None],
        *,
        again: bool = True,
        company: float = 0.0,
    ) -> None:
        """Start the thread.

        Args:
            name: of what is sent, for the log.
            send: sends a batch; raises OSError if not all of it got there.
            again: try a batch that failed again, each second, while others wait.
            company: seconds for which the first item of a batch waits for others.
        """
        self.queue: Queue[T] = Queue(QUEUED)
        self._name = name
        self._send = send
        self._again = again
        self._company = company
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Queue an item; return whether there was room for it."""
        try:
            self.queue.put_nowait(item)
        except Full:
            return False
        return True

    def close(self) -> None:
        """Send what waits, each batch once, and end the thread."""
        self._closing.set()
        self._thread.join(2 * SEND_SECONDS)

    def _run(self) -> None:
        while not (self._closing.is_set() and self.queue.empty()):
            if batch := self._take():
                self._deliver(batch)

    def _take(self) -> list[T]:
        """Wait a moment for an item; return it with all that wait behind it."""
        batch: list[T] = []
        with suppress(Empty):
            batch.append(self.queue.get(timeout=LOOK_SECONDS))
            if self._company and self.queue.qsize() < BATCH:
                self._closing.wait(self._company)
            while len(batch) < BATCH:
                batch.append(self.queue.get_nowait())
        return batch

    def _deliver(self, batch: Sequence[T]) -> None:
        is_first = True
        while True:
            try:
                self._send(batch)
            except OSError as error:
                if is_first:
                    extra = {"what": self._name, "reason": str(error)}
                    _log.warning("batch_not_sent", extra=extra)
                is_first = False
            else:
                return
            if not self._again or self._closing.wait(RETRY_SECONDS):
                _log.error("batch_lost", extra={"what": self._name, "size": len(batch)})
                return


class _NoRedirects(HTTPRedirectHandler):
    """Takes 301, 302 and 303 for failures: followed, they would become a GET without the body."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def post(url: str, body: bytes, media_type: str) -> None:
    """Post a body; no proxy is asked, and no redirect followed.

    Raises:
        OSError: there is no connection, no answer in time, it is no success, or nothing can be at
            such an address. The message does not have the address, which may contain a key.
    """
    try:
        request = Request(url, body, {"content-type": media_type})  # noqa: S310 - settings take http and https only
        opener = build_opener(ProxyHandler({}), _NoRedirects)
        opener.open(request, timeout=SEND_SECONDS).close()
    except HTTPError as error:
        error.close()
        raise
    except (HTTPException, ValueError) as error:  # a name of a host is encoded only here
        raise OSError(f"no valid address or answer: {error!r}") from error
