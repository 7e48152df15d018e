"""Spans of requests, sent to a collector by OTLP over HTTP, in its JSON encoding.

Without a collector's address nothing of this is there. A caller decides for the whole way of a
request: what its `traceparent` says about sampling holds (W3C Trace Context, 3.2.2.5); a request
without one is sampled by chance. Spans wait in a bounded queue and are dropped when it is full.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson
from prometheus_client import Counter

from service_kit.batch_sender import BatchSender, post
from service_kit.correlation import TRACEPARENT
from service_kit.metric_families import MetricFamily
from service_kit.settings import ProcessSettings

PATH = "/v1/traces"
"""Path of a collector that takes spans (OTLP specification, OTLP/HTTP)."""
COMPANY_SECONDS = 0.05
"""Seconds in which spans gather to one request to the collector. The queue has room for those of
100,000 requests a second meanwhile."""
DROPPED = MetricFamily("counter", "trace_spans_dropped", "Spans lost because none could be queued")
dropped = Counter(DROPPED.name, DROPPED.text)

_SAMPLED = 1
"""The bit of the flags in `traceparent` that says so."""
Attribute = str | int | float | bool


class SpanKind(IntEnum):
    """The part that a span has in a call; the numbers are OTLP's."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


@dataclass(slots=True)
class Span:
    """A piece of work with its beginning and end, in nanoseconds of Unix time.

    Attributes:
        trace_id: 32 hexadecimal digits, the same for all spans of a request's way.
        span_id: 16 of them.
        parent_id: those of the span that this one is a part of; "" for the first of all.
        name: few different ones: a method and a route, or a stage.
        kind: the part in the call.
        began: when it began.
        ended: when it ended, 0 before.
        attributes: in the words of OpenTelemetry where there are some.
        failed: the work did not do what it was to do.
        parts: further spans that ended, which are sent with this one.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    began: int
    ended: int = 0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    failed: bool = False
    parts: list["Span"] = field(default_factory=list)

    @property
    def traceparent(self) -> str:
        """The field that makes whoever is called a part of this span."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @property
    def exemplar(self) -> dict[str, str]:
        """The labels of an exemplar, by which a metric leads to this span."""
        return {"trace_id": self.trace_id, "span_id": self.span_id}

    def part(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> "Span":
        """Return a span that is a part of this one and begins now."""
        return Span(self.trace_id, new_id(8), self.span_id, name, kind, time.time_ns())


current: ContextVar[Span | None] = ContextVar("span", default=None)
"""The span of the present request, if it is sampled."""


_chance = random.Random()  # noqa: S311 - no secret
"""Apart from the module's own, which a model may seed: then all its instances would draw alike."""
os.register_at_fork(after_in_child=_chance.seed)


def new_id(size: int) -> str:
    """Return a random id of some bytes as hexadecimal digits: unlike others, and no secret."""
    return _chance.randbytes(size).hex()


def unsampled() -> str:
    """Return the `traceparent` of a request that nobody samples: whoever is called does not draw.

    W3C Trace Context, 3.2.2.5: the flag of a caller that does not record is 0.
    """
    ids = new_id(24)
    return f"00-{ids[:32]}-{ids[32:]}-00"


class Tracer:
    """Begins the spans of sampled requests and queues those that ended."""

    def __init__(
        self,
        put: Callable[[Span], bool],
        share: float,
        draw: Callable[[], float] = _chance.random,
    ) -> None:
        """Take where spans go.

        Args:
            put: takes a span that ended; returns whether there was room for it.
            share: of the requests that come without a decision, those that are sampled.
            draw: uniform random numbers in [0, 1).
        """
        self._put = put
        self._share = share
        self._draw = draw

    def begin(self, traceparent: bytes | None) -> Span | None:
        """Return the span of a request that arrives, None for one that is not sampled."""
        trace_id, parent_id = "", ""
        if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
            _, trace, parent, flags = traceparent.decode().split("-")
            if not int(flags, 16) & _SAMPLED:
                return None
            trace_id, parent_id = trace, parent
        elif self._draw() >= self._share:
            return None
        now = time.time_ns()
        return Span(trace_id or new_id(16), new_id(8), parent_id, "", SpanKind.SERVER, now)

    def end(self, span: Span) -> None:
        """Queue a span and its parts, which end now if they do not say when; or count them."""
        for each in (span, *span.parts):
            each.ended = each.ended or time.time_ns()
            if not self._put(each):
                dropped.inc()


def otlp(spans: Sequence[Span], resource: Mapping[str, Attribute]) -> bytes:
    """Return spans as the JSON of an `ExportTraceServiceRequest`.

    Args:
        spans: that ended.
        resource: what sends them: `service.name` and so on.
    """
    scope = {"scope": {"name": "modelserve"}, "spans": [_span(each) for each in spans]}
    described = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}
    return orjson.dumps({"resourceSpans": [described]})


@contextmanager
def traced(settings: ProcessSettings, version: str) -> Iterator[Tracer | None]:
    """Trace as the settings say; without a collector there is None. At the end what waits is sent.

    A batch that the collector does not take is dropped, and the log says so.
    """
    if settings.otlp_endpoint is None:
        yield None
        return
    url = settings.otlp_endpoint.rstrip("/") + PATH
    resource = {
        "service.name": settings.service_name,
        "service.version": version,
        "service.instance.id": f"{socket.gethostname()}:{settings.port}",
    }

    def send(spans: Sequence[Span]) -> None:
        post(url, otlp(spans, resource), "application/json")

    sender: BatchSender[Span] = BatchSender("spans", send, again=False, company=COMPANY_SECONDS)
    try:
        yield Tracer(sender.put, settings.trace_share)
    finally:
        sender.close()


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.ended),
        "attributes": _attributes(span.attributes),
        "status": {"code": 2} if span.failed else {},
    }


def _attributes(attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
