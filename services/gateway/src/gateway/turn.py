"""How a request begins: now, or, if its client sent it ahead (pipelining), when its turn comes."""

from collections import deque
from collections.abc import Callable

from gateway.admission import admit
from gateway.answer import Answer
from gateway.core import Client, Core
from gateway.exchange import Exchange
from gateway.http1 import Head
from gateway.mirror import Mirrored
from gateway.problems import Refusal
from gateway.refused import Refused

MAX_AHEAD = 16
"""Requests that may wait; those that were sent after them are not answered."""


class Turn:
    """A request that was sent ahead and waits."""

    __slots__ = ("_body", "_last", "complete", "head")

    def __init__(self, head: Head | Refusal) -> None:
        self.head = head
        self._body = bytearray()
        self.complete = False
        self._last = False

    def take(self, data: bytes) -> None:
        """Keep bytes of its body, unless they are of a later request."""
        if not self._last:
            self._body += data

    def feed(self, current: Exchange | Refused, clock: Callable[[], float]) -> None:
        """Give what has arrived of it to what answers it."""
        if self._body:
            current.body(bytes(self._body))
        if self.complete:
            current.body_end(clock())

    def end(self) -> None:
        """Be the last: what was sent after it is not answered, and its answer says so."""
        self._last = self.complete = True
        if isinstance(self.head, Head):
            self.head.close = True


def queue(turns: deque[Turn], head: Head | Refusal) -> None:
    """Let a request wait, or, if there are enough, be the one after the last."""
    if len(turns) < MAX_AHEAD:
        turns.append(Turn(head))
    else:
        turns[-1].end()


def take_up(core: Core, client: Client, head: Head | Refusal) -> Exchange | Refused:
    """Make the exchange of a request, or what answers it without one."""
    now, address = core.clock(), client.forwarded.address
    if isinstance(head, Refusal):
        record = core.ledger.open(Head.unreadable(), address, now)
        return Refused(core, client, record, Answer(client, close=True, old=False), head)
    record = core.ledger.open(head, address, now)
    answer = Answer(client, close=head.close or core.draining, old=head.old)
    try:
        terms = admit(core, head, record, now)
    except Refusal as refusal:
        return Refused(core, client, record, answer, refusal)
    shadow = terms.route.shadow
    if shadow is not None and not terms.upgrade and core.draw() < shadow.share:
        return Mirrored(core, client, record, terms, answer)
    return Exchange(core, client, record, terms, answer)
