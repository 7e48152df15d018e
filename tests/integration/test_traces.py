"""One request, one tree of spans: client, gateway, attempts, service, stages, calls by name."""

import base64
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import uvicorn
from failover import Instance
from google.protobuf import json_format
from nacos_client import AsyncNacosTransport
from nacos_client.testing import FakeNacos
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from service_kit import ProcessSettings, RequestEdge, trace_call, traced
from stack.access import GROUP, NacosAccess
from stack.ports import free_port
from stack.waiting import wait_until

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


@pytest.mark.nacos
@pytest.mark.timeout(300)
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


def answering(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return an application that answers 200 after `app` has seen the request."""

    async def answer(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    return answer


@contextmanager
def listening(app: Callable[..., Any]) -> Iterator[int]:
    """Serve an application; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


Ask = Callable[..., Any]


@contextmanager
def asker(address: str | None, arrived: list[dict[bytes, bytes]]) -> Iterator[tuple[Ask, int]]:
    """A service that calls another by name, which tries an address first where nobody listens.

    Gives what asks it, and the port where nobody listens; `arrived` gets the fields of the calls.
    """
    variables = {} if address is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    settings = {
        name: ProcessSettings(SERVICE_NAME=name, PORT=1, OTEL_TRACES_SAMPLER_ARG=0.0, **variables)
        for name in ("asker", "asked")
    }

    async def note(scope: Any) -> None:
        arrived.append(dict(scope["headers"]))

    with (
        traced(settings["asker"], "1") as first,
        traced(settings["asked"], "1") as second,
        listening(RequestEdge(answering(note), tracer=second)) as port,
    ):
        fake, dead = FakeNacos(), free_port()
        fake.put_instance("asked", Instance("127.0.0.1", dead))  # in the caller's own cluster
        fake.put_instance("asked", Instance("127.0.0.1", port, cluster="ELSEWHERE"))

        async def ask(**fields: str) -> None:
            async with fake.client() as nacos:
                by_name = AsyncNacosTransport(nacos, trace=trace_call)
                async with httpx.AsyncClient(transport=by_name) as caller:

                    async def call(_: Any) -> None:
                        (await caller.get("http://asked/x")).raise_for_status()

                    edge = httpx.ASGITransport(RequestEdge(answering(call), tracer=first))
                    async with httpx.AsyncClient(transport=edge, base_url="http://a") as client:
                        (await client.get("/", headers=fields)).raise_for_status()

        yield ask, dead


@pytest.mark.anyio
async def test_a_call_by_name_is_a_part_of_the_request_that_makes_it(
    collector: tuple[str, "queue.Queue[bytes]"],
) -> None:
    """Its attempts are parts of the caller's span; the called service's is part of the second's."""
    address, bodies = collector
    trace_id, arrived = "e" * 32, list[dict[bytes, bytes]]()
    fields = {
        "traceparent": f"00-{trace_id}-{CLIENT_SPAN}-01",
        "tracestate": "vendor=1",
        "baggage": "user=7",
    }
    with asker(address, arrived) as (ask, dead):
        await ask(**fields)
    spans: list[tuple[str, Any]] = []
    while not bodies.empty():
        spans.extend(read(bodies.get()))
    by_id = {span.span_id: (name, span) for name, span in spans}
    failed, retry = (span for _, span in spans if span.name == "attempt")
    (served,) = (span for name, span in spans if name == "asked")
    caller_name, caller = by_id[retry.parent_span_id]

    assert len(spans) == 4
    assert served.parent_span_id == retry.span_id
    assert failed.parent_span_id == caller.span_id
    assert {span.trace_id.hex() for _, span in spans} == {trace_id}
    assert caller_name == "asker"
    assert caller.parent_span_id.hex() == CLIENT_SPAN
    assert (told(failed, "call.outcome"), told(retry, "call.outcome")) == ("refused", "answered")
    assert told(retry, "call.retry_after_outcome") == "refused"
    assert told(failed, "server.address") == f"127.0.0.1:{dead}"
    assert told(retry, "call.service") == "asked"
    assert (arrived[0][b"tracestate"], arrived[0][b"baggage"]) == (b"vendor=1", b"user=7")


@pytest.mark.anyio
async def test_a_call_by_name_passes_on_that_its_request_is_not_sampled(
    collector: tuple[str, "queue.Queue[bytes]"],
) -> None:
    """By chance or by its caller: the called service does not draw again, and there is no span."""
    address, bodies = collector
    arrived: list[dict[bytes, bytes]] = []
    unsampled = f"00-{'d' * 32}-{CLIENT_SPAN}-00"
    with asker(address, arrived) as (ask, _):
        await ask()
        await ask(traceparent=unsampled)
    drawn, given = arrived

    assert drawn[b"traceparent"].endswith(b"-00")
    assert given[b"traceparent"] == unsampled.encode()
    assert bodies.empty()


@pytest.mark.anyio
async def test_a_service_without_a_collector_passes_a_trace_on() -> None:
    """Its caller's three fields go on as they came; without them there are none."""
    arrived: list[dict[bytes, bytes]] = []
    fields = {"traceparent": f"00-{'c' * 32}-{CLIENT_SPAN}-01", "tracestate": "a=1", "baggage": "b"}
    with asker(None, arrived) as (ask, _):
        await ask(**fields)
        await ask()
    passed, none = arrived

    assert {name: passed[name.encode()].decode() for name in fields} == fields
    assert not {name.encode() for name in fields} & none.keys()


@pytest.mark.anyio
async def test_a_call_outside_of_any_request_begins_nothing() -> None:
    """There is no field of a trace but those that the caller wrote."""
    arrived: list[dict[bytes, bytes]] = []

    async def note(scope: Any) -> None:
        arrived.append(dict(scope["headers"]))

    given = {"traceparent": f"00-{'b' * 32}-{CLIENT_SPAN}-01"}
    fake = FakeNacos()
    with listening(answering(note)) as port:
        fake.put_instance("asked", Instance("127.0.0.1", port))
        async with fake.client() as nacos:
            by_name = AsyncNacosTransport(nacos, trace=trace_call)
            async with httpx.AsyncClient(transport=by_name) as client:
                await client.get("http://asked/")
                await client.get("http://asked/", headers=given)

    assert b"traceparent" not in arrived[0]
    assert arrived[1][b"traceparent"].decode() == given["traceparent"]
