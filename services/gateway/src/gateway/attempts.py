"""The attempts of one request: an instance is chosen, connected to, judged, and perhaps another.

What a failure proves and permits is `failover.TABLE`; the one place that asks is `Attempts.fail`.
"""

from enum import Enum
from typing import Protocol

from failover import Again, NoInstance, Outcome, conclusive

from gateway import problems
from gateway.admission import Terms
from gateway.core import Core
from gateway.keepalive import Upstream
from gateway.ledger import Record
from gateway.problems import Refusal
from gateway.service import QUEUE_SECONDS
from gateway.upstream import Connection


class Phase(Enum):
    """Where an exchange is."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    PAUSED = "paused"
    CONNECTING = "connecting"
    SENT = "sent"
    ANSWERING = "answering"
    TUNNEL = "tunnel"
    DONE = "done"


RECEIVING, WAITING, PAUSED, CONNECTING, SENT, ANSWERING, TUNNEL, DONE = Phase
"""The members once more: each look into an enum costs as much as a call, and there are many."""


class Owner(Protocol):
    """The request, as far as its attempts know it."""

    phase: Phase
    due: float

    def send(self, connection: Connection, now: float) -> None:
        """Send the request on a connection."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer that it failed."""


class _Left:
    """Stands for a request that is over."""

    def __init__(self) -> None:
        self.phase = DONE
        self.due = 0.0

    def send(self, connection: Connection, now: float) -> None:
        """Nothing is left to send."""

    def refuse(self, refusal: Refusal) -> None:
        """Nobody is left to answer."""


_LEFT = _Left()


class Attempts:
    """Moves a request through WAITING, PAUSED, CONNECTING and SENT.

    Attributes:
        connection: of the attempt under way.
    """

    __slots__ = ("_awaited", "_core", "_owner", "_record", "_terms", "connection")

    def __init__(self, core: Core, record: Record, terms: Terms, owner: Owner) -> None:
        self.connection: Connection | None = None
        self._awaited: Upstream | None = None
        self._core = core
        self._record = record
        self._terms = terms
        self._owner = owner

    def leave(self) -> None:
        """Let go of the request: the two would hold each other until the collector comes."""
        self._owner = _LEFT

    def start(self, now: float) -> None:
        """Begin: from now on the clock of the total deadline runs."""
        self._terms.retries.deadline = now + self._terms.limit
        self._terms.service.balancer.count_request(now)
        self.seek(now)

    def seek(self, now: float) -> None:
        """Choose an instance, or wait for one, or give up."""
        service, retries = self._terms.service, self._terms.retries
        if not service.known:
            self._wait(now)
            return
        member = service.balancer.pick(retries, now, self._core.draw())
        if not isinstance(member, NoInstance):
            self._connect(now, fresh=False)
        elif member is NoInstance.FULL and service.has_room:
            self._wait(now)
        elif member is NoInstance.EMPTY and service.absent:
            self._owner.refuse(problems.not_found())
        elif retries.outcomes:
            self._owner.refuse(problems.failed(retries.outcomes[-1]))
        else:
            self._owner.refuse(problems.nobody(member))

    def _wait(self, now: float) -> None:
        if self._owner.phase is not WAITING:
            self._owner.phase = WAITING
            self._owner.due = min(now + QUEUE_SECONDS, self._terms.retries.deadline)
        self._terms.service.queue.append(self)

    def wake(self) -> None:
        """Try again: an instance may have room, or be known, and say what may run twice."""
        self._terms.reconsider(self._record.head.method)
        self.seek(self._core.clock())

    def _connect(self, now: float, *, fresh: bool) -> None:
        """Take an idle connection of the chosen instance, or wait for one."""
        retries = self._terms.retries
        upstream = self._terms.service.upstream(retries.current)
        if upstream is None:
            self.fail(Outcome.REFUSED, now)
            return
        self._owner.phase = CONNECTING
        self._record.service = self._terms.service.name
        again = retries.repeatable and retries.replayable
        connection = None if fresh else upstream.take(now, again=again)
        if connection is not None:
            self._take(connection, now)
            return
        self._owner.due = min(now + self._core.limits.connect, retries.deadline)
        self._awaited = upstream
        upstream.wait(self, fresh=fresh)

    def unconnected(self, now: float) -> None:
        """Go elsewhere after a connect timeout in which the instance accepted nobody.

        While it accepts others, the turn of this request will come; and that its time is over
        before is no evidence against the instance.
        """
        retries, connect = self._terms.retries, self._core.limits.connect
        opened = self._awaited.opened_at if self._awaited is not None else 0.0
        patience = max(retries.started, opened) + connect
        if now >= patience:
            self.give_up(Outcome.REFUSED, now)
        elif now < retries.deadline:
            self._owner.due = min(patience, retries.deadline)
        else:
            self.learn(Outcome.ABANDONED, now)
            self._owner.refuse(problems.unconnected())

    def connected(self, connection: Connection) -> None:
        """Take the connection."""
        self._awaited = None
        self._take(connection, self._core.clock())

    def _take(self, connection: Connection, now: float) -> None:
        self._owner.phase = SENT
        self.connection = connection
        self._owner.send(connection, now)

    def refused(self) -> None:
        """Go elsewhere: nothing was sent."""
        self._awaited = None
        self.fail(Outcome.REFUSED, self._core.clock())

    def fail(self, outcome: Outcome, now: float, asked: float | None = None) -> bool:
        """An attempt ended without an answer of the service: learn, decide, act.

        Returns:
            False if there is no further attempt and the instance's response is to be passed on.
        """
        retries, pool = self._terms.retries, self._terms.service.balancer
        member = retries.current
        self._judge(outcome, now, asked)
        decision = pool.decide(retries, outcome, now, self._core.draw())
        if isinstance(decision, Again) and decision.fresh and member is not None:
            self.drop()
            pool.start_attempt(retries, member, now)  # before another request takes the place
            self._connect(now, fresh=True)
            return True
        if member is not None:
            self._terms.service.released()
        if isinstance(decision, Again):
            self.drop()
            if decision.delay:
                self._owner.phase, self._owner.due = PAUSED, now + decision.delay
            else:
                self.seek(now)
            return True
        self._record.stopped = decision.reason
        if outcome in problems.STATUS_OF:
            self._owner.refuse(problems.failed(outcome))
            return True
        return False

    def learn(self, outcome: Outcome, now: float, asked: float | None = None) -> None:
        """End the attempt under way, if there is one, and let others have its place."""
        if self._terms.retries.current is not None:
            self._judge(outcome, now, asked)
            self._terms.service.released()

    def _judge(self, outcome: Outcome, now: float, asked: float | None) -> None:
        """Tell the pool how the attempt under way ended."""
        retries, record, service = self._terms.retries, self._record, self._terms.service
        member = retries.current
        if member is not None:
            # What a client takes to send a streamed body is not the instance's time.
            began = max(retries.started, record.whole_at or now)
            took = max(0.0, (record.head_at or now) - began)
            self._core.ledger.attempt(record, member.address, outcome, took)
            if service.upstream(member) is None:  # gone while it was asked
                self._core.ledger.forget(service.name, member.address)
            service.balancer.record(
                retries, outcome, now, self._core.draw(), retry_after=asked, took=took
            )

    def overdue(self, now: float) -> None:
        """Give up what had the usual time; what had less proves nothing, and is just over."""
        route, retries = self._terms.route, self._terms.retries
        usual = min(route.per_try, route.timeout)
        if now < retries.deadline or conclusive(retries.started, retries.deadline, usual):
            self.give_up(Outcome.TIMED_OUT, now)
        else:
            self.drop()
            self.learn(Outcome.ABANDONED, now)
            self._owner.refuse(problems.failed(Outcome.TIMED_OUT))

    def answering(self, now: float) -> None:
        """The head is here: whatever follows, the instance serves."""
        self._record.head_at = now
        self._terms.service.balancer.end_ejection_on_answer(self._terms.retries, now)

    def give_up(self, outcome: Outcome, now: float) -> None:
        """The attempt took too long."""
        self.drop()
        self.fail(outcome, now)

    def drop(self) -> None:
        """Close the connection under way, or await none; nothing more is heard of it."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()
        if self._awaited is not None:
            self._awaited.leave(self)
            self._awaited = None
