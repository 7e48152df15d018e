"""Spans of requests, as a collector gets them."""

import base64
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from time import perf_counter
from typing import Any, ClassVar

import httpx
import pytest
from fastapi import FastAPI
from google.protobuf import json_format
from hypothesis import given, strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from service_kit import (
    HealthChecks,
    ProcessSettings,
    RequestEdge,
    Span,
    SpanKind,
    Stages,
    Tracer,
    add_health,
    trace_call,
    traced,
)
from service_kit.batch_sender import BatchSender
from service_kit.tracing import dropped, otlp

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
DEADLINE_SECONDS = 60


def read(body: bytes) -> ExportTraceServiceRequest:
    """Read a body as OTLP's own messages do, which have ids in base64 where OTLP's JSON has hex."""

    def spelled(value: Any) -> Any:
        if isinstance(value, list):
            return [spelled(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(each)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}
            else spelled(each)
            for key, each in value.items()
        }

    return json_format.ParseDict(spelled(json.loads(body)), ExportTraceServiceRequest())


def spans_of(request: ExportTraceServiceRequest) -> list[OtlpSpan]:
    """Return the spans of a request to a collector."""
    return [
        span
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class Collector(BaseHTTPRequestHandler):
    """A collector that keeps what it gets."""

    received: ClassVar["queue.Queue[tuple[str, str, bytes]]"] = queue.Queue()

    def do_POST(self) -> None:
        """Take spans."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.put((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(served: Callable[[type[BaseHTTPRequestHandler]], str]) -> str:
    """The address of a collector."""
    return served(Collector)


def settings(**variables: str) -> ProcessSettings:
    """Return the settings of a service."""
    return ProcessSettings(SERVICE_NAME="cars", PORT=8001, **variables)


def kept(spans: list[Span], *, share: float = 1.0) -> Tracer:
    """Return a tracer that appends to a list."""

    def put(span: Span) -> bool:
        spans.append(span)
        return True

    return Tracer(put, share)


def test_a_collector_gets_spans_in_its_own_terms(collector: str) -> None:
    """Ids, kinds, times, attributes of each type, failure and resource are what OTLP says."""
    with traced(settings(OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector}/"), "1.2.3") as tracer:
        span = tracer.begin(f"00-{TRACE}-{PARENT}-01".encode())
        part = span.part("compute")
        span.parts.append(part)
        span.name, span.failed = "POST /predict", True
        span.attributes = {"text": "ä", "count": 3, "share": 0.5, "yes": True}
        tracer.end(span)
    path, media_type, body = Collector.received.get(timeout=DEADLINE_SECONDS)
    request = read(body)
    (resource,) = request.resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    first, second = spans_of(request)

    assert (path, media_type) == ("/v1/traces", "application/json")
    assert (about["service.name"], about["service.version"]) == ("cars", "1.2.3")
    assert about["service.instance.id"].endswith(":8001")
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert second.parent_span_id == first.span_id
    assert (first.kind, second.kind) == (OtlpSpan.SPAN_KIND_SERVER, OtlpSpan.SPAN_KIND_INTERNAL)
    assert (first.name, second.name) == ("POST /predict", "compute")
    assert (first.status.code, second.status.code) == (
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    )
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (span.began, span.ended)
    values = {each.key: each.value for each in first.attributes}
    assert values["text"].string_value == "ä"
    assert values["count"].int_value == 3
    assert values["share"].double_value == 0.5
    assert values["yes"].bool_value is True


def test_the_first_of_a_batch_waits_for_company() -> None:
    """Spans that come one after the other leave together; the end cuts the wait short."""
    batches: list[list[int]] = []
    sender = BatchSender[int]("numbers", lambda batch: batches.append([*batch]), company=600.0)
    sender.put(1)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not sender.queue.empty():  # the thread has not taken it yet
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    sender.put(2)
    sender.close()

    assert batches == [[1, 2]]


def test_without_a_collector_there_is_no_tracer() -> None:
    """No address, no tracer, no thread."""
    before = threading.active_count()
    with traced(settings(), "1") as tracer:
        assert tracer is None
        assert threading.active_count() == before


def test_spans_without_room_are_counted() -> None:
    """A full queue costs the request nothing: the span and its part are dropped and counted."""

    def lost() -> float:
        (family,) = dropped.collect()
        return next(each.value for each in family.samples if each.name.endswith("_total"))

    before = lost()
    tracer = Tracer(lambda _: False, 1.0)
    span = tracer.begin(None)
    span.parts.append(span.part("compute"))
    tracer.end(span)

    assert lost() - before == 2


@given(
    given=st.one_of(
        st.none(), st.binary(max_size=70), st.sampled_from([b"00-%b-%b-03", b"00-1-2-01"])
    ),
    share=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_what_is_no_traceparent_is_as_if_absent(
    given: bytes | None, share: float, draw: float
) -> None:
    """Whatever comes in the field, a root is made, or nothing, as the share says."""
    span = Tracer(lambda _: True, share, lambda: draw).begin(given)

    assert (span is not None) is (draw < share)
    assert span is None or (span.parent_id, len(bytes.fromhex(span.trace_id))) == ("", 16)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("ff", True)])
def test_the_caller_decides(flags: str, sampled: bool) -> None:
    """The bit of the caller's flags holds against any share."""
    span = Tracer(lambda _: True, 0.0 if sampled else 1.0).begin(
        f"00-{TRACE}-{PARENT}-{flags}".encode()
    )

    assert (span is not None) is sampled


async def call(app: RequestEdge, fields: Mapping[bytes, bytes]) -> int:
    """Call an application; return the status."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [*fields.items()],
    }
    await app(scope, receive, send)
    return statuses[0]


@pytest.mark.anyio
async def test_a_service_s_request_has_its_stages() -> None:
    """The span of a request has decode, compute and encode for parts, in order, inside it."""
    spans: list[Span] = []
    stages = Stages("1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        stages.observe(*(perf_counter() for _ in range(4)))
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    edge = RequestEdge(app, model_version="1", tracer=kept(spans))
    await call(edge, {b"traceparent": f"00-{TRACE}-{PARENT}-01".encode()})
    request, *parts = spans

    assert (request.kind, request.failed) == (SpanKind.SERVER, True)
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert [each.name for each in parts] == ["decode", "compute", "encode"]
    assert {each.parent_id for each in parts} == {request.span_id}
    assert parts[0].ended == parts[1].began
    assert parts[1].ended == parts[2].began
    spans.clear()
    await call(edge, {b"traceparent": f"00-{TRACE}-{PARENT}-00".encode()})
    assert spans == []


def exemplars(text: str, name: str) -> list[dict[str, str]]:
    """Return the labels of a family's exemplars, as a parser of OpenMetrics reads them."""
    families = {each.name: each for each in text_string_to_metric_families(text)}
    return [each.exemplar.labels for each in families[name].samples if each.exemplar]


@pytest.mark.anyio
async def test_metrics_lead_to_traces() -> None:
    """As OpenMetrics, each bucket of a duration names the newest sampled request in it.

    A request that is not sampled changes no exemplar, and the other text format has none.
    """
    spans: list[Span] = []
    stages, health = Stages("exemplary"), HealthChecks("test", "1")
    health.measure(stages.collect)
    app = FastAPI()
    add_health(app, health)

    @app.post("/predict")
    async def predict() -> None:
        stages.observe(0.0, 0.0005, 1.0005, 1.0006)

    edge = RequestEdge(app, model_version="exemplary", tracer=kept(spans, share=0.0))
    transport = httpx.ASGITransport(edge)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for flags in ("01", "01", "00"):
            fields = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
            await client.post("/predict", headers=fields)
        asked = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
        answer = await client.get("/metrics", headers=asked)
        plain = (await client.get("/metrics")).text

    requests = [each for each in spans if each.name == "POST /predict"]
    stage_spans = [each.span_id for each in spans if each.name == "compute"]
    found = exemplars(answer.text, "http_request_duration_seconds")
    mine = [each for each in found if each["span_id"] in {one.span_id for one in requests}]
    of_stages = exemplars(answer.text, "model_stage_seconds")

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.count("# EOF") == 1
    assert answer.text.endswith("# EOF\n")
    assert requests[1].exemplar in mine
    assert len(requests) == 2
    assert stage_spans[-1] in {each["span_id"] for each in of_stages}
    assert len(of_stages) == 3
    assert " # {" not in plain


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("baggage", "goes_on"),
    [(b"a=1", "a=1"), (b" a=1\t ", "a=1"), (b"a=\xff", None), (b"a=\r\nb: 1", None)],
)
async def test_what_no_client_can_send_does_not_go_on(baggage: bytes, goes_on: str | None) -> None:
    """A caller's field cannot make the calls fail that are made for it."""
    app = FastAPI()

    @app.get("/x")
    async def answer() -> Mapping[str, str]:
        call = trace_call("models", "GET")
        assert call is not None
        return call.attempt_begins("127.0.0.1:1")

    transport = httpx.ASGITransport(RequestEdge(app, model_version="1"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        fields = (await client.get("/x", headers=[(b"baggage", baggage)])).json()

    assert fields.get("baggage") == goes_on


def test_ids_differ_whatever_a_model_seeds() -> None:
    """The random numbers of a model are its own business."""
    state = random.getstate()
    spans: list[Span] = []
    for _ in range(2):
        random.seed(42)
        tracer = kept(spans)
        tracer.end(tracer.begin(None))
    random.setstate(state)

    assert len({each.trace_id for each in spans}) == 2


def test_many_spans_are_one_document() -> None:
    """Everything a batch holds is in one request to the collector."""
    spans: list[Span] = []
    tracer = kept(spans)
    for _ in range(500):
        tracer.end(tracer.begin(None))

    assert len(spans_of(read(otlp(spans, {"service.name": "cars"})))) == 500
