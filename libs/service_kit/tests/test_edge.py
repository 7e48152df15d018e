"""What happens to every request before and after the application."""

import asyncio
import gzip
import json
import logging
import re
import subprocess
import sys
import time

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import REGISTRY
from pydantic import BaseModel
from service_kit import (
    FastPath,
    HealthChecks,
    Problem,
    RequestEdge,
    add_health,
    logs,
    require_json,
)
from service_kit.content_codings import WORTH_PACKING_BYTES

pytestmark = pytest.mark.anyio
LIMIT = 1000
JSON = {"content-type": "application/json"}
OWN_SECONDS = 20.0


class Number(BaseModel):
    """A body with one field."""

    number: int


@pytest.fixture
def health() -> HealthChecks:
    return HealthChecks("test", "1.2.3")


def add_answers(app: FastAPI) -> None:
    """Add routes that answer as many bytes as they are asked for."""

    @app.get("/text")
    async def text(size: int) -> Response:
        return Response(b"a" * size, media_type="text/plain")

    @app.get("/picture")
    async def picture(size: int) -> Response:
        return Response(b"a" * size, media_type="image/png")

    @app.get("/packed")
    async def packed(size: int) -> Response:
        return Response(b"a" * size, headers={"Content-Encoding": "identity"})

    @app.get("/parts")
    async def parts(size: int) -> Response:
        return StreamingResponse(iter([b"a" * (size - 1), b"a"]), media_type="text/plain")


@pytest.fixture
async def client(health):
    app = FastAPI()
    add_health(app, health)

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, object]:
        left = request.scope["deadline"].moment - time.monotonic()
        body = await request.body()
        return {"bytes": len(body), "seconds_left": left}

    @app.post("/number")
    async def number(number: Number) -> int:
        return number.number

    @app.post("/json")
    async def only_json(request: Request) -> str:
        require_json(request.scope)
        return "ok"

    @app.get("/slow")
    async def slow(request: Request) -> None:
        raise request.scope["deadline"].problem()

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("secret detail of /srv/app.py")

    @app.get("/busy")
    async def busy() -> None:
        raise Problem(503, "later", type="overloaded", headers={"Retry-After": "7"}, extra=1)

    add_answers(app)
    transport = httpx.ASGITransport(
        RequestEdge(app, max_body_bytes=LIMIT, timeout_seconds=OWN_SECONDS)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= document.keys()
    assert "Traceback" not in answer.text
    return document


async def test_wellformed_request_id_is_kept(client):
    """A caller's well-formed X-Request-Id is returned."""
    answer = await client.get("/livez", headers={"X-Request-Id": "Order-7.a_b"})

    assert answer.headers["x-request-id"] == "Order-7.a_b"


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, 'x"y', "<script>"])
async def test_malformed_request_id_is_replaced(client, given):
    """A malformed id is never returned or logged; a new one is made, different each time."""
    answers = [await client.get("/livez", headers={"X-Request-Id": given}) for _ in range(2)]

    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9a-f]{17,}", one) for one in ids)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/livez", 405), ("GET", "/bug", 500)],
)
async def test_framework_errors_are_problems(client, method, path, status):
    """Errors of the framework and bugs are problem documents too, and tell no internals."""
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert "srv" not in json.dumps(problem(answer))


async def test_bug_is_logged_once_with_its_request_id(client, caplog):
    """The traceback goes to the log, under the id that the caller was given."""
    with caplog.at_level(logging.ERROR):
        await client.get("/bug", headers={"X-Request-Id": "find-me"})

    (record,) = caplog.records
    assert record.exc_info
    assert record.getMessage() == "request_failed"


async def test_invalid_field_is_named(client):
    """A field of the wrong type is 422 and named, with its value."""
    document = problem(await client.post("/number", json={"number": "many"}))

    (error,) = document["errors"]
    assert error["field"] == "body.number"
    assert error["value"] == "many"


async def test_truncated_json_is_400(client):
    """A body that is no JSON is 400, as its shape cannot be spoken of."""
    headers = {"content-type": "application/json"}
    document = problem(await client.post("/number", content=b'{"number": 1', headers=headers))

    assert document["status"] == 400


@pytest.mark.parametrize("declared", ["application/json", "application/cloudevents+json", ""])
async def test_a_byte_order_mark_before_json_is_no_part_of_it(client, declared):
    """Programs on Windows write one before JSON; a body of another type keeps its own."""
    body = '\ufeff{"number": 1}'.encode()

    assert (await client.post("/number", content=body, headers=JSON)).json() == 1
    for kind, size in ((declared, len('{"number": 1}')), ("text/csv", len(body))):
        seen = await client.post("/echo", content=body, headers={"content-type": kind})
        assert seen.json()["bytes"] == size


async def test_problem_carries_headers_and_members(client):
    """A problem's own headers and members reach the caller."""
    answer = await client.get("/busy")

    assert answer.headers["retry-after"] == "7"
    assert problem(answer)["extra"] == 1


async def test_large_body_is_refused_by_its_length(client):
    """A declared length past the limit is 413 before a byte of the body is read."""
    assert problem(await client.post("/echo", content=b"x" * (LIMIT + 1)))["status"] == 413
    assert (await client.post("/echo", content=b"x" * LIMIT)).json()["bytes"] == LIMIT


async def test_large_chunked_body_is_refused(client):
    """A body without a length is counted as it arrives."""

    async def chunks():
        for _ in range(1000):
            yield b"x" * 100

    assert problem(await client.post("/echo", content=chunks()))["status"] == 413


async def test_a_compressed_body_is_unpacked(client):
    """The application gets a body as it was before it was packed, of at most the plain limit."""
    packed = {"Content-Encoding": "gzip"}
    taken = await client.post("/echo", content=gzip.compress(b"x" * LIMIT), headers=packed)
    larger = await client.post("/echo", content=gzip.compress(b"x" * (LIMIT + 1)), headers=packed)
    plain = await client.post("/echo", content=b"x", headers=packed)
    other = await client.post("/echo", content=b"x", headers={"Content-Encoding": "br"})

    assert taken.json()["bytes"] == LIMIT
    assert problem(larger)["limit_bytes"] == LIMIT
    assert [problem(answer)["status"] for answer in (larger, plain, other)] == [413, 400, 415]


@pytest.mark.parametrize("asked", ["gzip", "gzip;q=0", "identity"])
@pytest.mark.parametrize("path", ["/text", "/picture", "/parts", "/packed"])
@pytest.mark.parametrize("size", [WORTH_PACKING_BYTES - 1, WORTH_PACKING_BYTES, 300_000])
async def test_a_large_text_is_packed_for_who_asks(client, path, size, asked):
    """An answer that is text, large, whole and not packed yet is gzip for a client that asks."""
    answer = await client.get(path, params={"size": size}, headers={"Accept-Encoding": asked})

    is_packed = path == "/text" and asked == "gzip" and size >= WORTH_PACKING_BYTES
    assert answer.content == b"a" * size
    assert answer.headers.get("content-encoding") == (
        "gzip" if is_packed else "identity" if path == "/packed" else None
    )
    assert answer.headers.get("vary") == ("accept-encoding" if is_packed else None)
    if is_packed:
        assert int(answer.headers["content-length"]) < size / 50


@pytest.mark.parametrize(
    ("declared", "status"),
    [("application/json; charset=utf-8", 200), ("application/ld+json", 200), ("text/csv", 415)],
)
async def test_declared_content_type_counts(client, declared, status):
    """A route for JSON refuses what is declared to be something else."""
    answer = await client.post("/json", content=b"1", headers={"Content-Type": declared})

    assert answer.status_code == status


async def test_deadline_reaches_the_application(client):
    """X-Request-Timeout-Ms becomes a moment; a spent one is 504, a malformed one 400."""

    async def post(milliseconds: str) -> httpx.Response:
        return await client.post("/echo", headers={"X-Request-Timeout-Ms": milliseconds})

    assert 0 < (await post("5000")).json()["seconds_left"] <= 5
    assert problem(await post("0"))["status"] == 504
    assert problem(await post("soon"))["status"] == 400
    assert problem(await post("9" * 30))["status"] == 400


@pytest.mark.parametrize(
    ("milliseconds", "seconds", "limit"),
    [
        (None, 20.0, "20 s, the limit that the service's REQUEST_TIMEOUT_SECONDS sets"),
        ("30000", 20.0, "20 s, the limit that the service's REQUEST_TIMEOUT_SECONDS sets"),
        ("5500", 5.5, "5.5 s, the limit that the request's X-Request-Timeout-Ms sets"),
        ("0", 0, "the request's X-Request-Timeout-Ms is 0"),
    ],
)
async def test_a_late_answer_names_the_limit(client, milliseconds, seconds, limit):
    """The service's own limit counts unless the caller's is less; the 504 names the one it was."""
    headers = {"X-Request-Timeout-Ms": milliseconds} if milliseconds else {}
    document = problem(await client.get("/slow", headers=headers))

    assert document["status"] == 504
    assert document["limit_seconds"] == seconds
    assert limit in document["detail"]


async def test_a_request_without_a_deadline_has_the_service_s(client):
    """What is left of a request's time is never more than the service's own limit."""
    for headers in ({}, {"X-Request-Timeout-Ms": "600000"}):
        answer = await client.post("/echo", headers=headers)

        assert 0 < answer.json()["seconds_left"] <= OWN_SECONDS


async def test_metrics_have_routes_not_paths(client):
    """Callers cannot make metric labels: unknown paths and methods share one."""
    for path in ("/a", "/b", "/c"):
        await client.get(path)
    await client.request("BREW", "/livez")

    families = {family.name: family for family in REGISTRY.collect()}
    samples = families["http_request_duration_seconds"].samples
    labels = {(s.labels["method"], s.labels["route"]) for s in samples if "route" in s.labels}
    assert ("GET", "unmatched") in labels
    assert not {route for _, route in labels} & {"/a", "/b", "/c"}
    assert "BREW" not in {method for method, _ in labels}


async def test_readiness_names_each_check(client, health):
    """/readyz is 503 while a check fails; parts that are only shown do not count."""
    health.add("model", lambda: {"ok": True, "version": "1"})
    health.show(lambda: {"nacos": {"ok": False, "trouble": "down"}})
    assert (await client.get("/readyz")).json() == {
        "ready": True,
        "checks": {
            "model": {"ok": True, "version": "1"},
            "nacos": {"ok": False, "trouble": "down"},
        },
    }

    def broken() -> dict[str, object]:
        raise ValueError("no disk")

    health.add("disk", broken)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["disk"] == {"ok": False, "reason": "ValueError: no disk"}


async def test_spring_boot_admin_is_served(client, health):
    """/actuator/health speaks Spring Boot's words, /actuator/info has the build."""
    health.add("model", lambda: {"ok": True, "version": "1"})
    up = await client.get("/actuator/health")
    assert up.json() == {
        "status": "UP",
        "components": {"model": {"status": "UP", "details": {"version": "1"}}},
    }
    health.draining = True
    out = await client.get("/actuator/health")
    assert out.status_code == 503
    assert out.json()["status"] == "OUT_OF_SERVICE"
    info = await client.get("/actuator/info")
    assert info.json() == {"build": {"name": "test", "version": "1.2.3"}}


async def test_configuration_state_is_a_metric(client, health):
    """The version in force and a refused document are metrics."""
    state = {"ok": True, "version": "abc", "source": "nacos", "rejected": "clusters: too small"}
    health.show(lambda: {"config x": state})

    text = (await client.get("/metrics")).text

    assert 'config_info{part="config x",source="nacos",version="abc"} 1.0' in text
    assert 'config_rejected{part="config x"} 1.0' in text
    assert "service_ready 1.0" in text


async def test_the_warning_of_an_announcement_is_a_metric(client, health):
    """An alert sees that callers may not reach the announced address, though the part is well."""
    warnings = {"announcement good": None, "announcement bad": "10.0.0.1:80 does not answer"}
    health.show(
        lambda: {name: {"ok": True, "warning": reason} for name, reason in warnings.items()}
    )

    text = (await client.get("/metrics")).text

    assert 'announcement_warning{part="announcement good"} 0.0' in text
    assert 'announcement_warning{part="announcement bad"} 1.0' in text
    assert 'service_state_ok{part="announcement bad"} 1.0' in text


async def test_client_that_goes_away_is_no_error(caplog):
    """A caller that disconnects before its body is here leaves no error in the log."""

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        pytest.fail(f"nobody is there to get {message}")

    async def application(*_):
        pytest.fail("there is nothing to work on")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-length", b"5")],
    }
    async with asyncio.timeout(10):
        await RequestEdge(application)(scope, receive, send)
    assert not caplog.records


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c", False),
        ('x" y', False),
    ],
)
async def test_trace_of_the_caller_is_that_of_the_log(given, known):
    """What is logged while a request is served belongs to the trace of its `traceparent`."""
    seen = []

    async def application(_scope, _receive, send):
        seen.append(logs.trace_id.get())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(RequestEdge(application))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await asyncio.create_task(client.get("/", headers={"traceparent": given}))

    assert seen == ["0af7651916cd43dd8448eb211c80319c" if known else None]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/a/", "/a"),
        ("/a/b/?c=/", "/a/b"),
        ("/a", "/a"),
        ("/", "/"),
        ("//", "//"),
        ("/a//", "/a//"),
        ("//a/", "//a"),
        ("/a%2F", "/a/"),
        ("/a/%2F", "/a//"),
    ],
)
async def test_the_last_slash_of_a_path_is_dropped(sent, seen):
    """The application sees a path without its last slash; other slashes and the query stay."""
    found = []

    async def application(scope, _receive, send):
        found.append((scope["path"], scope["query_string"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(RequestEdge(application))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get(f"http://test{sent}")

    assert found == [(seen, sent.partition("?")[2].encode())]


async def test_the_fast_path_takes_a_path_with_a_slash():
    """A POST to the fast path's path with a slash at its end is not left to the application."""

    async def answer(_scope):
        return b"[]"

    async def application(*_):
        pytest.fail("the request took the long way")

    transport = httpx.ASGITransport(RequestEdge(FastPath(application, "/predict", answer)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/predict/")).json() == []


def test_the_first_failure_is_an_increase():
    """A service that has just started tells zero failures of either kind, which alerts ask for."""
    script = "import service_kit, prometheus_client as p; print(p.generate_latest().decode())"
    said = subprocess.check_output([sys.executable, "-c", script], text=True)

    for kind in ("internal", "wrong-answer"):
        assert f'http_problems_total{{status="500",type="{kind}"}} 0.0' in said
