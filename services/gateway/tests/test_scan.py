"""The scan of an ordinary head: llhttp reads alike what it accepts; all else is llhttp's."""

import asyncio
import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sysconfig
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import pytest
from gateway.http import heads, scan
from gateway.http.framing import MAX_FIELDS, MAX_HEAD_BYTES
from gateway.http.heads import HANDLED, RESPONSE_HANDLED, FieldCollector
from hypothesis import HealthCheck, given, settings, strategies as st

BOUNDS = {"most_fields": MAX_FIELDS, "most_bytes": MAX_HEAD_BYTES}


@pytest.fixture(scope="session", name="head_scan")
def _head_scan(program, tmp_path_factory) -> Any:
    """The class that scans: the compiled form's, or its source compiled for these tests."""
    if str(scan.__file__).endswith(".so"):
        return scan.HeadScan
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program(compiler[0], "gcc libc6-dev python3-dev")
    source = Path(str(scan.__file__)).with_suffix(".c")
    module = tmp_path_factory.mktemp("scan") / f"scan{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_path('include')}"
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-cast-function-type")
    options = ("-O2", "-shared", "-fPIC", *warnings, include)
    subprocess.run([*compiler, *options, str(source), "-o", str(module)], check=True)
    spec = importlib.util.spec_from_file_location("scan", module)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.HeadScan


@pytest.fixture(scope="session", name="scan_request")
def _scan_request(head_scan) -> Callable[[bytes], Any]:
    return head_scan(HANDLED, heads.PARSED, **BOUNDS).request


@pytest.fixture(scope="session", name="scan_response")
def _scan_response(head_scan) -> Callable[[bytes], Any]:
    return head_scan(RESPONSE_HANDLED, heads.PARSED, **BOUNDS).response


@dataclass
class Parsed:
    """The first message in bytes, as llhttp and the collector of fields read it."""

    raw: bytes
    handled_names: frozenset[bytes]
    parser: Any = None
    url: bytes = b""
    lines: bytes | None = None
    handled: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    kept_alive: bool = False

    def __post_init__(self) -> None:
        self.fields = FieldCollector(self.handled_names, MAX_FIELDS)
        self.fields.in_head = True
        of_request = self.handled_names is HANDLED
        make = httptools.HttpRequestParser if of_request else httptools.HttpResponseParser
        self.parser = make(self)
        self.parser.feed_data(self.raw)

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the target."""
        if self.lines is None:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        if self.lines is None:
            self.fields.on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        if self.lines is None:
            self.handled = self.fields.handled
            assert self.fields.field_count <= MAX_FIELDS
            self.lines = self.fields.end_head()
            self.kept_alive = self.parser.should_keep_alive()
            assert self.parser.get_http_version() == "1.1"
            assert not self.parser.should_upgrade()

    def on_body(self, data: bytes) -> None:
        """Take bytes of the body."""
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        """Take the end of the message."""
        self.complete = True


def check_request(raw: bytes, scanned: Any) -> None:
    """Fail unless llhttp reads the request as the scan does."""
    method, target, lines, handled, head_bytes, length = scanned
    whole = raw[: head_bytes + length]
    parsed = Parsed(whole, HANDLED)
    assert (parsed.parser.get_method(), parsed.url) == (method, target)
    assert (parsed.lines, parsed.handled, parsed.kept_alive) == (lines, handled, True)
    assert parsed.body == raw[head_bytes : head_bytes + length]
    assert parsed.complete is (len(raw) >= head_bytes + length)
    assert Parsed(raw[: head_bytes - 1], HANDLED).lines is None
    assert head_bytes <= MAX_HEAD_BYTES


def check_response(raw: bytes, scanned: Any) -> None:
    """Fail unless llhttp reads the response as the scan does."""
    status, lines, handled, head_bytes, length = scanned
    parsed = Parsed(raw, RESPONSE_HANDLED)
    assert (parsed.parser.get_status_code(), parsed.lines) == (status, lines)
    assert (parsed.handled, parsed.kept_alive) == (handled, True)
    assert parsed.body == raw[head_bytes:]
    assert parsed.complete is (len(raw) == head_bytes + length)
    assert Parsed(raw[: head_bytes - 1], RESPONSE_HANDLED).lines is None


CURL = (
    b"POST /v1/models/a%20b:predict?x=1&y=[2] HTTP/1.1\r\nHost: shop.example:8080\r\n"
    b"User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4\r\n\r\n"
).replace(b"[2]", b"2")
PYTHON = (
    b"GET /shop/items HTTP/1.1\r\nHost: h\r\nUser-Agent: python-requests/2.32\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
    b"X-Request-Id: abc\r\ntraceparent: 00-1-2-01\r\n\r\n"
)
NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 27 Nov 2026 05:44:52 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 3\r\nConnection: keep-alive\r\n"
    b'ETag: "65"\r\n\r\n'
)
UVICORN = (
    b"HTTP/1.1 422 Unprocessable Entity\r\ndate: Fri, 27 Nov 2026 05:44:52 GMT\r\n"
    b"server: uvicorn\r\ncontent-length: 0\r\ncontent-type: application/json\r\n\r\n"
)


def test_ordinary_requests_are_scanned(scan_request) -> None:
    """The bytes of usual clients take the short way; the parts are those of the bytes."""
    assert scan_request(CURL + b"1234GET /") == (
        b"POST",
        b"/v1/models/a%20b:predict?x=1&y=2",
        b"User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\n",
        {b"host": b"shop.example:8080", b"content-length": b"4"},
        len(CURL),
        4,
    )
    scanned = scan_request(PYTHON)
    assert scanned is not None
    assert scanned[3] == {
        b"host": b"h", b"connection": b"keep-alive", b"x-request-id": b"abc",
        b"traceparent": b"00-1-2-01",
    }  # fmt: skip
    for raw in (CURL, CURL + b"12", CURL + b"1234GET /", PYTHON, PYTHON + CURL):
        check_request(raw, scan_request(raw))


def test_ordinary_responses_are_scanned(scan_response) -> None:
    """The bytes of usual servers take the short way."""
    status, _, handled, head_bytes, length = scan_response(NGINX + b"abc")
    assert (status, head_bytes, length) == (200, len(NGINX), 3)
    assert handled == {b"content-length": b"3", b"connection": b"keep-alive"}
    for raw in (NGINX, NGINX + b"ab", NGINX + b"abc", UVICORN):
        check_response(raw, scan_response(raw))


START, HOST = b"GET / HTTP/1.1\r\n", b"Host: h\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"G", START, START + HOST, START + HOST + b"\r", START + HOST + b"\n",
        b"\r\n" + START + HOST + b"\r\n", b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", b"GET h HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /#f HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /\x80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        *(
            START + HOST + line + b"\r\n\r\n"
            for line in (
                b"X:1", b"X:  1", b"X:\t1", b"X: ", b"X:", b"X", b"X : 1", b" X: 1", b": 1",
                b"X: 1 ", b"X: 1\t", b"X: a\tb", b"X: a\0b", b"X: \x7f", b"X: \xe9", b"X: a\rb",
                b"X: a\nb", b"X: a\r\n b", b"X\0: 1", b"X(: 1", b"X\xe9: 1",
                b"Host: h", b"Via: 1.1 a\r\nvia: 1.1 b", b"Transfer-Encoding: chunked",
                b"Upgrade: h2c", b"Proxy-Connection: keep-alive", b"Connection: close",
                b"Connection: keep-alive, x", b"Content-Length: +1", b"Content-Length: 1, 1",
                b"Content-Length: 0x1", b"Content-Length: 1234567890123456789",
                b"Content-Length: 1\r\nContent-Length: 1", b"X: " + b"a" * MAX_HEAD_BYTES,
                b"X: 1\r\n" * MAX_FIELDS + b"X: 1",
            )
        ),
    ],
)  # fmt: skip
def test_what_asks_for_judgement_is_left_to_the_parser(scan_request, raw: bytes) -> None:
    """A scan refuses nothing: it is silent on whatever is not plain, partial or out of bounds."""
    assert scan_request(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        b"HTTP/1.1 304 X\r\nContent-Length: 0\r\n\r\n", NGINX[:-1], NGINX + b"abcd",
        NGINX.replace(b"1.1", b"1.0"), NGINX.replace(b"200", b"20"), NGINX.replace(b"200", b"700"),
        NGINX.replace(b"keep-alive", b"close"), NGINX.replace(b"200 OK", b"200"),
        NGINX.replace(b"Server", b"Transfer-Encoding"), b"HTTP/1.1 2", b"HTTP/1.1 200 O\0K\r\n\r\n",
    ],
)  # fmt: skip
def test_responses_with_rules_of_their_own_are_left_to_the_parser(scan_response, raw) -> None:
    """Interim and bodyless ones, and those that no `Content-Length` of theirs ends."""
    assert scan_response(raw) is None


NAMES = st.sampled_from(
    [b"Host", b"host", b"Content-Length", b"Connection", b"Accept", b"Cookie", b"Via", b"Expect",
     b"X-Request-Id", b"Transfer-Encoding", b"Upgrade", b"Proxy-Connection", b"Keep-Alive", b"TE",
     b"Trailer", b"X-A_b.c", b"Location", b"Retry-After", b"X" * 33, b"x-original-forwarded-for"]
)  # fmt: skip
VALUES = st.sampled_from(
    [b"h", b"0", b"3", b"003", b"keep-alive", b"Keep-Alive", b"close", b"chunked", b"a b", b"a,b",
     b"100-continue", b"~" * 40, b"", b" x", b"x ", b"websocket"]
) | st.binary(max_size=12)  # fmt: skip
SEPARATORS = st.sampled_from([b": "] * 8 + [b":", b" : ", b":\t"])
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n "])
LINES = st.lists(
    st.one_of(
        st.sampled_from([b"Host: h\r\n", b"Content-Length: 3\r\n", b"Accept: */*\r\n"]),
        st.tuples(NAMES, SEPARATORS, VALUES, ENDS).map(b"".join),
    ),
    max_size=8,
).map(b"".join)
METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"HEAD", b"PATCH", b"DELETE", b"OPTIONS", b"PRI"]
)
TARGETS = st.one_of(
    st.sampled_from([b"/", b"/a/b?c=d", b"//x", b"*", b"/%2e", b"http://h/"]),
    st.from_regex(re.compile(rb"/[!-~]*"), fullmatch=True),
)
REQUESTS = st.builds(
    lambda method, target, lines, rest: (
        method + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n" + rest
    ),
    METHODS, TARGETS, LINES, st.sampled_from([b"", b"abc", b"abcGET / HTTP/1.1\r\n"]),
)  # fmt: skip
RESPONSES = st.builds(
    lambda status, reason, lines, body: (
        b"HTTP/1.1 %d" % status + reason + b"\r\n" + lines + b"\r\n" + body
    ),
    st.sampled_from([200, 201, 204, 304, 404, 500, 503, 599]) | st.integers(0, 1000),
    st.sampled_from([b" OK", b" Not Found", b" ", b"", b"  x", b" \xe9"]),
    LINES,
    st.sampled_from([b"", b"abc", b"ab", b"abcd"]),
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.binary(max_size=3)), max_size=2)


def changed(raw: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Take bytes out at some places, and put others in."""
    for place, out, into in changes:
        at = int(place * len(raw))
        raw = raw[:at] + into + raw[at + out :]
    return raw


MANY = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(raw=REQUESTS, changes=CHANGES)
def test_the_parser_reads_each_scanned_request_alike(scan_request, raw, changes) -> None:
    """Valid, nearly valid, mutated, pipelined: nothing is scanned that llhttp reads otherwise."""
    raw = changed(raw, changes)
    scanned = scan_request(raw)
    if scanned is not None:
        check_request(raw, scanned)


@MANY
@given(raw=RESPONSES, changes=CHANGES)
def test_the_parser_reads_each_scanned_response_alike(scan_response, raw, changes) -> None:
    """Valid, nearly valid, mutated: nothing is scanned that llhttp reads otherwise."""
    raw = changed(raw, changes)
    scanned = scan_response(raw)
    if scanned is not None:
        check_response(raw, scanned)


@pytest.mark.parametrize("at", range(len(CURL)))
def test_no_byte_in_any_place_is_misread(scan_request, scan_response, at: int) -> None:
    """Each of the 256 bytes in each place of an ordinary head."""
    for byte in range(256):
        raw = CURL[:at] + bytes([byte]) + CURL[at + 1 :]
        scanned = scan_request(raw)
        if scanned is not None:
            check_request(raw, scanned)
        raw = NGINX[:at] + bytes([byte]) + NGINX[at + 1 :]
        answer = scan_response(raw)
        if answer is not None:
            check_response(raw, answer)


def test_a_scan_keeps_no_memory(scan_request, scan_response) -> None:
    """Accepted or left in any place, 100,000 heads leave nothing behind."""
    requests = [CURL, CURL[:-2], CURL[:-2] + b"Host: i\r\n\r\n", CURL[:-2] + b"TE\r\n", b"\0"]
    responses = [NGINX, NGINX[:-2], NGINX + b"abcd", NGINX[:-2] + b"TE\r\n", b"\0"]

    def work(times: int) -> None:
        for _ in itertools.repeat(None, times):
            for request, response in zip(requests, responses, strict=True):
                scan_request(request)
                scan_response(response)

    work(10)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work(10_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096


def test_a_scan_that_cannot_be_is_an_error(head_scan) -> None:
    """Names that do not fit, and what is no bytes, say so instead of being misread."""
    with pytest.raises(ValueError, match="at most 32"):
        head_scan(frozenset({b"x" * 33}), frozenset(), **BOUNDS)
    with pytest.raises(ValueError, match="more than 64"):
        head_scan(frozenset(b"x%d" % n for n in range(65)), frozenset(), **BOUNDS)
    one = head_scan(frozenset({b"host"}), frozenset(), **BOUNDS)
    with pytest.raises(TypeError, match="not str"):
        one.request("GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(TypeError, match="not memoryview"):
        one.response(memoryview(NGINX))


PIECES = st.sampled_from(
    [
        b"GET /car-evaluation/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: one\r\n\r\n",
        (b"POST /car-evaluation/b HTTP/1.1\r\nHost: h\r\nX-Request-Id: two\r\nCookie: a=b\r\n"
        b"Content-Length: 5\r\nAccept: c\r\n\r\nhello"),
        (b"POST /car-evaluation/c HTTP/1.1\r\nHost: h\r\nX-Request-Id: three\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (b"HEAD /car-evaluation/d HTTP/1.1\r\nHost: h\r\nX-Request-Id: four\r\n"
        b"Connection: keep-alive\r\n\r\n"),
        b"POST /nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nno",
        b"GET /car-evaluation/e HTTP/1.1\r\nX-Request-Id: five\r\n\r\n",
        b"GET /car-evaluation/f HTTP/1.1\r\nHost: h\r\nX-Request-Id: six\r\nBad\r\n\r\n",
        (b"GET /car-evaluation/g HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nX-Request-Id: seven\r\n"
        b"Connection: Upgrade\r\n\r\n"),
        b"\r\n",
    ]
)  # fmt: skip
VARYING = re.compile(
    rb"(X-Request-Timeout-Ms|X-Forwarded-Port|Server-Timing|Date|X-Request-Id): [^\r]*"
    rb"|\"request_id\":\"[^\"]*\""
)
"""Bytes that no two requests have alike."""


LAST = (
    b"GET /car-evaluation/h HTTP/1.1\r\nHost: h\r\nX-Request-Id: last\r\nConnection: close\r\n\r\n"
)


async def _answers(world, packets: list[bytes]) -> tuple[list[bytes], bytes]:
    """Send packets, each after the one before was read; return what instance and client got."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    for packet in packets:
        wire.send(packet)
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        got = await wire.reader.read()
    wire.close()
    port = b":%d" % instance.port
    sent = [request.raw + request.body for request in instance.executed]
    return [VARYING.sub(b"", raw.replace(port, b"")) for raw in sent], VARYING.sub(b"", got)


@pytest.mark.anyio
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pieces=st.lists(PIECES, max_size=4), places=st.lists(st.floats(0, 1), max_size=3))
async def test_the_borders_of_packets_change_nothing(world, pieces, places) -> None:
    """Whole, a head is scanned; cut, it is parsed: instance and client get the same bytes."""
    said = b"".join([*pieces, LAST])
    cuts = sorted({0, len(said), *(int(place * len(said)) for place in places)})
    whole = await _answers(world, [said])
    packets = [said[start:end] for start, end in itertools.pairwise(cuts)]

    assert await _answers(world, packets) == whole
    assert await _answers(world, [said[:-1], said[-1:]]) == whole
    assert whole[0] or b"HTTP/1.1 400" in whole[1]
