"""What is kept of each request for metrics and the access log. Labels are bounded.

Services and instances come from discovery, routes from the document, outcomes from an enum; a name
a stranger invented is counted as `unknown`.
"""

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

from failover import Outcome, RetryState, Stopped

from gateway.http1 import REQUEST_ID, Head

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
"""Upper ends of the duration histogram, in seconds."""


TENTHS = tuple(b"%d.%d" % divmod(tenths, 10) for tenths in range(4096))
"""Milliseconds with one digit behind the point, ready to be sent: a float costs more to write."""


class Record:
    """One request.

    Attributes:
        client: its address.
        id: the request's id, taken from the client if well-formed, else made.
        id_line: the same, rendered as a field.
        started: clock time of the complete head.
        whole_at: clock time at which all of the request was here, 0 before.
        head_at: clock time of the response head, 0 before.
        attempts: instance, outcome and seconds of each attempt that ended.
        stopped: why no further attempt was made, if one was considered.
    """

    __slots__ = ("attempts", "client", "head", "head_at", "id", "id_line", "route", "service",
                 "started", "stopped", "whole_at")  # fmt: skip

    def __init__(self, head: Head, client: bytes, request_id: bytes, now: float) -> None:
        self.head = head
        self.client = client
        self.id = request_id
        self.id_line = b"X-Request-Id: " + request_id + b"\r\n"
        self.started = now
        self.whole_at = 0.0
        self.head_at = 0.0
        self.attempts: list[tuple[str, Outcome, float]] = []
        self.stopped: Stopped | None = None
        self.route = "none"
        self.service = "unknown"

    def lines(self, now: float, retries: RetryState | None, *, debug: bool = False) -> list[bytes]:
        """The response fields that tell about the way of the request, rendered, in pieces.

        Args:
            now: the clock.
            retries: the attempts, if an instance answers.
            debug: name that instance.
        """
        attempts, waited = len(self.attempts), 0.0
        if retries is not None:
            attempts += retries.current is not None
            waited = now - retries.started
        lines = [
            self.id_line,
            b"X-Gateway-Attempts: 1" if attempts == 1 else b"X-Gateway-Attempts: %d" % attempts,
            b"\r\nServer-Timing: gw;dur=", _millis(now - self.started),
            b", upstream;dur=", _millis(waited), b"\r\n",
        ]  # fmt: skip
        if self.stopped is Stopped.BUDGET:
            lines.append(b"X-Gateway-Retry: budget-exhausted\r\n")
        if debug and retries is not None:
            lines.append(f"X-Gateway-Upstream: {retries.tried[-1].address}\r\n".encode())
        return lines

    def describe(self, *, addresses: bool) -> list[dict[str, object]]:
        """The attempts for an error document; addresses of instances are not for everybody."""
        told: list[dict[str, object]] = []
        for instance, outcome, seconds in self.attempts:
            one: dict[str, object] = {"error": outcome.value, "ms": round(seconds * 1000, 1)}
            told.append({**one, "instance": instance} if addresses else one)
        return told


def _millis(seconds: float) -> bytes:
    tenths = int(seconds * 10_000 + 0.5)
    return TENTHS[tenths] if 0 <= tenths < len(TENTHS) else b"%.1f" % (seconds * 1000)


COUNTS = tuple(b"-7%03x-" % count for count in range(4096))


class RequestIds:
    """Makes UUIDs of version 7: time, a counter, and bits that are random per process."""

    __slots__ = ("_clock", "_count", "_head", "_millis", "_tail")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the wall clock, in seconds."""
        tail = os.urandom(8)
        self._clock = clock
        self._count = self._millis = 0
        self._head = b""
        self._tail = f"{0x80 | tail[0] & 0x3F:02x}{tail[1]:02x}-{tail[2:].hex()}".encode()

    def __call__(self) -> bytes:
        """Make one."""
        millis = int(self._clock() * 1000)
        if millis != self._millis:
            self._millis = millis
            self._head = b"%08x-%04x" % (millis >> 16, millis & 0xFFFF)
        self._count = (self._count + 1) & 0xFFF
        return self._head + COUNTS[self._count] + self._tail


class Ledger:
    """Counters of everything that was answered, and where each record goes.

    Attributes:
        requests: count by route, service, status class and result.
        seconds: histogram (a count for each bucket, then the sum) by route and service.
        attempts: count by service, instance and outcome.
        stops: count by service and reason for not trying again.
        shadows: count by route and what became of the copy.
    """

    def __init__(
        self, ids: Callable[[], bytes], log: Callable[[Record, int, int, str, float], None] | None
    ) -> None:
        """Start at zero.

        Args:
            ids: makes request ids.
            log: takes each record with status, bytes sent, result and end; None for no access log.
        """
        self._ids = ids
        self._log = log
        self.requests: dict[tuple[str, str, int, str], int] = defaultdict(int)
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(
            lambda: [0] * (len(BUCKETS) + 2)
        )
        self.attempts: dict[tuple[str, str, Outcome], int] = defaultdict(int)
        self.stops: dict[tuple[str, Stopped], int] = defaultdict(int)
        self.shadows: dict[tuple[str, str], int] = defaultdict(int)

    def open(self, head: Head, client: bytes, now: float) -> Record:
        """Begin the record of a request."""
        given = head.handled.get(b"x-request-id")
        if given is None or not REQUEST_ID.fullmatch(given):
            given = self._ids()
        return Record(head, client, given, now)

    def attempt(self, record: Record, instance: str, outcome: Outcome, seconds: float) -> None:
        """Note the end of an attempt."""
        record.attempts.append((instance, outcome, seconds))
        self.attempts[record.service, instance, outcome] += 1

    def close(self, record: Record, status: int, sent: int, result: str, now: float) -> None:
        """Count the request and log it."""
        self.requests[record.route, record.service, status // 100, result] += 1
        took = now - record.started
        histogram = self.seconds[record.route, record.service]
        histogram[bisect_left(BUCKETS, took)] += 1
        histogram[-1] += took
        if record.stopped is not None:
            self.stops[record.service, record.stopped] += 1
        if self._log is not None:
            self._log(record, status, sent, result, now)

    def forget(self, service: str, instance: str) -> None:
        """Drop the counters of an instance that is gone, so that labels stay bounded."""
        for key in [key for key in self.attempts if key[:2] == (service, instance)]:
            del self.attempts[key]
