"""A request that is answered by the gateway without ever meeting a service.

If its body is small it is read first, so that the connection can be kept.
"""

import logging

import httptools

from gateway import problems
from gateway.answer import Answer
from gateway.core import Client, Core
from gateway.ledger import Record
from gateway.problems import Refusal

SMALL = 64 * 1024

_log = logging.getLogger(__name__)


class Refused:
    """Takes the place of an exchange on a client's connection."""

    __slots__ = ("_answer", "_client", "_core", "_done", "_record", "_refusal", "due")

    def __init__(
        self, core: Core, client: Client, record: Record, answer: Answer, refusal: Refusal
    ) -> None:
        self.due = record.started + core.edge.body
        self._core = core
        self._client = client
        self._record = record
        self._answer = answer
        self._refusal = refusal
        self._done = False
        core.active.add(self)

    def begin(self) -> None:
        """Answer at once if the body is not worth waiting for."""
        head = self._record.head
        if self._answer.close or head.expects_continue or (head.length or SMALL + 1) > SMALL:
            self._answer.close = self._answer.close or head.length != 0
            self._finish()

    def body(self, data: bytes) -> None:
        """Ignore the body."""

    def body_end(self, now: float) -> None:  # noqa: ARG002 - as of an exchange
        """Answer."""
        if not self._done:
            self._finish()

    def reject(self, refusal: Refusal) -> None:
        """Give the first reason, and close."""
        del refusal
        if not self._done:
            self._answer.close = True
            self._finish()

    def tunnel(self, data: bytes) -> bool:  # noqa: ARG002 - as of an exchange
        """This is no tunnel."""
        return False

    def client_lost(self) -> None:
        """Nobody is there to be answered."""
        self._done = True
        self._core.active.discard(self)

    def client_paused(self, *, paused: bool) -> None:
        """There is nothing to hold back."""

    def expire(self, now: float) -> None:  # noqa: ARG002 - as of an exchange
        """Stop waiting for the body."""
        self._answer.close = True
        self._finish()

    def cut(self) -> None:
        """Give up: the client sees its connection end."""
        self.client_lost()
        self._client.abort()

    def _finish(self) -> None:
        self._done = True
        self._core.active.discard(self)
        self._core.refuse(self._refusal, self._record, self._answer, self._client)


def unparsed(error: httptools.HttpParserError | Refusal) -> Refusal:
    """Say why no more is parsed: it is no HTTP, it passes a limit, or we failed.

    Args:
        error: raised while no other was handled, so that its context is what a callback raised.
    """
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    if isinstance(cause, Refusal):
        return cause
    if cause is error:
        return problems.malformed()
    _log.error("request_failed", exc_info=error)
    return problems.internal()
