"""Bodies: streamed both ways with backpressure, re-framed, cut visibly; tunnels; draining."""

import asyncio
import gc
import ssl
import time

import pytest
from gateway.proxy.context import PortLimits
from gateway.proxy.exchange import Exchange
from gateway.routing.table import Route, Table

pytestmark = pytest.mark.anyio

HEAD = b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\n"
GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
MIB = 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
async def test_uploads_arrive_whole(world, size: int, chunked: bool):
    """Either framing, on both sides of the replay size; a small chunked one gets a length."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    body = bytes(i % 251 for i in range(size))
    wire = await gateway.connect()
    if chunked:
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, size, 50_000):
            piece = body[start : start + 50_000]
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\nTrailer: dropped\r\n\r\n")
    else:
        wire.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + body)

    assert (await wire.reply()).status == 200
    (request,) = instance.executed
    assert request.body == body
    assert bool(request.all("content-length")) is (not chunked or size <= 64 * 1024)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
async def test_downloads_arrive_whole_twice(world, framing: bytes):
    """And the connections on both sides serve the next request."""
    body = bytes(i % 251 for i in range(3_000_000))
    data = body if b"Length" in framing else b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[at : at + 70_000] for at in range(0, len(body), 70_000))
    ) + b"0\r\nTrailer: x\r\n\r\n"  # fmt: skip
    instance = await world.instance(world.answering(b"HTTP/1.1 200 OK\r\n" + framing + data))
    gateway = await world.gateway(instance)
    wire = await gateway.connect()

    for _ in range(2):
        wire.send(GET)
        assert (await wire.reply()).body == body
    assert instance.connections == 1


async def test_an_answer_that_ends_with_its_connection_gets_a_frame(world):
    """HTTP/1.1 clients get chunks, so they can tell an end from a cut."""

    async def old(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        wire.writer.close()
        await wire.writer.wait_closed()

    gateway = await world.gateway(await world.instance(old))
    wire = await gateway.connect()

    for _ in range(2):
        wire.send(GET)
        reply = await wire.reply()
        assert (reply.body, reply.one("transfer-encoding")) == (b"until the end", "chunked")


@pytest.mark.parametrize(
    ("method", "status", "fields", "length"),
    [
        ("HEAD", 200, b"Content-Length: 10\r\n", ["10"]),
        ("GET", 304, b"", []),
        ("GET", 204, b"", []),
        ("GET", 204, b"Content-Length: 0\r\n", []),
        ("HEAD", 204, b"Content-Length: 5\r\n", []),
    ],
)
async def test_answers_without_a_body(world, method: str, status: int, fields: bytes, length: list):
    """HEAD, 304 and 204: no body is waited for, and both connections go on.

    A 204 loses its length, which it must not have (RFC 9110, 8.6).
    """
    head = b"HTTP/1.1 %d X\r\n%b\r\n" % (status, fields)
    instance = await world.instance(world.answering(head))
    gateway = await world.gateway(instance)
    wire = await gateway.connect()

    for _ in range(2):
        wire.send(GET.replace(b"GET", method.encode()))
        reply = await wire.reply(to=method)
        assert (reply.status, reply.all("content-length")) == (status, length)
    assert instance.connections == 1


async def test_a_100_is_not_passed_on(world):
    """A 100 of the instance is between it and the gateway, which has sent its own."""
    data = b"HTTP/1.1 100 Continue\r\nLink: x\r\n\r\n" + world.OK
    gateway = await world.gateway(await world.instance(world.answering(data)))

    reply = await gateway.call()

    assert (reply.status, reply.body, reply.all("link")) == (200, b"ok", [])


async def test_bytes_after_an_answer_poison_the_connection(world):
    """They are never taken for the answer to the next request."""
    smuggled = world.OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    instance = await world.instance(world.answering(smuggled))
    gateway = await world.gateway(instance)

    assert [(await gateway.call()).body for _ in range(3)] == [b"ok"] * 3
    assert instance.connections == 3


async def test_events_are_passed_on_as_they_happen(world):
    """A stream's head and pieces do not wait for each other."""
    more = asyncio.Event()

    async def events(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await more.wait()
            more.clear()
            wire.send(b"2\r\nhi\r\n")
        wire.send(b"0\r\n\r\n")
        await wire.reader.read()

    gateway = await world.gateway(await world.instance(events))
    wire = await gateway.connect()
    wire.send(GET)
    async with asyncio.timeout(5):
        await wire.reader.readuntil(b"\r\n\r\n")
        for _ in range(3):
            more.set()
            assert await wire.reader.readexactly(7) == b"2\r\nhi\r\n"
        assert await wire.reader.readexactly(5) == b"0\r\n\r\n"


async def test_a_slow_reader_holds_its_instance_back(world):
    """Of 64 MiB, a client that does not read lets only buffers' worth leave the instance."""
    sent = 0

    async def endless(instance, wire):
        nonlocal sent
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            wire.send(b"x" * MIB)
            await wire.writer.drain()
            sent += 1
        await wire.reader.read()  # what `drain` leaves unsent would end with the connection

    gateway = await world.gateway(await world.instance(endless))
    wire = await gateway.connect()
    wire.send(GET)
    await wire.reader.readuntil(b"\r\n\r\n")
    wire.writer.transport.pause_reading()
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.2)

    assert sent < 32
    wire.writer.transport.resume_reading()
    async with asyncio.timeout(10):
        received = len(await wire.reader.readexactly(64 * MIB))
    assert received == 64 * MIB


async def test_a_slow_instance_holds_its_client_back(world):
    """The same upwards."""
    go = asyncio.Event()

    async def lazy(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.pause_reading()
        await go.wait()
        wire.writer.transport.resume_reading()
        await wire.reader.readexactly(64 * MIB)
        wire.send(world.OK)

    instance = await world.instance(lazy)
    gateway = await world.gateway(
        instance, table=Table(base=Route("by-name", "", max_body=100 * MIB))
    )
    wire = await gateway.connect()
    wire.send(HEAD + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
    sent = 0

    async def upload():
        nonlocal sent
        for _ in range(64):
            wire.send(b"x" * MIB)
            await wire.writer.drain()
            sent += 1

    task = asyncio.create_task(upload())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.2)

    assert sent < 32
    go.set()
    await task
    assert (await wire.reply()).status == 200


async def test_an_early_answer_ends_the_upload(world):
    """The instance refuses while the body comes: its answer is passed on, then the end."""

    async def early(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
        await wire.reader.read()

    instance = await world.instance(early)
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)

    reply = await wire.reply()

    assert (reply.status, reply.body) == (422, b"no")
    assert await wire.ended()
    (upstream,) = gateway.service.pools.values()
    await world.until(lambda: upstream.open == 0, "the half-used connection is closed")


async def test_a_stalled_download_is_cut(world):
    """No byte for the idle time: the client sees the truncation."""

    async def stalling(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await wire.reader.read()

    gateway = await world.gateway(
        await world.instance(stalling), port_limits=PortLimits(response_idle=0.05)
    )

    reply = await gateway.call()

    assert (reply.status, reply.body, reply.cut) == (200, b"half", True)


async def echo(instance, wire):
    await instance.take(wire)
    wire.send(
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nA: b\r\n\r\nhi"
    )
    while data := await wire.reader.read(1000):
        wire.send(data)


async def test_a_declared_route_lets_websockets_through(world):
    """After the 101, bytes pass both ways until one side ends."""
    instance = await world.instance(echo)
    gateway = await world.gateway(instance, table=Table(base=Route("by-name", "", upgrade=True)))
    wire = await gateway.connect()
    wire.send(UPGRADE)
    async with asyncio.timeout(5):
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head
        assert b"A: b" in head
        assert await wire.reader.readexactly(2) == b"hi"
        wire.send(b"GET / not HTTP")
        assert await wire.reader.readexactly(14) == b"GET / not HTTP"
    assert instance.executed[0].one("upgrade") == "websocket"
    for one in instance.open:
        one.close()
    assert await wire.ended()
    await world.until(lambda: not gateway.context.active)


async def test_other_routes_do_not(world):
    """501, and nothing reaches the instance."""
    instance = await world.instance(echo)
    gateway = await world.gateway(instance)

    assert (await gateway.ask(UPGRADE)).status == 501
    assert not instance.executed


async def test_an_upgrade_nobody_asked_for_is_no_answer(world):
    """A 101 to a plain request is a protocol error."""
    gateway = await world.gateway(await world.instance(echo))

    assert (await gateway.call()).status == 502


@pytest.mark.parametrize("fields", [b"", b"Upgrade: x\r\n", b"Content-Length: 2\r\n"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_101_that_names_no_protocol_is_no_answer(world, method: str, fields: bytes):
    """The client is told so; it had waited for an answer that was counted as given."""
    odd = world.answering(b"HTTP/1.1 101 Switching\r\n%b\r\nok" % fields)
    gateway = await world.gateway(await world.instance(odd))

    assert (await gateway.call("/x", method)).status == 502
    (member,) = gateway.service.balancer.members.values()
    assert member.in_flight == 0


async def test_while_the_gateway_leaves_a_connection_ends_with_its_next_answer(world):
    """Others are kept, and new ones taken: no request meets a close on its way."""
    gateway = await world.gateway(await world.instance())
    busy, idle = await gateway.connect(), await gateway.connect()
    busy.send(GET)
    assert not (await busy.reply()).all("connection")

    gateway.port.leave()

    for wire in (busy, await gateway.connect()):
        wire.send(GET)
        reply = await wire.reply()
        assert (reply.status, reply.body, reply.one("connection")) == (200, b"ok", "close")
        assert await wire.ended()
    idle.send(GET)
    assert (await idle.reply()).one("connection") == "close"


async def test_draining_loses_nothing(world):
    """Busy connections are answered and told to close, idle ones closed, new ones not taken."""
    go = asyncio.Event()

    gateway = await world.gateway(await world.instance(world.answering_after(go)))
    busy, idle = await gateway.connect(), await gateway.connect()
    busy.send(GET)
    await world.until(
        lambda: len(gateway.context.active) == 1 and len(gateway.port.connections) == 2
    )

    address = gateway.port.address

    draining = asyncio.create_task(gateway.port.drain())

    assert await idle.ended()
    assert not draining.done()
    go.set()
    reply = await busy.reply()
    assert (reply.status, reply.body, reply.one("connection")) == (200, b"ok", "close")
    assert await busy.ended()
    async with asyncio.timeout(5):
        await draining
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_a_connection_made_as_the_drain_begins_has_the_time_for_its_request(world):
    """Others are closed meanwhile, which were told of the end long ago."""
    gateway = await world.gateway(await world.instance())
    early = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 1)
    gateway.port.leave()
    later = time.monotonic() + 10
    gateway.context.clock = lambda: later
    late = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 2)

    draining = asyncio.create_task(gateway.port.drain())

    assert await early.ended()
    late.send(GET)
    assert (await late.reply()).status == 200
    late.close()
    async with asyncio.timeout(5):
        await draining


async def test_draining_lets_a_client_read_an_early_answer(world):
    """Who still uploads has the time for it that it has without a drain: no reset destroys it."""
    go = asyncio.Event()

    async def early(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        await go.wait()
        wire.send(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
        await wire.reader.read()

    gateway = await world.gateway(await world.instance(early))
    wire, idle = await gateway.connect(), await gateway.connect()
    wire.send(HEAD + b"Content-Length: 9000000\r\n\r\n" + b"x" * 100_000)
    await world.until(
        lambda: len(gateway.context.active) == 1 and len(gateway.port.connections) == 2
    )
    draining = asyncio.create_task(gateway.port.drain())
    assert await idle.ended()
    go.set()
    await world.until(lambda: not gateway.context.active, "the answer")
    seen = gateway.port.ticks
    await world.until(lambda: gateway.port.ticks > seen + 8, "the drain looks again")
    for _ in range(8):
        wire.send(b"x" * 100_000)
        await wire.writer.drain()

    reply = await wire.reply()
    assert (reply.status, reply.body) == (422, b"no")
    assert len(gateway.port.connections) == 1
    wire.close()
    async with asyncio.timeout(5):
        await draining


async def test_the_data_port_speaks_tls(world, certificate):
    """HTTPS, and the instance is told so."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    instance = await world.instance()
    gateway = await world.gateway(instance, tls=context)
    trusting = ssl.create_default_context(cafile=certificate[0])
    wire = await gateway.connect(ssl=trusting, server_hostname="localhost")
    for _ in range(2):
        wire.send(GET)
        assert (await wire.reply()).body == b"ok"

    assert instance.executed[0].one("x-forwarded-proto") == "https"


async def test_an_upload_that_grows_too_large_leaves_no_trace(world):
    """413 while it is being streamed; the instance's place is given back, nobody is blamed."""
    instance = await world.instance()
    table = Table(base=Route("by-name", "", max_body=200_000))
    gateway = await world.gateway(instance, table=table)
    wire = await gateway.connect()
    wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        wire.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")

    assert (await wire.reply()).status == 413
    assert await wire.ended()
    (member,) = gateway.service.balancer.members.values()
    assert (member.in_flight, member.ejection.consecutive) == (0, 0)
    assert not instance.executed


async def test_a_finished_request_is_freed_without_the_cycle_collector(world):
    """Looking for cycles among the objects of every request would cost a seventh of the CPU."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            wire.send(GET)
            assert (await wire.reply()).status == 200
        exchanges = [one for one in gc.get_objects() if isinstance(one, Exchange)]
    finally:
        gc.enable()

    assert len(exchanges) <= 1
