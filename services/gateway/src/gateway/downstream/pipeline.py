"""Pipelined requests: those that a client sent ahead wait until the one before is answered."""

from collections import deque
from typing import Final

from gateway.http.heads import Head
from gateway.http.problems import LocalReply
from gateway.proxy.exchange import Exchange

MAX_AHEAD: Final = 16
"""Requests that may wait; those that were sent after them are not answered."""


class PipelinedRequest:
    """A request that was sent ahead and waits.

    Attributes:
        head: of the request, or the reply to a head that could not be read.
        complete: the whole body has arrived.
    """

    __slots__ = ("_body", "_last", "complete", "head")

    def __init__(self, head: Head | LocalReply) -> None:
        self.head = head
        self._body = bytearray()
        self.complete = False
        self._last = False

    def keep(self, data: bytes) -> None:
        """Keep bytes of the body, unless they are of a later request."""
        if not self._last:
            self._body += data

    def replay(self, exchange: Exchange, now: float) -> None:
        """Replay the buffered body into the exchange of this request."""
        if self._body:
            exchange.take_body(bytes(self._body))
        if self.complete:
            exchange.end_body(now)

    def become_last(self) -> None:
        """Close the connection with this response: requests after this one are not answered."""
        self._last = self.complete = True
        if isinstance(self.head, Head):
            self.head.close = True


def enqueue(queue: deque[PipelinedRequest], head: Head | LocalReply) -> None:
    """Let a request wait, or, if enough requests wait, make the last of them the last at all."""
    if len(queue) < MAX_AHEAD:
        queue.append(PipelinedRequest(head))
    else:
        queue[-1].become_last()
