"""One request from its head to its answer.

    RECEIVING   the body arrives; up to the replay size it is kept whole
    WAITING     for discovery to answer, or for an instance to have room
    PAUSED      between two attempts
    CONNECTING  to the chosen instance
    SENT        the request is (being) sent, no response head yet
    ANSWERING   the head has been passed on: nothing can be retried any more
    TUNNEL      after a 101

Everything is a callback of a connection or of the sweep; there is no task per request.
"""

from failover import NoInstance, Outcome

from gateway import problems, request
from gateway.admission import Terms
from gateway.answer import Answer
from gateway.attempts import ANSWERING, DONE, RECEIVING, SENT, TUNNEL, WAITING, Attempts, Phase
from gateway.core import Client, Core
from gateway.http1 import ResponseHead
from gateway.ledger import Record
from gateway.problems import Refusal
from gateway.upload import LAST_CHUNK, Upload
from gateway.upstream import Connection


class Exchange:
    """The state machine of one request.

    Attributes:
        phase: where it is.
        due: clock time at which `expire` is called.
        upload: the request's body.
        answer: the response.
    """

    __slots__ = (
        "_attempts", "_client", "_client_stuck", "_common", "_core", "_head", "_instance_stuck",
        "_record", "_terms", "answer", "due", "phase", "upload",
    )  # fmt: skip

    def __init__(
        self, core: Core, client: Client, record: Record, terms: Terms, answer: Answer
    ) -> None:
        head = record.head
        self.due = record.started + core.edge.body
        self.upload = Upload(head.length, stated=b"content-length" in head.handled)
        self.answer = answer
        self._core = core
        self._client = client
        self._head = head
        self._record = record
        self._terms = terms
        self._client_stuck = self._instance_stuck = False
        self.phase = RECEIVING
        self._attempts = Attempts(core, record, terms, self)
        core.active.add(self)

    # The request arrives.

    def begin(self) -> None:
        """Ask for the body, and go ahead without it if it is too large to be kept."""
        if self._head.expects_continue:
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (self._head.length or 0) > self._terms.route.replay:
            self._stream(self._record.started)

    def body(self, data: bytes) -> None:
        """Take bytes of the body: keep them, or send them on."""
        if self.phase is DONE:
            return
        upload = self.upload
        upload.size += len(data)
        if upload.size > self._terms.route.max_body:
            self.reject(problems.too_large(self._terms.route.max_body))
        elif self._attempts.connection is not None:
            self._attempts.connection.transport.write(upload.framed(data))
        else:
            upload.keep(data)
            if upload.size > self._terms.route.replay and self.phase is RECEIVING:
                self._stream(self._core.clock())

    def body_end(self, now: float) -> None:
        """Take notice that the request is complete."""
        self.upload.complete = True
        self._record.whole_at = now
        if self.phase is RECEIVING:
            self._start(now)
        elif self._attempts.connection is not None:
            if self.upload.length is None:
                self._attempts.connection.transport.write(LAST_CHUNK)
            self._attempts.connection.whole = True
            if self.phase is SENT:
                self.due = self._terms.due(now, streamed=self.upload.streaming)

    def client_lost(self) -> None:
        """The client went away; a tunnel was answered when it began."""
        if self.phase is TUNNEL:
            self._abandon(self._core.clock(), self.answer.status, "answered")
        elif self.phase is not DONE:
            self._abandon(self._core.clock(), 499, "client_gone")

    def _abandon(self, now: float, status: int, result: str) -> None:
        """Stop, and learn nothing about the instance."""
        self._attempts.drop()
        self._attempts.learn(Outcome.ABANDONED, now)
        self._finish(status, result, now)

    def _stream(self, now: float) -> None:
        """Send the body while it arrives; hold the client until there is where to."""
        self.upload.streaming = True
        self._terms.retries.replayable = False
        self._client.hold(held=True)
        self._start(now)

    def _start(self, now: float) -> None:
        """Everything that all attempts have in common is known."""
        terms = self._terms
        self._common = request.common_lines(
            self._head, self._client.forwarded, id_line=self._record.id_line, via=self._core.name,
            upgrade=terms.upgrade, prefix=terms.prefix,
        )  # fmt: skip
        self._attempts.start(now)

    def send(self, connection: Connection, now: float) -> None:
        """Send what there is of the request."""
        retries, upload, method = self._terms.retries, self.upload, self._head.method
        parts = request.opening(method, self._terms.target, retries, now)
        parts += (connection.pool.host_line, self._common)
        parts += upload.opening()
        if upload.streaming:
            upload.forget()
            self._client.hold(held=False)
        self.due = now + self._core.edge.body
        if upload.complete:
            self.due = self._terms.due(now, streamed=upload.streaming)
        connection.send(self, b"".join(parts), to_head=method == b"HEAD", whole=upload.complete)

    # The response arrives.

    def response_head(self, head: ResponseHead) -> None:
        """Retry what the table lets be retried; pass everything else on."""
        now = self._core.clock()
        if head.status >= 502:  # noqa: PLR2004 - below, it is an answer
            judged = head.judge(self._core.wall())
            if judged.retry_forbidden:
                self._attempts.learn(judged.outcome, now, judged.retry_after)
            elif judged.outcome is not Outcome.ANSWERED and self._attempts.fail(
                judged.outcome, now, judged.retry_after
            ):
                return
        self._attempts.answering(now)
        self.phase = ANSWERING
        self.due = now + self._core.edge.response_idle
        self.upload.forget()
        self._settle_end()
        self.answer.head(head, self._record.lines(now, self._terms.retries, debug=self._core.debug))

    def response_body(self, data: bytes) -> None:
        """Pass bytes of the body on."""
        if self.phase is TUNNEL:
            self.due = self._core.clock() + self._core.edge.tunnel_idle
            self._client.write(data)
        else:
            self.answer.body(data)

    def flush(self) -> None:
        """More is to come, later: send what there is, and expect it in time."""
        if self.phase is ANSWERING:
            self.answer.flush()
            self.due = self._core.clock() + self._core.edge.response_idle

    def response_end(self) -> None:
        """Complete the answer."""
        now = self._core.clock()
        self._attempts.connection = None
        self.answer.end()
        self._attempts.learn(Outcome.ANSWERED, now)
        self._finish(self.answer.status, "answered", now)

    def response_lost(self, outcome: Outcome) -> None:
        """Retry; once the head was passed on, make the truncation visible instead."""
        now = self._core.clock()
        self._attempts.connection = None
        if self.phase is SENT:
            self._attempts.fail(outcome, now)
            return
        self._attempts.learn(Outcome.CUT, now)
        self.answer.flush()
        (self._client.cut if self.answer.open_ended else self._client.abort)()
        self._finish(self.answer.status, "cut", now)

    # Tunnels and backpressure.

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Become a tunnel, if the client asked for one."""
        now = self._core.clock()
        if not self._terms.upgrade:
            self._attempts.drop()
            self._attempts.fail(Outcome.GARBLED, now)
            return
        self._attempts.answering(now)
        self.phase = TUNNEL
        self.due = now + self._core.edge.tunnel_idle
        lines = self._record.lines(now, self._terms.retries, debug=self._core.debug)
        self.answer.switched(head, lines, data)

    def tunnel(self, data: bytes) -> bool:
        """Pass a client's bytes on; False if this is no tunnel."""
        if self.phase is not TUNNEL or self._attempts.connection is None:
            return False
        self.due = self._core.clock() + self._core.edge.tunnel_idle
        self._attempts.connection.transport.write(data)
        return True

    def upstream_paused(self, *, paused: bool) -> None:
        """Pass the instance's backpressure on to the client."""
        self._instance_stuck = paused
        self._client.hold(held=paused)

    def client_paused(self, *, paused: bool) -> None:
        """Pass the client's backpressure on to the instance."""
        self._client_stuck = paused
        if self._attempts.connection is not None:
            self._attempts.connection.hold(held=paused)

    # Time and ends.

    def expire(self, now: float) -> None:
        """Act on `due` having passed."""
        match self.phase:
            case Phase.RECEIVING:
                self.refuse(problems.slow_body())
            case Phase.PAUSED:
                self._attempts.seek(now)
            case Phase.WAITING:
                known = self._terms.service.known
                self.refuse(problems.nobody(NoInstance.FULL if known else NoInstance.EMPTY))
            case Phase.CONNECTING:
                self._attempts.unconnected(now)
            case Phase.SENT if self.upload.complete or self._instance_stuck:
                self._attempts.overdue(now)
            case Phase.SENT:
                self.reject(problems.slow_body())
            case Phase.ANSWERING | Phase.TUNNEL:
                self._stalled(now)

    def _stalled(self, now: float) -> None:
        """Nothing comes: the instance is to blame, unless its client does not take what came."""
        if self._client_stuck and self._client.takes_more():
            self.due = now + self._core.edge.response_idle
        elif self.phase is TUNNEL or self._client_stuck:
            result = "answered" if self.phase is TUNNEL else "client_slow"
            self._abandon(now, self.answer.status, result)
            self.cut()
        else:
            self._attempts.drop()
            self.response_lost(Outcome.CUT)

    def cut(self) -> None:
        """Have the client see its connection end."""
        self._client.abort()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem document."""
        self._attempts.drop()
        self._leave()
        self._settle_end()
        self._core.refuse(refusal, self._record, self.answer, self._client)

    def reject(self, refusal: Refusal) -> None:
        """The client's bytes stopped being HTTP, or became too many."""
        if self.phase in (ANSWERING, TUNNEL):
            self.client_lost()
            self._client.abort()
        elif self.phase is not DONE:
            self._attempts.drop()
            self._attempts.learn(Outcome.ABANDONED, self._core.clock())
            self.refuse(refusal)

    def _settle_end(self) -> None:
        """Decide at the last moment whether the client's connection ends with its answer."""
        self.answer.close |= self._core.draining or not self.upload.complete

    def _finish(self, status: int, result: str, now: float) -> None:
        self._leave()
        self._core.ledger.close(self._record, status, self.answer.sent, result, now)
        self._client.answered(now, close=self.answer.close)

    def _leave(self) -> None:
        if self.phase is WAITING:
            self._terms.service.leave(self._attempts)
        if self._instance_stuck or self.upload.streaming:  # nobody else lets the client go on
            self._client.hold(held=False)
        self.phase = DONE
        self._attempts.leave()
        self._core.active.discard(self)
        self._terms.leave()
