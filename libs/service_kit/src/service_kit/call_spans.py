"""Spans of the calls that a service makes while it answers a request: one for each attempt.

Whatever calls is given `trace_call`, and so the called service is a part of the request's trace:

    httpx.AsyncClient(transport=AsyncNacosTransport(nacos, trace=trace_call))

An attempt's span ends with the head of its response. Of a request that is not sampled the decision
goes on. `baggage` goes on too, and `tracestate` with a `traceparent` that can be read; values that
are not visible ASCII do not. A call outside of any request begins nothing.
"""

import re
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

from service_kit import tracing
from service_kit.correlation import TRACEPARENT

Headers = Iterable[tuple[bytes, bytes]]

arrived: ContextVar[tuple[Headers, tracing.Tracer | None] | None] = ContextVar(
    "arrived", default=None
)
"""The header fields of the present request, as ASGI has them, and what makes its spans."""
_VISIBLE = re.compile(rb"[\x20-\x7e\t]*")
"""The values that an HTTP client sends as they came."""


def trace_call(service: str, method: str) -> "CallSpans | None":
    """Begin the trace of a call by the present request; None outside of any request.

    Args:
        service: that is called, by its name in Nacos.
        method: of the call.
    """
    request = arrived.get()
    if request is None:
        return None
    headers, tracer = request
    return CallSpans(service, method, headers, tracer, tracing.current.get())


class CallSpans:
    """The spans of one call's attempts, which are parts of the request's span."""

    def __init__(
        self,
        service: str,
        method: str,
        headers: Headers,
        tracer: tracing.Tracer | None,
        parent: tracing.Span | None,
    ) -> None:
        """Prepare.

        Args:
            service: that is called.
            method: of the call.
            headers: of the request in which the call is made.
            tracer: takes the spans; None if the process makes none.
            parent: the request's span, None if it is not sampled.
        """
        self._service = service
        self._method = method
        self._tracer = tracer
        self._parent = parent
        self._fields = passed_on(headers, is_traced=tracer is not None)
        self._attempt: tracing.Span | None = None
        self._attempts = 0
        self._ended = ""

    def attempt_begins(self, instance: str) -> Mapping[str, str]:
        """Begin the span of an attempt; return the fields that make the instance a part of it."""
        self._attempts += 1
        if self._parent is None:
            return self._fields
        span = self._attempt = self._parent.part("attempt", tracing.SpanKind.CLIENT)
        span.attributes = {
            "http.request.method": self._method,
            "server.address": instance,
            "call.service": self._service,
            "call.attempt": self._attempts,
        }
        return {**self._fields, "traceparent": span.traceparent}

    def attempt_ended(self, outcome: str, status: int | None) -> None:
        """End the span of the attempt and have it sent.

        A further attempt says which outcome the one before it had: that is why there is one.

        Args:
            outcome: the word for it.
            status: of the answer; None without an answer.
        """
        span, self._attempt = self._attempt, None
        if span is None or self._tracer is None:
            return
        span.ended = time.time_ns()
        span.attributes["call.outcome"] = outcome
        if status is not None:
            span.attributes["http.response.status_code"] = status
        if self._ended:
            span.attributes["call.retry_after_outcome"] = self._ended
        span.failed = status is None or status >= 500  # noqa: PLR2004 - HTTP's failures of a server
        self._ended = outcome
        self._tracer.end(span)


def passed_on(headers: Headers, *, is_traced: bool) -> dict[str, str]:
    """Return the fields of a request that go on with the calls it makes.

    Args:
        headers: of the request.
        is_traced: this process decides about requests that come without a decision.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name in {b"traceparent", b"tracestate", b"baggage"} and _VISIBLE.fullmatch(value):
            found.setdefault(name.decode(), []).append(value.strip(b" \t").decode())
    fields = {name: ",".join(values) for name, values in found.items()}
    if not TRACEPARENT.fullmatch(fields.get("traceparent", "").encode("latin-1")):
        # W3C Trace Context, 3.3: the state of a trace that cannot be read is dropped with it.
        fields.pop("traceparent", None)
        fields.pop("tracestate", None)
        if is_traced:
            fields["traceparent"] = tracing.unsampled()
    return fields
