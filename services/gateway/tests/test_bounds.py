"""What must stay bounded: memory under slow connections, the log, the keep-alive race, parsers."""

import asyncio
import contextlib
import gc
import math
import os
import random
import resource
import select
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import h11
import httptools
import pytest
from failover import Outcome
from gateway.downstream.pipeline import PipelinedRequest
from gateway.http.heads import Head
from gateway.proxy.context import PortLimits
from gateway.telemetry.access_log import MAX_LINES, AccessLog
from gateway.telemetry.records import RequestRecord
from hypothesis import HealthCheck, given, settings, strategies as st

pytestmark = pytest.mark.anyio
GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n"
PER_CONNECTION = 16 * 1024
"""Bytes that a connection with half a head of 1 KiB may cost."""
SLOW = """
import socket, sys
count, port = map(int, sys.argv[1:])
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
for one in held:
    one.sendall(b"GET /car-evaluation/x HTTP/1.1\\r\\nHost: h\\r\\nX-Slow: " + b"a" * 1024)
sys.stdin.read()
"""
"""Opens connections that never finish their heads, until its input ends."""


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture
def descriptors():
    """Raises the limit on open files as far as it is needed and allowed, for one test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def need(count: int) -> None:
        if before[1] < count:
            pytest.skip(f"{count} open files are not allowed here: raise ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], count), before[1]))

    yield need
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_slow_connections_cost_little_and_keep_nobody_out(world, descriptors, count: int):
    """Each costs at most 16 KiB; a good request is answered; one too many is told so."""
    descriptors(count + 500)
    instance = await world.instance()
    gateway = await world.gateway(
        instance, port_limits=PortLimits(connections=count + 1, head=300.0)
    )
    assert (await gateway.call()).status == 200
    await world.until(lambda: not gateway.port.connections, "the first connection's end")
    gc.collect()
    before = resident()

    slow = subprocess.Popen(  # noqa: ASYNC220 - started and ended without a wait for this loop
        [sys.executable, "-c", SLOW, str(count), str(gateway.port.address[1])],
        stdin=subprocess.PIPE,
    )
    world.stack.callback(slow.communicate)
    await world.until(
        lambda: sum(one.idle_since == math.inf for one in gateway.port.connections) == count
    )

    assert (resident() - before) / count < PER_CONNECTION
    assert (await gateway.call()).status == 200
    await world.until(lambda: len(gateway.port.connections) == count, "the good one's end")
    last = await gateway.connect()
    last.send(GET)
    await world.until(lambda: len(gateway.port.connections) == count + 1)
    refused = await gateway.ask(GET + b"\r\n")
    assert refused.status == 503
    assert refused.one("retry-after") == "1"


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_a_body_in_small_chunks_costs_what_it_is_long(world, size: int):
    """What is kept of it for another attempt is not an object for each chunk."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    body = bytes(i % 251 for i in range(60_000))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    wire.send(b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\n")
    tracemalloc.start()
    try:
        wire.send(b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(chunks)
        await wire.writer.drain()
        await world.until(
            lambda: [one.body.size for one in gateway.context.active] == [len(body)], "the body"
        )
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    wire.send(b"0\r\n\r\n")

    assert (await wire.reply()).status == 200
    assert instance.executed[0].body == body
    assert held < 3 * len(body), "the body, and at most as much twice for all the rest"


def test_what_was_sent_ahead_costs_what_it_is_long():
    """A request that waits for its turn is kept in one piece too."""
    waiting = PipelinedRequest(Head.unreadable())
    tracemalloc.start()
    try:
        for _ in range(30_000):
            waiting.keep(b"%b" % b"ab")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 2 * 60_000


async def test_chunks_that_were_sent_ahead_arrive(world):
    """In order and whole, with the request that they belong to."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    head = b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\n"
    chunks = b"".join(b"2\r\n%02d\r\n" % number for number in range(100)) + b"0\r\n\r\n"
    wire.send(2 * (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))

    assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
    assert [one.body for one in instance.executed] == [
        b"".join(b"%02d" % number for number in range(100))
    ] * 2


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_the_keep_alive_race_is_never_seen(world, count: int):
    """An instance closes connections at the moment of their reuse; declared requests all succeed.

    Every sixteenth answer is the last of its connection, so the budget of 20 % covers the race.
    """
    chance = random.Random(7)  # noqa: S311 - moments, not secrets

    async def closing(instance, wire):
        for _ in range(16):
            await instance.take(wire)
            wire.send(world.OK)
        await asyncio.sleep(chance.random() * 0.001)
        wire.writer.close()

    instances = [await world.instance(closing), await world.instance(closing)]
    gateway = await world.gateway(*instances)
    request = b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"

    async def client(share: int) -> set[int]:
        wire = await gateway.connect()
        statuses = set()
        for _ in range(share):
            wire.send(request)
            statuses.add((await wire.reply()).status)
            await asyncio.sleep(chance.random() * 0.001)
        return statuses

    answered = await asyncio.gather(*(client(count // 4) for _ in range(4)))

    assert set.union(*answered) == {200}
    outcomes = {outcome for _, _, outcome in gateway.context.counters.attempt_outcomes}
    hedged = Outcome.ABANDONED  # on a machine that was busy for 50 ms
    assert outcomes <= {Outcome.ANSWERED, Outcome.STALE, hedged}
    assert sum(len(one.executed) for one in instances) >= count
    if count > 500:
        assert Outcome.STALE in outcomes, "the race was not met"


async def test_a_stuck_log_stops_nobody(world):
    """Nobody reads standard output: requests go on, lines are kept up to a bound and counted."""
    reading, writing = os.pipe()
    filling = _fill(writing)
    gateway = await world.gateway(await world.instance())
    log = AccessLog(time.time, writing)
    gateway.context.counters.log = log
    record = RequestRecord(Head.unreadable(), b"127.0.0.1", b"id", 0.0)
    log(record, 200, 0, "answered", 1.0)
    taken = 1
    try:
        await world.until(lambda: not log.waiting, "the writer stands before the full pipe")
        while not log.dropped:
            began = time.monotonic()
            log(record, 200, 0, "answered", 1.0)
            taken += 1
            assert time.monotonic() - began < 1.0
            if taken % 1000 == 0:
                await asyncio.sleep(0)
        assert log.waiting == MAX_LINES

        assert (await gateway.call()).status == 200
        assert log.dropped == 2
        began = time.monotonic()
        log.close()
        assert time.monotonic() - began < 2.0, "the end does not wait for a reader either"
    finally:
        lines = []

        def read() -> None:
            with os.fdopen(reading, "rb") as pipe:
                lines.extend(pipe)

        reader = threading.Thread(target=read)
        reader.start()
        log.close()
        await world.until(lambda: not log.running, "the writer's end")
        os.close(writing)
        reader.join(10.0)
    assert len(lines) + log.dropped == filling + taken + 1


def _fill(pipe: int) -> int:
    """Fill a pipe with empty lines, so that whoever writes next waits for a reader."""
    os.set_blocking(pipe, False)
    filling = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filling += os.write(pipe, b"\n" * select.PIPE_BUF)
    os.set_blocking(pipe, True)
    return filling


class Parsed:
    """A head as llhttp reads it."""

    def __init__(self, raw: bytes) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(raw)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        self.fields.append((name.lower(), value))


NAMES = st.sampled_from(
    ["X-A", "x-b", "Accept", "Cookie", "Connection", "Content-Length", "Transfer-Encoding", "TE",
     "Upgrade", "Host", "Via", "Expect", "X-Forwarded-For", "Trailer", "X!#$%&'*+-.^_`|~"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"0", b"3", b"chunked", b"close", b"x-a, x-b", b"h", b"", b"a,b", b"\tq "]),
    st.binary(max_size=20).filter(lambda value: not set(value) & {0, 10, 13}),
)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    target=TARGETS,
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=8),
)
async def test_two_parsers_read_the_same_in_what_is_forwarded(world, method, target, fields):
    """Whatever a client sends, an instance's parser does not decide what it means (smuggling)."""
    instance = await world.instance()
    gateway = await world.gateway(instance, port_limits=PortLimits(body=0.2))
    lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in fields)
    wire = await gateway.connect()
    start = f"{method} /car-evaluation/{target} HTTP/1.1\r\nHost: h\r\n".encode()
    wire.send(start + lines + b"\r\n3\r\nabc\r\n0\r\n\r\n")
    await wire.reply()
    wire.close()

    for request in instance.executed:
        ours = Parsed(request.raw)
        other = h11.Connection(h11.SERVER)
        other.receive_data(request.raw)
        theirs = other.next_event()
        assert isinstance(theirs, h11.Request)
        assert (theirs.method, theirs.target) == (ours.method, ours.target)
        assert [(name, value.strip()) for name, value in theirs.headers] == [
            (name, value.strip()) for name, value in ours.fields
        ]
