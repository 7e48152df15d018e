"""The record of each request, for metrics and the access log, and the counters that records feed.

Labels are bounded: services and instances come from discovery, routes from the document, outcomes
from an enum; a name that a stranger invented is counted as `unknown`.
"""

import os
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from failover import Outcome, RetryState, Stopped
from service_kit import REQUEST_ID

from gateway.http.field_changes import FieldChanges
from gateway.http.heads import Head
from gateway.telemetry.traces import NANOSECONDS, RequestTrace, RequestTracer

BUCKETS: Final[tuple[float, ...]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
)  # fmt: skip
"""Upper ends of the duration histogram, in seconds."""


SERVER_ERROR: Final = 500
TENTHS: Final = tuple(b"%d.%d" % divmod(tenths, 10) for tenths in range(4096))
"""Milliseconds with one digit behind the point, rendered: to render a float costs more."""


class RequestRecord:
    """The facts about one request that metrics, the access log and its response tell.

    Attributes:
        head: of the request.
        client: the client's address.
        id: the request's id, taken from the client if well-formed, else made.
        id_line: the id, rendered as a field.
        started: clock time of the complete head.
        body_received_at: clock time at which the whole request had arrived, 0 before.
        response_head_at: clock time of the response head, 0 before.
        ended_attempts: instance, outcome and seconds of each attempt that ended.
        stopped: why no further attempt was made, if one was considered.
        route: label of the route, `none` before it is known.
        service: label of the service, `unknown` before it is known.
        fields: rendered fields that every response to the request has.
        changes: to the other fields of every response to the request; None: none.
        trace: the spans of the request, None if it is not sampled.
        trace_line: the rendered `traceparent` that all attempts have alike, b"" if each has one of
            its own; None: the client's, if it is well-formed.
        shared: among `fields` are those of cross-origin sharing, which take the place of a
            service's.
    """

    __slots__ = (
        "body_received_at", "changes", "client", "ended_attempts", "fields", "head", "id",
        "id_line", "response_head_at", "route", "service", "shared", "started", "stopped", "trace",
        "trace_line",
    )  # fmt: skip

    def __init__(self, head: Head, client: bytes, request_id: bytes, now: float) -> None:
        self.head = head
        self.client = client
        self.id = request_id
        self.id_line = b"X-Request-Id: " + request_id + b"\r\n"
        self.started = now
        self.body_received_at = 0.0
        self.response_head_at = 0.0
        self.ended_attempts: list[tuple[str, Outcome, float]] = []
        self.stopped: Stopped | None = None
        self.route = "none"
        self.service = "unknown"
        self.fields = b""
        self.changes: FieldChanges | None = None
        self.shared = False
        self.trace: RequestTrace | None = None
        self.trace_line: bytes | None = None

    def response_fields(
        self, now: float, retries: RetryState | None, *, debug: bool = False
    ) -> list[bytes]:
        """Render the response fields that tell how the request was served, in pieces.

        Args:
            now: the clock.
            retries: the attempts, if an instance answers.
            debug: name the instance that answers.
        """
        attempts, waited = len(self.ended_attempts), 0.0
        if retries is not None:
            attempts += retries.current is not None
            waited = now - retries.started
        lines = [
            self.id_line,
            b"X-Gateway-Attempts: 1" if attempts == 1 else b"X-Gateway-Attempts: %d" % attempts,
            b"\r\nServer-Timing: gw;dur=", _millis(now - self.started),
            b", upstream;dur=", _millis(waited), b"\r\n", self.fields,
        ]  # fmt: skip
        if self.stopped is Stopped.BUDGET:
            lines.append(b"X-Gateway-Retry: budget-exhausted\r\n")
        if debug and retries is not None:
            answering = retries.current or retries.tried[-1]
            lines.append(f"X-Gateway-Upstream: {answering.address}\r\n".encode())
        return lines

    def describe_attempts(self, *, addresses: bool) -> list[dict[str, object]]:
        """Return the attempts for a problem document, with the instances' addresses if so told."""
        told: list[dict[str, object]] = []
        for instance, outcome, seconds in self.ended_attempts:
            one: dict[str, object] = {"error": outcome.value, "ms": round(seconds * 1000, 1)}
            told.append({**one, "instance": instance} if addresses else one)
        return told


def _millis(seconds: float) -> bytes:
    tenths = int(seconds * 10_000 + 0.5)
    return TENTHS[tenths] if 0 <= tenths < len(TENTHS) else b"%.1f" % (seconds * 1000)


COUNTS: Final = tuple(b"-7%03x-" % count for count in range(4096))


class RequestIds:
    """A maker of UUIDs of version 7: time, a counter, and bits that are random per process."""

    __slots__ = ("_clock", "_count", "_head", "_millis", "_tail")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the wall clock, in seconds."""
        tail = os.urandom(8)
        self._clock = clock
        self._count = self._millis = 0
        self._head = b""
        self._tail = f"{0x80 | tail[0] & 0x3F:02x}{tail[1]:02x}-{tail[2:].hex()}".encode()

    def __call__(self) -> bytes:
        """Make an id."""
        millis = int(self._clock() * 1000)
        if millis != self._millis:
            self._millis = millis
            self._head = b"%08x-%04x" % (millis >> 16, millis & 0xFFFF)
        self._count = (self._count + 1) & 0xFFF
        return self._head + COUNTS[self._count] + self._tail


class Tally:
    """The requests that ended alike: how many there were, by how long they took.

    Attributes:
        buckets: a count for each bucket of the histogram, the last one for what is beyond.
        seconds: that all of them took together.
    """

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, took: float) -> int:
        """Count a request by the seconds it took, and return the number of its bucket.

        By far the most are in the first buckets.
        """
        bucket = 0
        for upper in BUCKETS:
            if took <= upper:
                break
            bucket += 1
        self.buckets[bucket] += 1
        self.seconds += took
        return bucket


class Counters:
    """The counts of everything that was answered; ended records go on to the access log.

    A request is counted in one place, and whoever reads the counts sums them up.

    Attributes:
        attempt_outcomes: count by service, instance and outcome.
        stops: count by service and reason for not trying again.
        shadows: count by route and result of the copy.
        hedges: count of second attempts by service and result.
        server_errors: count of answers with a status of 500 or more that were an instance's own, by
            service and instance.
        exemplars: the newest sampled request by route, service and bucket of the histogram: its
            trace's id, its span's, its seconds, and the Unix time of its end.
        log: takes each record that ended.
        tracer: makes the spans of requests; None makes none.
    """

    def __init__(
        self,
        ids: Callable[[], bytes],
        log: Callable[[RequestRecord, int, int, str, float], None] | None,
        tracer: RequestTracer | None = None,
    ) -> None:
        """Start at zero.

        Args:
            ids: makes request ids.
            log: takes each record with status, bytes sent, result and end; None for no access log.
            tracer: makes the spans of requests.
        """
        self.tracer = tracer
        self._ids = ids
        self.log = log
        self._ended: dict[tuple[str, str, int, str], Tally] = {}
        self.attempt_outcomes: dict[tuple[str, str, Outcome], int] = {}
        self.stops: dict[tuple[str, Stopped], int] = defaultdict(int)
        self.shadows: dict[tuple[str, str], int] = defaultdict(int)
        self.hedges: dict[tuple[str, str], int] = defaultdict(int)
        self.server_errors: dict[tuple[str, str], int] = defaultdict(int)
        self.exemplars: dict[tuple[str, str, int], tuple[str, str, float, float]] = {}

    @property
    def requests(self) -> dict[tuple[str, str, int, str], int]:
        """Return the count by route, service, status class and result."""
        return {labels: sum(tally.buckets) for labels, tally in self._ended.items()}

    @property
    def seconds(self) -> dict[tuple[str, str], list[float]]:
        """Return the histogram (a count for each bucket, then the sum) by route and service."""
        sums: dict[tuple[str, str], list[float]] = {}
        for (route, service, _, _), tally in self._ended.items():
            counts = [*tally.buckets, tally.seconds]
            before = sums.get((route, service), [0.0] * len(counts))
            sums[route, service] = [a + b for a, b in zip(before, counts, strict=True)]
        return sums

    def begin(self, head: Head, client: bytes, now: float) -> RequestRecord:
        """Begin the record of a request."""
        given = head.handled.get(b"x-request-id")
        if given is None or not REQUEST_ID.fullmatch(given):
            given = self._ids()
        record = RequestRecord(head, client, given, now)
        if self.tracer is not None:
            traceparent = head.handled.get(b"traceparent")
            record.trace = self.tracer.begin(traceparent)
            sampled = record.trace is not None
            record.trace_line = b"" if sampled else self.tracer.unsampled_line(traceparent)
        return record

    def count_attempt(
        self, record: RequestRecord, instance: str, outcome: Outcome, seconds: float
    ) -> None:
        """Count an attempt that ended."""
        record.ended_attempts.append((instance, outcome, seconds))
        if record.trace is not None:
            failed = outcome is not Outcome.ANSWERED
            record.trace.attempt_ended(instance, outcome.value, seconds, failed=failed)
        labels = record.service, instance, outcome
        self.attempt_outcomes[labels] = self.attempt_outcomes.get(labels, 0) + 1

    def end(self, record: RequestRecord, status: int, sent: int, result: str, now: float) -> None:
        """Count a request that ended, and log it."""
        labels = record.route, record.service, status // 100, result
        tally = self._ended.get(labels)
        if tally is None:
            tally = self._ended[labels] = Tally()
        took = now - record.started
        bucket = tally.count(took)
        if status >= SERVER_ERROR and record.ended_attempts:
            instance, outcome, _ = record.ended_attempts[-1]
            # All else was a failed attempt, and counted as such; or the instance has left.
            known = (record.service, instance, outcome) in self.attempt_outcomes
            if outcome is Outcome.ANSWERED and known:
                self.server_errors[record.service, instance] += 1
        if record.stopped is not None:
            self.stops[record.service, record.stopped] += 1
        if self.log is not None:
            self.log(record, status, sent, result, now)
        if self.tracer is not None and record.trace is not None:
            self.tracer.end(
                record.trace,
                method=record.head.method.decode("latin-1"),
                route=record.route,
                service=record.service,
                status=status,
                result=result,
                request_id=record.id.decode(),
            )
            span = record.trace.span
            self.exemplars[record.route, record.service, bucket] = (
                span.trace_id,
                span.span_id,
                took,
                span.ended / NANOSECONDS,
            )

    def forget_instance(self, service: str, instance: str) -> None:
        """Drop the counters of an instance that left, so that labels stay bounded."""
        for key in [key for key in self.attempt_outcomes if key[:2] == (service, instance)]:
            del self.attempt_outcomes[key]
        self.server_errors.pop((service, instance), None)
