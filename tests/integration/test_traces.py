"""One request, one tree of spans: client, gateway, attempts, service, stages."""

import base64
import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from stack.access import GROUP, NacosAccess
from stack.ports import free_port
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

POINTS = {"points": [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12]]}
CLIENT_SPAN = "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[tuple[str, "queue.Queue[bytes]"]]:
    """The address of a collector, and what it gets."""
    bodies: queue.Queue[bytes] = queue.Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take spans."""
            bodies.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    serving.join()
    server.server_close()


def read(body: bytes) -> list[tuple[str, Any]]:
    """Return the spans of a body by OTLP's own messages, each with its service's name."""

    def spelled(value: Any) -> Any:
        if isinstance(value, list):
            return [spelled(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(each)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}  # hexadecimal in OTLP's JSON
            else spelled(each)
            for key, each in value.items()
        }

    request = json_format.ParseDict(spelled(json.loads(body)), ExportTraceServiceRequest())
    found = []
    for resource in request.resource_spans:
        names = {each.key: each.value.string_value for each in resource.resource.attributes}
        spans = [span for scope in resource.scope_spans for span in scope.spans]
        found += [(names["service.name"], span) for span in spans]
    return found


def told(span: Any, key: str) -> str:
    """Return an attribute of a span that is text, "" without it."""
    return next((each.value.string_value for each in span.attributes if each.key == key), "")


def test_a_request_is_one_tree(
    service: Callable[..., Any], nacos: NacosAccess, collector: tuple[str, "queue.Queue[bytes]"]
) -> None:
    """Client, gateway, an attempt where nobody listens, one that is answered, service, stages."""
    address, bodies = collector
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_TRACES_SAMPLER_ARG": "0"}
    service("kmeans", nacos, env=env)
    gateway = service("gateway", nacos, env=env)
    spans: list[tuple[str, Any]] = []
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as http:

        def call(trace_id: str) -> None:
            fields = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-01"}
            http.post("/skl-kmeans/api/skl-kmeans", json=POINTS, headers=fields).raise_for_status()

        def of(trace_id: str) -> list[tuple[str, Any]]:
            while not bodies.empty():
                spans.extend(read(bodies.get()))
            return [each for each in spans if each[1].trace_id.hex() == trace_id]

        url = f"{gateway.admin_url}/api/services/skl-kmeans"
        call("f" * 32)
        dead = free_port()
        with nacos.operator() as operator:
            operator.request(
                "POST",
                "instance",
                namespaceId=nacos.namespace,
                groupName=GROUP,
                serviceName="skl-kmeans",
                ip="127.0.0.1",
                port=dead,
                ephemeral="true",
            )
        wait_until(
            lambda: len(httpx.get(url, trust_env=False).json()["workers"][0]["instances"]) == 2,
            seconds=30,
            what="the gateway knows both instances",
        )
        trace_id = ""
        for number in range(1, 21):  # until one of them meets the dead instance first
            call(trace_id := f"{number:032x}")
            wait_until(
                lambda: {name for name, _ in of(trace_id)} == {"gateway", "skl-kmeans"},
                seconds=30,
                what="the spans of the gateway and of the service have arrived",
            )
            attempts = [span for _, span in of(trace_id) if span.name == "attempt"]
            if len(attempts) == 2:
                break

    tree = of(trace_id)
    by_id = {span.span_id: (name, span) for name, span in tree}
    (compute,) = (span for _, span in tree if span.name == "compute")
    service_name, served = by_id[compute.parent_span_id]
    _, answered = by_id[served.parent_span_id]
    gateway_name, request = by_id[answered.parent_span_id]
    (failed,) = (span for _, span in tree if span.name == "attempt" and span != answered)

    assert (service_name, gateway_name) == ("skl-kmeans", "gateway")
    assert request.parent_span_id.hex() == CLIENT_SPAN
    assert failed.parent_span_id == request.span_id
    assert told(answered, "gateway.outcome") == "answered"
    assert told(failed, "gateway.outcome") == "refused"
    assert told(answered, "gateway.retry_after_outcome") == "refused"
    assert told(failed, "server.address") == f"127.0.0.1:{dead}"
    assert told(served, "request_id") == told(request, "request_id") != ""
    wait_until(
        lambda: f'"trace_id":"{trace_id}"' in gateway.log.read_text(),
        seconds=30,
        what="the access log has the trace's id",
    )
