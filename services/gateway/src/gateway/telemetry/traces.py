"""The spans of a sampled request: the gateway's own, and one for each attempt at an instance.

An attempt's span is the caller of what the instance does: its id goes there in `traceparent`.
"""

import time
from typing import Final

from service_kit import TRACEPARENT, Span, SpanKind, Tracer, unsampled

NANOSECONDS: Final = 1_000_000_000


class RequestTrace:
    """The span of one sampled request, and the spans of its attempts."""

    __slots__ = ("_attempts", "_ended", "_under_way", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._under_way: dict[str, Span] = {}
        self._attempts = 0
        self._ended = ""

    @property
    def log_key(self) -> bytes:
        """The piece of a line of the access log, behind the request's id."""
        return b'","trace_id":"%b' % self.span.trace_id.encode()

    @property
    def line(self) -> bytes:
        """The field that makes whoever gets it a part of the request, not of one attempt."""
        return b"traceparent: %b\r\n" % self.span.traceparent.encode()

    def attempt_begins(self, address: str) -> bytes:
        """Begin the span of an attempt; return the field that makes the instance a part of it."""
        span = self._under_way[address] = self.span.part("attempt", SpanKind.CLIENT)
        return b"traceparent: %b\r\n" % span.traceparent.encode()

    def attempt_ended(self, address: str, outcome: str, seconds: float, *, failed: bool) -> None:
        """End the span of an attempt, one to which nothing was sent too.

        A further attempt says which outcome the one before it had: that is why there is one.
        """
        span = self._under_way.pop(address, None) or self.span.part("attempt", SpanKind.CLIENT)
        span.ended = time.time_ns()
        span.began = min(span.began, span.ended - int(seconds * NANOSECONDS))
        self._attempts += 1
        span.attributes = {
            "server.address": address,
            "gateway.attempt": self._attempts,
            "gateway.outcome": outcome,
        }
        if self._ended:
            span.attributes["gateway.retry_after_outcome"] = self._ended
        span.failed = failed
        self._ended = outcome
        self.span.parts.append(span)


class RequestTracer:
    """Begins the traces of requests and has those that ended sent."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, traceparent: bytes | None) -> RequestTrace | None:
        """Return the trace of a request, None for one that is not sampled."""
        span = self._tracer.begin(traceparent)
        return None if span is None else RequestTrace(span)

    @staticmethod
    def unsampled_line(traceparent: bytes | None) -> bytes | None:
        """Return the field by which instances learn that nobody samples a request.

        None where the client's own field says that: then the field goes on as it came.
        """
        if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
            return None
        return b"traceparent: %b\r\n" % unsampled().encode()

    def end(
        self,
        trace: RequestTrace,
        *,
        method: str,
        route: str,
        service: str,
        status: int,
        result: str,
        request_id: str,
    ) -> None:
        """End a request's span and have it sent with its attempts."""
        span = trace.span
        span.name = f"{method} {route}"
        span.attributes = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "gateway.service": service,
            "gateway.result": result,
            "request_id": request_id,
        }
        span.failed = status >= 500  # noqa: PLR2004 - HTTP's own failures of a server
        self._tracer.end(span)
