"""The life of one request: one state machine, from the request's head to the end of its response.

These things happen to a request in this order, which is also the order of the methods below:

    admission   route, keys, limits, service, deadline; a request that may not go on gets a local
                reply, for which a small body is read first                          DISCARDING
    body        kept whole up to the replay size, streamed beyond it                 RECEIVING
    pick        the balancer chooses an instance
    queue       discovery has not answered yet, or no instance has room              WAITING
    connect     an idle connection of the instance's pool, or the first new one      CONNECTING
    send        head and body, in one write as far as they are here                  SENT
    judge       the outcome of the attempt; `failover.TABLE` says what it proves
    retry       another pick, at once or after a pause                               PAUSED
    stream      the response's head has been passed on: nothing can be retried       ANSWERING
                any more; after a 101, bytes pass both ways                          TUNNEL
    end         counted and logged; the client's connection goes on                  DONE

Everything is a callback of a connection, the queue or the sweep; there is no task per request.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

from failover import (
    Again,
    AnswerTimes,
    Member,
    NoInstance,
    Outcome,
    RetryState,
    attempt_deadline,
    conclusive,
)

from gateway.http import problems, request
from gateway.http.body import RequestBody
from gateway.http.framing import LAST_CHUNK
from gateway.http.heads import Head, ResponseHead, split_lines
from gateway.http.location import LOCATIONS, Places
from gateway.http.problems import LocalReply, ProblemContext
from gateway.http.request import Forwarded
from gateway.http.response import ClientResponse, interim
from gateway.http.turn import TurnTransport
from gateway.proxy.admission import Admitted, admit
from gateway.proxy.context import Expiring, ProxyContext
from gateway.proxy.hedge import HedgedAttempt, HedgedRequest
from gateway.proxy.shadow import ShadowTap
from gateway.telemetry.records import RequestRecord
from gateway.upstream.connection import InstanceConnection, ResponseConsumer
from gateway.upstream.pool import ConnectionPool, ConnectionWaiter
from gateway.upstream.service import QUEUE_SECONDS, QueuedRequest

SMALL_BODY: Final = 64 * 1024
"""Bytes of a body that are read before a local reply, so that the connection can be kept."""
LEAST_RATE: Final = 1024
"""Bytes per second of a body, after the time that any body has."""


class Phase(Enum):
    """The phase of an exchange; the module's docstring has their order."""

    DISCARDING = "discarding"
    RECEIVING = "receiving"
    WAITING = "waiting"
    CONNECTING = "connecting"
    SENT = "sent"
    PAUSED = "paused"
    ANSWERING = "answering"
    TUNNEL = "tunnel"
    DONE = "done"


DISCARDING: Final = Phase.DISCARDING
RECEIVING: Final = Phase.RECEIVING
WAITING: Final = Phase.WAITING
CONNECTING: Final = Phase.CONNECTING
SENT: Final = Phase.SENT
PAUSED: Final = Phase.PAUSED
ANSWERING: Final = Phase.ANSWERING
TUNNEL: Final = Phase.TUNNEL
DONE: Final = Phase.DONE
"""The phases once more: each look into an enum costs as much as a call, and there are many."""


class Client(Protocol):
    """The client's connection, as far as a request uses it."""

    transport: TurnTransport
    forwarded: Forwarded
    exchange: "Exchange | None"

    def pause_reading(self, *, paused: bool) -> None:
        """Stop or resume reading."""

    def response_ended(self, now: float, *, close: bool) -> None:
        """Go on with the next request, or close."""

    def takes_more(self) -> bool:
        """Return whether the client took some of the bytes it has to read since the last look."""
        ...

    def close(self) -> None:
        """End the connection once the written bytes are sent."""

    def reset(self) -> None:
        """End the connection at once, by a reset, so that a cut response is seen as such."""


def begin_exchange(context: ProxyContext, client: Client, head: Head | LocalReply) -> "Exchange":
    """Admit a request and begin its exchange; a head that is no request gets the local reply."""
    exchange = client.exchange = _admitted_exchange(context, client, head)
    exchange.begin()
    return exchange


def _admitted_exchange(
    context: ProxyContext, client: Client, head: Head | LocalReply
) -> "Exchange":
    now, address = context.clock(), client.forwarded.address
    if isinstance(head, LocalReply):
        record = context.counters.begin(Head.unreadable(), address, now)
        return Exchange(context, client, record, head)
    record = context.counters.begin(head, address, now)
    try:
        admitted = admit(
            head, record, now,
            table=context.table, directory=context.directory, draw=context.draw, name=context.name,
        )  # fmt: skip
    except LocalReply as reply:
        return Exchange(context, client, record, reply)
    rule = admitted.route.shadow
    tap = None
    if rule is not None and not admitted.upgrade and context.draw() < rule.share:
        tap = ShadowTap(context, admitted.route.name, rule)
    return Exchange(context, client, record, admitted, tap)


class Exchange(ResponseConsumer, ConnectionWaiter, QueuedRequest, Expiring, HedgedRequest):
    """The state machine of one request.

    Attributes:
        phase: where the exchange is.
        due: clock time at which `expire` is called.
        body: the request's body.
        connection: to the instance, while an attempt is under way.
        response: to the client.
    """

    __slots__ = (
        "_admitted", "_client", "_client_slow", "_common", "_context", "_fault", "_give_up_at",
        "_head", "_hedge", "_idle", "_instance_slow", "_local_reply", "_may_hedge", "_pool",
        "_record", "_tap", "_times", "body", "connection", "due", "phase", "response",
    )  # fmt: skip

    def __init__(
        self,
        context: ProxyContext,
        client: Client,
        record: RequestRecord,
        admitted: Admitted | LocalReply,
        tap: ShadowTap | None = None,
    ) -> None:
        """Prepare; `begin` starts.

        Args:
            context: shared by all requests.
            client: the client's connection.
            record: of the request.
            admitted: the terms, or the local reply to a request that has none.
            tap: gets the request and its response too.
        """
        head = record.head
        self._idle = context.port_limits.body  # seconds of silence, of the body, then the response
        self.body = RequestBody(head.length, stated=b"content-length" in head.handled)
        self.response = ClientResponse(
            client.transport, close=head.close or context.draining, http10=head.http10
        )
        self._context = context
        self._client = client
        self._head = head
        self._record = record
        self._tap = tap
        self.connection: InstanceConnection | None = None
        self._pool: ConnectionPool | None = None  # while a connection of this pool is awaited
        self._client_slow = self._instance_slow = False
        self._hedge: HedgedAttempt | None = None
        self._may_hedge = False
        self._times: AnswerTimes | None = None  # while another attempt could follow
        self._give_up_at = 0.0
        self._fault = ""  # of the last answer that could not be read
        self._admitted: Admitted  # unset in a local reply
        self._local_reply: LocalReply | None = None
        if isinstance(admitted, LocalReply):
            self.phase = DISCARDING
            self._local_reply = admitted
        else:
            self.phase = RECEIVING
            self._admitted = admitted
            self._idle = admitted.route.body_idle or self._idle
        self.due = record.started + self._idle
        context.active.add(self)
        if context.wake is not None:
            context.wake()

    # The request arrives.

    def begin(self) -> None:
        """Ask for the body, and go on without it if it is too large to be kept."""
        if self._local_reply is not None:
            self._begin_local_reply(self._local_reply)
            return
        if self._head.expects_continue:
            self._client.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (self._head.length or 0) > self._admitted.route.replay:
            self._stream_body(self._record.started)

    def _begin_local_reply(self, reply: LocalReply) -> None:
        """Reply at once, unless the body is small and its end lets the connection be kept."""
        length = self._head.length
        small = length is not None and 0 < length <= SMALL_BODY
        if self.response.close or self._head.expects_continue or not small:
            self.body.complete = length == 0
            self.reply(reply)

    def take_body(self, data: bytes) -> None:
        """Keep bytes of the body, or send them on."""
        if self.phase is DONE or self.phase is DISCARDING:
            return
        body, route = self.body, self._admitted.route
        body.size += len(data)
        if body.size > route.max_body:
            self.abort_request(problems.body_too_large(route.max_body))
            return
        if body.size > len(data):  # by far the most bodies come in one piece
            self._body_goes_on(self._context.clock())
        if self.connection is not None:
            self.connection.transport.write(body.frame(data))
        else:
            body.keep(data)
            if body.size > route.replay and self.phase is RECEIVING:
                self._stream_body(self._context.clock())

    def _body_goes_on(self, now: float) -> None:
        """Wait longer for the rest of a body that arrives, unless it comes too slowly in all."""
        if self.phase is ANSWERING:
            self.due = now + self._idle
        elif self.phase is RECEIVING or self.phase is SENT:
            most = self._record.started + self._idle + self.body.size / LEAST_RATE
            self.due = min(now + self._idle, most)

    def end_body(self, now: float) -> None:
        """Send the request, or the end of a body that was streamed."""
        self.body.complete = True
        self._record.body_received_at = now
        if self.phase is RECEIVING:
            self._start(now)
        elif self.connection is not None:
            if self.body.length is None:
                self.connection.transport.write(LAST_CHUNK)
            self.connection.request_sent = True
            if self.phase is SENT:
                self._attempt_begins(now)
        elif self.phase is DISCARDING and self._local_reply is not None:
            self.reply(self._local_reply)

    def abort_request(self, reply: LocalReply) -> None:
        """End a request whose bytes stopped being HTTP, or became too many."""
        if self.phase is ANSWERING or self.phase is TUNNEL:
            self.client_lost()
            self._client.close()
        elif self.phase is DISCARDING:
            self.reply(self._local_reply or reply)
        elif self.phase is not DONE:
            self._drop_connection()
            self._end_attempt(Outcome.ABANDONED, self._context.clock())
            self.reply(reply)

    def _stream_body(self, now: float) -> None:
        """Send the body while it arrives; the client pauses until there is a connection."""
        self.body.streaming = True
        self._admitted.retries.replayable = False
        self._client.pause_reading(paused=True)
        self._start(now)

    def _start(self, now: float) -> None:
        """Begin the first attempt: from now on the clock of the total deadline runs."""
        admitted = self._admitted
        self._common = request.common_lines(
            self._head, self._client.forwarded, id_line=self._record.id_line,
            via=self._context.name, upgrade=admitted.upgrade, prefix=admitted.prefix,
            changes=admitted.route.request_changes, trace_line=self._record.trace_line,
        )  # fmt: skip
        admitted.retries.deadline = now + admitted.limit
        admitted.service.balancer.budget.deposit(now)
        self._pick(now)

    # An attempt: pick, queue, connect, send.

    def _pick(self, now: float) -> None:
        """Choose an instance, or wait in the queue, or give up."""
        service, retries = self._admitted.service, self._admitted.retries
        if not service.known:
            self._enter_queue(now)
            return
        member = service.balancer.pick(retries, now, self._context.draw())
        if not isinstance(member, NoInstance):
            self._connect(member, now, fresh=False)
        elif member is NoInstance.FULL and service.has_room:
            self._enter_queue(now)
        elif member is NoInstance.EMPTY and service.absent:
            self.reply(problems.unknown_service())
        elif retries.outcomes:
            self.reply(self._failure(retries.outcomes[-1], now))
        else:
            self.reply(problems.no_instance(member))

    def _enter_queue(self, now: float) -> None:
        if self.phase is not WAITING:
            self.phase = WAITING
            self.due = min(now + QUEUE_SECONDS, self._admitted.retries.deadline)
        self._admitted.service.queue.append(self)

    def wake(self) -> None:
        """Pick again: an instance may have room, or be known and say what may run twice."""
        if self.phase is WAITING:
            self._admitted.reconsider(self._head.method)
            self._pick(self._context.clock())

    def _connect(self, member: Member, now: float, *, fresh: bool) -> None:
        """Take an idle connection of the chosen instance, or wait for the first new one."""
        admitted, retries = self._admitted, self._admitted.retries
        pool = admitted.service.pools.get(member)
        if pool is None:
            self._attempt_failed(Outcome.REFUSED, now)
            return
        self.phase = CONNECTING
        self._record.service = admitted.service.name
        resendable = retries.repeatable and retries.replayable
        connection = None if fresh else pool.take(now, resendable=resendable)
        if connection is not None:
            self._send(connection, now)
            return
        self.due = min(now + self._context.service_limits.connect, retries.deadline)
        self._pool = pool
        pool.wait(self, fresh=fresh)

    def connected(self, connection: InstanceConnection) -> None:
        """Send the request on the connection that was awaited."""
        self._pool = None
        self._send(connection, self._context.clock())

    def connect_failed(self) -> None:
        """Go to another instance: nothing was sent."""
        self._pool = None
        self._attempt_failed(Outcome.REFUSED, self._context.clock())

    def _connect_overdue(self, now: float) -> None:
        """Go to another instance after a connect timeout in which this one accepted no connection.

        While the instance accepts connections, the turn of this request will come; if the
        request's time is over before, that is no evidence against the instance.
        """
        retries, connect = self._admitted.retries, self._context.service_limits.connect
        opened = self._pool.opened_at if self._pool is not None else 0.0
        patience = max(retries.started, opened) + connect
        if now >= patience:
            self._give_up_attempt(Outcome.REFUSED, now)
        elif now < retries.deadline:
            self.due = min(patience, retries.deadline)
        else:
            self._end_attempt(Outcome.ABANDONED, now)
            self.reply(problems.no_connection_in_time())

    def _send(self, connection: InstanceConnection, now: float) -> None:
        """Send the request as far as it has arrived."""
        self.phase = SENT
        self.connection = connection
        admitted, body, method = self._admitted, self.body, self._head.method
        retries = admitted.retries
        number = len(retries.outcomes) + 1
        data = self._render(connection, number, retries.deadline, now)
        if body.streaming:
            body.forget()
            self._client.pause_reading(paused=False)
        if body.complete:
            self._attempt_begins(now)
        else:
            self._body_goes_on(now)
        connection.send(self, data, to_head=method == b"HEAD", whole=body.complete)

    def _render(
        self, connection: InstanceConnection, number: int, deadline: float, now: float
    ) -> bytes:
        """Render the request as far as it has arrived, for one attempt."""
        head, admitted, host_line = self._head, self._admitted, connection.pool.host_line
        if admitted.route.preserve_host and b"host" in head.handled:
            host_line = b"Host: %b\r\n" % head.handled[b"host"]
        parts = request.attempt_lines(head.method, admitted.target, number, deadline, now)
        parts += (host_line, self._common)
        if self._record.trace is not None:
            parts.append(self._record.trace.attempt_begins(connection.pool.address))
        parts += self.body.render()
        return b"".join(parts)

    def _attempt_begins(self, now: float) -> None:
        """Set the time at which the attempt is given up: the instance has the whole request now.

        Only where another attempt could follow is it given up before the request's own deadline,
        or hedged before that. An attempt without a hedge until then gets none: it is given up.
        """
        admitted = self._admitted
        retries = admitted.retries
        if self.body.streaming:
            admitted.extend_deadline(now)
        self.due = self._give_up_at = retries.deadline
        self._may_hedge = False
        if retries.may_be_followed:
            self.due = self._give_up_at = attempt_deadline(now, retries.deadline, admitted.per_try)
            times = self._times = admitted.answer_times(self._head.method)
            if times is not None:
                self._may_hedge = True
                self.due = min(self.due, now + times.delay)

    # Hedging: two attempts at a time.

    def _begin_hedge(self, now: float) -> None:
        """Begin a second attempt beside the one under way; without one, wait on."""
        admitted, context = self._admitted, self._context
        self._may_hedge = False
        state = admitted.service.balancer.hedge(admitted.retries, now, context.draw())
        if state is not None and state.current is not None:
            pool = admitted.service.pools[state.current]
            self._give_up_at = attempt_deadline(now, state.deadline, admitted.per_try)
            self._hedge = HedgedAttempt(self, state, pool)
            self._hedge.begin(now)
        self.due = self._give_up_at

    def send_hedge(self, hedge: HedgedAttempt, connection: InstanceConnection) -> None:
        """Send the request on the connection of the second attempt."""
        state, number = hedge.state, self._admitted.retries.charged_attempts
        data = self._render(connection, number, state.deadline, self._context.clock())
        connection.send(hedge, data, to_head=self._head.method == b"HEAD", whole=True)

    def hedge_answered(self, hedge: HedgedAttempt, head: ResponseHead) -> None:
        """Drop the first attempt for the answer of the second, unless that is a failure."""
        judgement = head.judge(self._context.wall())
        if judgement.outcome is not Outcome.ANSWERED:
            if head.is_last:
                now, draw = self._context.clock(), self._context.draw()
                self._admitted.service.balancer.note_draining(hedge.state, now, draw)
            hedge.drop()
            self.hedge_lost(hedge, judgement.outcome, judgement.retry_after)
            return
        now = self._context.clock()
        self._drop_connection()
        self._drop_attempt(self._admitted.retries, now)
        self._go_on_with(hedge, now)
        self._context.counters.hedges[self._record.service, "won"] += 1
        self.response_head(head)

    def hedge_lost(
        self, hedge: HedgedAttempt, outcome: Outcome, retry_after: float | None = None
    ) -> None:
        """Learn from the failure of the second attempt; the first goes on."""
        self._hedge = None
        self._context.counters.hedges[self._record.service, "failed"] += 1
        self._admitted.retries.outcomes += (outcome,)
        self._end_attempt(outcome, self._context.clock(), retry_after, hedge.state)

    def _go_on_with(self, hedge: HedgedAttempt, now: float) -> None:
        """Let the second attempt take the place of the first, which has ended."""
        self._hedge = None
        retries = self._admitted.retries
        retries.adopt(hedge.state)
        retries.may_be_followed = self._admitted.service.balancer.may_go_elsewhere(retries)
        if hedge.connection is not None:
            self.connection = hedge.connection
            self.connection.consumer = self
            self._attempt_begins(now)
        else:
            hedge.pool.stop_waiting(hedge)
            self.phase = CONNECTING
            self.due = min(
                now + self._context.service_limits.connect, self._admitted.retries.deadline
            )
            self._pool = hedge.pool
            hedge.pool.wait(self)

    def _cancel_hedge(self, now: float) -> None:
        """Drop the second attempt: the first has answered, or the request ends."""
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.drop()
            self._context.counters.hedges[self._record.service, "lost"] += 1
            self._drop_attempt(hedge.state, now)

    def _drop_attempt(self, attempt: RetryState, now: float) -> None:
        """Record an attempt that was not quick enough: no failure, unless it was a probe."""
        if self._times is not None:
            self._times.count(now - attempt.started, now)
        outcome = Outcome.TIMED_OUT if attempt.probe else Outcome.ABANDONED
        self._end_attempt(outcome, now, state=attempt)

    # The end of an attempt: judge, retry.

    def _attempt_failed(
        self, outcome: Outcome, now: float, retry_after: float | None = None
    ) -> bool:
        """Learn from an attempt that ended without an answer of the service, and retry or reply.

        `failover.TABLE` says what a failure proves and permits; only this method asks for a retry.

        Returns:
            False if there is no further attempt and the instance's response is to be passed on.
        """
        service, retries = self._admitted.service, self._admitted.retries
        member = retries.current
        if self._hedge is not None:  # another attempt is under way already
            self._drop_connection()
            self._end_attempt(outcome, now, retry_after)
            self._go_on_with(self._hedge, now)
            return True
        self._record_outcome(outcome, now, retry_after, retries)
        decision = service.balancer.decide(retries, outcome, now, self._context.draw())
        if isinstance(decision, Again) and decision.fresh and member is not None:
            self._drop_connection()
            # Before another request takes the place:
            service.balancer.start_attempt(retries, member, now)
            self._connect(member, now, fresh=True)
            return True
        if member is not None and service.queue:
            service.serve_queue()
        if isinstance(decision, Again):
            self._drop_connection()
            if decision.delay:
                self.phase, self.due = PAUSED, now + decision.delay
            else:
                self._pick(now)
            return True
        self._record.stopped = decision.reason
        if outcome in problems.STATUS_OF:
            self.reply(self._failure(outcome, now))
            return True
        return False

    def _failure(self, outcome: Outcome, now: float) -> LocalReply:
        """Make the reply to a request whose last attempt had this outcome."""
        if outcome is Outcome.TIMED_OUT:
            return problems.timed_out(*self._admitted.broken_limit(now))
        return problems.attempts_failed(outcome, self._fault)

    def _end_attempt(
        self,
        outcome: Outcome,
        now: float,
        retry_after: float | None = None,
        state: RetryState | None = None,
    ) -> None:
        """Learn from an attempt under way, if there is one, and give its place to the queue.

        `state`: the attempt, by default the request's own, not the hedged one.
        """
        state = state or self._admitted.retries
        if state.current is not None:
            self._record_outcome(outcome, now, retry_after, state)
            if self._admitted.service.queue:
                self._admitted.service.serve_queue()

    def _record_outcome(
        self, outcome: Outcome, now: float, retry_after: float | None, state: RetryState
    ) -> None:
        """Tell the balancer and the counters how an attempt under way ended."""
        service, record = self._admitted.service, self._record
        member = state.current
        if member is not None:
            # The time that a client takes to send a streamed body is not the instance's time.
            began = max(state.started, record.body_received_at or now)
            took = max(0.0, (record.response_head_at or now) - began)
            if outcome is Outcome.ANSWERED and self._times is not None:
                self._times.count(took, now)
            counters = self._context.counters
            counters.count_attempt(record, member.address, outcome, took)
            if member not in service.pools:  # the instance left meanwhile
                counters.forget_instance(service.name, member.address)
            service.balancer.record(
                state, outcome, now, self._context.draw(), retry_after, took=took
            )

    def _attempt_overdue(self, now: float) -> None:
        """Give up an attempt: one that had the usual time is evidence, one that had less is not."""
        admitted, retries = self._admitted, self._admitted.retries
        usual = admitted.per_try
        if now < retries.deadline or conclusive(retries.started, retries.deadline, usual):
            self._give_up_attempt(Outcome.TIMED_OUT, now)
        else:
            self._drop_connection()
            self._end_attempt(Outcome.ABANDONED, now)
            self.reply(self._failure(Outcome.TIMED_OUT, now))

    def _give_up_attempt(self, outcome: Outcome, now: float) -> None:
        self._drop_connection()
        self._attempt_failed(outcome, now)

    def _drop_connection(self) -> None:
        """Close the connection under way, or await none; nothing more is heard of it."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()
        if self._pool is not None:
            self._pool.stop_waiting(self)
            self._pool = None

    # The response arrives.

    def response_head(self, head: ResponseHead) -> None:
        """Retry if the table lets the request be retried; pass every other response on."""
        now = self._context.clock()
        if not head.reusable and head.is_last:  # few are the last: the look spares a call
            self._admitted.service.balancer.note_draining(
                self._admitted.retries, now, self._context.draw()
            )
        if head.status >= 502:  # noqa: PLR2004 - below, it is an answer
            judgement = head.judge(self._context.wall())
            outcome, retry_after = judgement.outcome, judgement.retry_after
            if judgement.retry_forbidden:
                self._end_attempt(outcome, now, retry_after)
            elif outcome is not Outcome.ANSWERED and self._attempt_failed(
                outcome, now, retry_after
            ):
                return
        limits = self._context.port_limits
        events = head.length is None and head.is_event_stream
        usual = limits.events_idle if events else limits.response_idle
        self._commit(ANSWERING, now, usual)
        body = self.body
        if self._tap is not None:
            whole = body.complete and not body.streaming
            trace = b"" if self._record.trace is None else self._record.trace.line
            copied = [self._common, trace, *body.render()] if whole else None
            self._tap.response_head(head.status, self._head.method, self._admitted.target, copied)
        if body.size:
            body.forget()
        self._settle_close()
        fields = self._record.response_fields(
            now, self._admitted.retries, debug=self._context.debug
        )
        if b"location" in head.handled or b"content-location" in head.handled:
            fields += self._locations(head)
        if self._record.changes is not None or self._record.shared:
            self._change_fields(head)
        self.response.begin(head, fields)

    def _change_fields(self, head: ResponseHead) -> None:
        """Take the fields off a response that the route, or its cross-origin policy, replaces."""
        changes = self._record.changes
        if changes is not None:
            head.lines = changes.without_dropped(head.lines)
        if self._record.shared:
            head.lines = b"".join(
                line for line in split_lines(head.lines) if line[:15].lower() != b"access-control-"
            )

    def _locations(self, head: ResponseHead) -> list[bytes]:
        """Render the URLs of a response as the client has to call them."""
        admitted, forwarded = self._admitted, self._client.forwarded
        scheme, host = forwarded.origin(self._head)
        member = admitted.retries.current
        places = Places(
            origin=b"%b://%b" % (scheme, host) if host else b"",
            host=host,
            prefix=forwarded.outer_prefix(self._head) + admitted.prefix,
            inner=admitted.inner,
            own=frozenset() if member is None else frozenset({member.address.encode()}),
            path=admitted.path.encode(),
        )
        return [
            b"%b: %b\r\n" % (name.title(), places.as_called(head.handled[name]))
            for name in LOCATIONS
            if name in head.handled
        ]

    def _commit(self, phase: Phase, now: float, usual: float) -> None:
        """Pass the response on from now on; its head proves that the instance serves.

        `usual`: seconds without a byte of such a response, where the route says nothing.
        """
        if self._hedge is not None:
            self._cancel_hedge(now)
        if self._client_slow and self.connection is not None:  # since interim responses
            self.connection.pause_reading(paused=True)
        self._record.response_head_at = now
        if self._admitted.retries.ejected:
            self._admitted.service.balancer.end_ejection_on_answer(self._admitted.retries, now)
        self.phase = phase
        self._idle = self._admitted.route.idle or usual
        self.due = now + self._idle

    def response_body(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        if self.phase is TUNNEL:
            self.due = self._context.clock() + self._idle
            self._client.transport.write(data)
            return
        if self._tap is not None:
            self._tap.response_body(data)
        self.response.body(data)

    def flush(self) -> None:
        """Send the bytes that are here: more will come later, and is expected in time."""
        if self.phase is ANSWERING:
            self.response.flush()
            self.due = self._context.clock() + self._idle

    def response_end(self) -> None:
        """Complete the response."""
        now = self._context.clock()
        self.connection = None
        self.response.end()
        self._end_attempt(Outcome.ANSWERED, now)
        self._end(self.response.status, "answered", now)
        if self._tap is not None:
            self._tap.response_end()

    def interim_response(self, status: int, lines: Sequence[bytes]) -> None:
        """Pass it on; the request can still be sent to another instance."""
        if self.phase is SENT and not self._head.http10:
            self._client.transport.write(interim(status, lines))

    def response_lost(self, outcome: Outcome, fault: str = "") -> None:
        """Retry; once the head was passed on, make the truncation visible instead."""
        now = self._context.clock()
        self.connection = None
        self._fault = fault
        if self.phase is SENT:
            self._attempt_failed(outcome, now)
            return
        self._end_attempt(Outcome.CUT, now)
        self.response.flush()
        self.cut()
        self._end(self.response.status, "cut", now)

    # Tunnels and backpressure.

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Become a tunnel, if the client asked for one."""
        now = self._context.clock()
        if not self._admitted.upgrade:
            self._give_up_attempt(Outcome.GARBLED, now)
            return
        self._commit(TUNNEL, now, self._context.port_limits.tunnel_idle)
        fields = self._record.response_fields(
            now, self._admitted.retries, debug=self._context.debug
        )
        self._change_fields(head)
        self.response.switch_protocols(head, fields, data)

    def tunnel(self, data: bytes) -> bool:
        """Pass a client's bytes on; False if the exchange is no tunnel."""
        if self.phase is not TUNNEL or self.connection is None:
            return False
        self.due = self._context.clock() + self._idle
        self.connection.transport.write(data)
        return True

    def instance_paused(self, *, paused: bool) -> None:
        """Pass the instance's backpressure on to the client."""
        self._instance_slow = paused
        self._client.pause_reading(paused=paused)
        if not (paused or self.body.complete):  # the time was not the client's
            self._body_goes_on(self._context.clock())

    def client_paused(self, *, paused: bool) -> None:
        """Pass the client's backpressure on to the instance."""
        self._client_slow = paused
        if self.connection is not None:
            self.connection.pause_reading(paused=paused)
        if not paused and self.phase in (ANSWERING, TUNNEL):  # the time was the client's
            self.due = self._context.clock() + self._idle

    # Time is over.

    def expire(self, now: float) -> None:
        """Act on `due` having passed."""
        match self.phase:
            case Phase.DISCARDING | Phase.RECEIVING:
                self.reply(self._local_reply or problems.slow_body())
            case Phase.WAITING:
                known = self._admitted.service.known
                self.reply(problems.no_instance(NoInstance.FULL if known else NoInstance.EMPTY))
            case Phase.CONNECTING:
                self._connect_overdue(now)
            case Phase.SENT if self._may_hedge and self.body.complete and now < self._give_up_at:
                self._begin_hedge(now)
            case Phase.SENT if self.body.complete or self._instance_slow:
                self._attempt_overdue(now)
            case Phase.SENT:
                self.abort_request(problems.slow_body())
            case Phase.PAUSED:
                self._pick(now)
            case Phase.ANSWERING | Phase.TUNNEL:
                self._stream_overdue(now)

    def _stream_overdue(self, now: float) -> None:
        """End a silent stream: by the instance's fault, unless its client does not read or send."""
        client_owes = self._client_slow or not (self.body.complete or self._instance_slow)
        if self._client_slow and self._client.takes_more():
            self.due = now + self._idle
        elif self.phase is TUNNEL or client_owes:
            result = "answered" if self.phase is TUNNEL else "client_slow"
            self._abandon(now, self.response.status, result)
            self.cut()
        else:
            self._drop_connection()
            self.response_lost(Outcome.CUT)

    # Ends.

    def client_lost(self) -> None:
        """End because the client went away; a tunnel was answered when it began."""
        if self.phase is DISCARDING:
            self._leave()
        elif self.phase is TUNNEL:
            self._abandon(self._context.clock(), self.response.status, "answered")
        elif self.phase is not DONE:
            self._abandon(self._context.clock(), 499, "client_gone")

    def _abandon(self, now: float, status: int, result: str) -> None:
        """End, and learn nothing about the instance."""
        self._drop_connection()
        self._end_attempt(Outcome.ABANDONED, now)
        self._end(status, result, now)

    def cut(self) -> None:
        """End the client's connection, whatever state the exchange is in, as a visible cut."""
        if self.response.open_ended:
            self._client.reset()
        else:
            self._client.close()

    def reply(self, reply: LocalReply) -> None:
        """End with a reply of the gateway's own."""
        self._drop_connection()
        self._leave()
        self._settle_close()
        if self._local_reply is None and reply.status >= 502:  # noqa: PLR2004 - no answer came
            reply = self._fallback(reply)
        context, record, head = self._context, self._record, self._head
        attempts = record.describe_attempts(addresses=context.debug)
        lines, document = problems.render(
            reply,
            ProblemContext(
                record.id.decode(), record.service, head.path.decode("latin-1"), attempts,
                context.name.decode(),
            ),
        )  # fmt: skip
        now = context.clock()
        lines = [problems.date_line(int(context.wall())), *lines]
        if record.changes is not None:
            lines = [record.changes.without_dropped(b"".join(lines))]
        fields = [*lines, *record.response_fields(now, None)]
        self.response.send_whole(reply.status, fields, document, to_head=head.method == b"HEAD")
        context.counters.end(record, reply.status, self.response.sent, reply.error, now)
        self._client.response_ended(now, close=self.response.close)

    def _fallback(self, reply: LocalReply) -> LocalReply:
        """Return what the route answers in place of a failure; it is counted as the failure."""
        fallback = self._admitted.route.fallback
        if fallback is None:
            return reply
        status, content = fallback
        return LocalReply(
            status, reply.error, reply.detail, retry_after=reply.retry_after, content=content
        )

    def _settle_close(self) -> None:
        """Decide at the last moment whether the client's connection ends with its response."""
        self.response.close |= self._context.draining or not self.body.complete

    def _end(self, status: int, result: str, now: float) -> None:
        self._leave()
        self._context.counters.end(self._record, status, self.response.sent, result, now)
        self._client.response_ended(now, close=self.response.close)

    def _leave(self) -> None:
        """Leave the queue, the route and the sweep."""
        if self._hedge is not None:
            self._cancel_hedge(self._context.clock())
        if self.phase is WAITING:
            self._admitted.service.leave_queue(self)
        if self._instance_slow or self.body.streaming:  # nothing else lets the client go on
            self._client.pause_reading(paused=False)
        self.phase = DONE
        self._context.active.discard(self)
        if self._local_reply is None and self._admitted.route.concurrency is not None:
            self._admitted.route.concurrency.leave()
