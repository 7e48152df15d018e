"""One side of an exchange stands still, vanishes or says odd things: nobody else pays for it."""

import asyncio
import contextlib
import socket
import time

import pytest
from failover import Instance
from gateway.proxy.context import PortLimits
from gateway.proxy.exchange import Phase
from gateway.routing.table import Route, Table
from gateway.upstream.service import ServiceLimits

pytestmark = pytest.mark.anyio

GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
KIB = 1024
LARGE = 200 * KIB
"""More than a client's connection may have to write before its instance is held back."""


def member_of(gateway):
    (member,) = gateway.service.balancer.members.values()
    return member


async def test_an_instance_that_vanishes_between_two_attempts(world):
    """Asked once, busy; the other one goes during the pause: 503, and the sweep goes on."""
    both = await world.instance(world.answering(BUSY)), await world.instance(world.answering(BUSY))
    gateway = await world.gateway(*both, draws=lambda: 0.99)
    calling = asyncio.create_task(gateway.call())
    await world.until(lambda: any(one.phase is Phase.PAUSED for one in gateway.context.active))
    (asked,) = (one for one in both if one.executed)
    gateway.service.sync([Instance("127.0.0.1", asked.port)], time.monotonic())

    reply = await calling

    assert (reply.status, reply.attempts, reply.one("retry-after")) == (503, 1, "1")
    assert "destination_unavailable" in reply.one("proxy-status")
    assert not gateway.context.active


async def test_one_exchange_that_fails_does_not_stop_the_sweep(world):
    """It alone is ended; the deadlines of all others are kept."""

    class Broken:
        due = 0.0
        was_cut = False

        def expire(self, now: float) -> None:
            raise RuntimeError(now)

        def cut(self) -> None:
            self.was_cut = True
            gateway.context.active.discard(self)

    async def silent(instance, wire):
        await instance.take(wire)
        await wire.reader.read()

    gateway = await world.gateway(await world.instance(silent))
    broken = Broken()
    gateway.context.active.add(broken)

    assert (await gateway.call(X_Request_Timeout_Ms="50")).status == 504
    assert broken.was_cut


async def test_a_connection_is_read_again_after_a_large_answer(world):
    """What held it back ended with the answer; the next request on it is answered."""
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE
    instance = await world.instance(world.answering(large))
    gateway = await world.gateway(
        instance, table=Table(base=Route("by-name", "", per_try=1.0, timeout=1.0))
    )
    wire, _ = await world.narrow(gateway, receives=4 * KIB)
    wire.writer.transport.pause_reading()
    wire.send(GET)
    await world.until(lambda: instance.executed and not gateway.context.active, "the answer's end")

    assert (await gateway.call()).status == 200
    assert instance.connections == 1


async def test_a_slow_reader_gets_the_whole_of_a_last_answer(world):
    """`Connection: close` gives it time as long as it takes some of it, and no longer."""
    size = LARGE
    body = bytes(number % 251 for number in range(size))
    instance = await world.instance(
        world.answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body))
    )
    gateway = await world.gateway(instance)
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire, connection = await world.narrow(gateway, receives=4 * KIB)
    wire.writer.transport.pause_reading()
    wire.send(GET[:-2] + b"Connection: close\r\n\r\n")
    await world.until(lambda: instance.executed and not gateway.context.active, "the answer's end")
    assert connection.transport.get_write_buffer_size() > 0

    shift += 3.0
    await world.until(lambda: connection.due > gateway.context.clock() + 20, "more time")
    wire.writer.transport.resume_reading()
    reply = await wire.reply()

    assert (reply.body == body, reply.cut) == (True, False)
    assert await wire.ended()


async def test_a_reader_that_stopped_is_let_go(world):
    """Nothing taken for the idle time: the connection is cut, with what is left of the answer."""
    size = LARGE
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    gateway = await world.gateway(await world.instance(world.answering(data)))
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire, connection = await world.narrow(gateway, receives=4 * KIB)
    wire.writer.transport.pause_reading()
    wire.send(GET[:-2] + b"Connection: close\r\n\r\n")
    await world.until(lambda: connection.transport.get_write_buffer_size() > 0)
    for _ in range(2):
        shift += 40.0
        await asyncio.sleep(0)
        await world.until(
            lambda: not gateway.port.connections or connection.due > gateway.context.clock(),
            "a look",
        )
    shift += 40.0

    await world.until(lambda: not gateway.port.connections, "the end of the connection")


async def endless(instance, wire):
    await instance.take(wire)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * KIB * KIB))
    with contextlib.suppress(ConnectionError):
        while True:
            wire.send(b"x" * 256 * KIB)
            await wire.writer.drain()


async def test_a_client_that_does_not_read_is_not_its_instances_fault(world):
    """The download is cut after the idle time, the client too; the instance keeps its name."""
    gateway = await world.gateway(
        await world.instance(endless), port_limits=PortLimits(response_idle=0.2)
    )
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire = await gateway.connect()
    wire.writer.transport.pause_reading()
    wire.send(GET)

    await world.until(lambda: bool(gateway.context.counters.requests), "the end of the exchange")

    assert [result for *_, result in gateway.context.counters.requests] == ["client_slow"]
    member = member_of(gateway)
    assert (member.in_flight, member.ejection.consecutive) == (0, 0)
    shift += 3.0
    await world.until(lambda: not gateway.port.connections, "the end of the connection")


async def test_a_client_that_does_not_read_interim_responses_holds_the_answer_back(world):
    """The instance that answered was not the one that was paused: its answer filled the memory."""
    early = b"HTTP/1.1 103 Early\r\nLink: " + b"x" * KIB + b"\r\n\r\n"

    async def hinting(instance, wire):
        await instance.take(wire)
        wire.send(early * 60)
        await wire.reader.read()

    *others, last = [await world.instance(one) for one in (hinting, hinting, endless)]
    table = Table(base=Route("by-name", "", per_try=0.2))
    gateway = await world.gateway(*others, last, table=table, draws=lambda: 0.0)
    wire, connection = await world.narrow(gateway, receives=4 * KIB)
    wire.writer.transport.pause_reading()

    wire.send(GET)

    await world.until(lambda: any(one.phase is Phase.ANSWERING for one in gateway.context.active))
    ticks = gateway.port.ticks
    await world.until(lambda: gateway.port.ticks > ticks + 4)
    assert connection.transport.get_write_buffer_size() < 512 * KIB
    wire.close()
    await world.until(lambda: not last.open)


async def test_an_instance_that_does_not_read_is_blamed(world):
    """An upload that it does not take is a 504 and a strike, not the client's slowness."""

    async def frozen(_, wire):
        wire.writer.transport.pause_reading()
        await asyncio.Event().wait()

    gateway = await world.gateway(
        await world.instance(frozen),
        port_limits=PortLimits(body=0.5),
        table=Table(base=Route("by-name", "", max_body=64 * KIB * KIB)),
    )
    wire = await gateway.connect()
    wire.send(POST + b"Content-Length: %d\r\n\r\n" % (32 * KIB * KIB) + b"x" * (32 * KIB * KIB))

    reply = await wire.reply()

    assert (reply.status, member_of(gateway).ejection.consecutive) == (504, 1)


async def test_a_client_has_its_time_again_when_its_instance_reads_again(world):
    """The time in which the instance let the client wait is not held against the client."""
    go, size = asyncio.Event(), 16 * KIB * KIB

    async def pausing(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.pause_reading()
        await go.wait()
        wire.writer.transport.resume_reading()
        left = size
        while left:
            data = await wire.reader.read(KIB * KIB)
            assert data
            left -= len(data)
            if left == 1:
                came.set()
        wire.send(world.OK)

    came = asyncio.Event()
    gateway = await world.gateway(
        await world.instance(pausing),
        port_limits=PortLimits(body=100.0),
        table=Table(base=Route("by-name", "", max_body=64 * KIB * KIB, timeout=1000.0)),
    )
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    (upstream,) = gateway.service.pools.values()
    wire = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 1)
    (connection,) = gateway.port.connections
    wire.send(POST + b"Content-Length: %d\r\n\r\n" % size)
    await world.until(lambda: upstream.open == 1, "the upload's start")
    # Nearly all of the body in one read, as from a socket that had it ready.
    connection.data_received(b"x" * (size - 1))

    shift += 60.0
    go.set()
    async with asyncio.timeout(10):
        await came.wait()
    shift += 60.0
    ticks = gateway.port.ticks
    await world.until(lambda: gateway.port.ticks > ticks + 2)
    wire.send(b"x")

    assert (await wire.reply()).status == 200


async def test_a_client_that_stops_its_upload_is_not_its_instances_fault(world):
    """An instance that answers before the body ends waits for the client, and keeps its name."""

    async def early(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await wire.reader.read()

    gateway = await world.gateway(
        await world.instance(early), port_limits=PortLimits(response_idle=0.2)
    )
    wire = await gateway.connect()
    wire.send(POST + b"Content-Length: 900000\r\n\r\n" + b"x" * LARGE * 2)

    assert (await wire.reply()).cut

    assert [result for *_, result in gateway.context.counters.requests] == ["client_slow"]
    member = member_of(gateway)
    assert (member.in_flight, member.ejection.consecutive) == (0, 0)


async def test_an_answer_to_an_upload_that_is_not_read_leaves_no_connection(world):
    """Neither for the next request, behind the rest of this one, nor open until it is read."""

    async def rude(_, wire):
        world.keep(wire.writer, socket.SO_RCVBUF, 4 * KIB)
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.pause_reading()
        await go.wait()
        wire.send(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    go = asyncio.Event()
    gateway = await world.gateway(
        await world.instance(rude), table=Table(base=Route("by-name", "", max_body=64 * KIB * KIB))
    )
    (upstream,) = gateway.service.pools.values()
    wire = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 1)
    (connection,) = gateway.port.connections
    size = 16 * KIB * KIB
    wire.send(POST + b"Content-Length: %d\r\n\r\n" % size)
    await world.until(lambda: upstream.open == 1, "the upload's start")
    # All of the body in one read, as from a socket that had it ready.
    connection.data_received(b"x" * size)

    go.set()

    assert (await wire.reply()).status == 413
    assert not upstream.idle
    await world.until(lambda: upstream.open == 0, "the end of the connection")


async def test_a_client_is_heard_again_after_an_instance_that_did_not_read(world):
    """What it had to wait for is gone; its next request on the connection is answered."""
    calls = 0

    async def frozen_once(instance, wire):
        nonlocal calls
        calls += 1
        if calls == 1:
            world.keep(wire.writer, socket.SO_RCVBUF, 4 * KIB)
            wire.writer.transport.pause_reading()
            await asyncio.Event().wait()
        await world.well(instance, wire)

    gateway = await world.gateway(
        await world.instance(frozen_once),
        table=Table(base=Route("by-name", "", per_try=0.3, timeout=0.3, max_body=64 * KIB * KIB)),
    )
    wire = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 1)
    (connection,) = gateway.port.connections
    size = 8 * KIB * KIB
    wire.send(POST + b"Content-Length: %d\r\n\r\n" % size)
    await world.until(lambda: bool(gateway.service.pools) and calls == 1, "the upload's start")
    # All of the body in one read, as from a socket that had it ready.
    connection.data_received(b"x" * size)

    assert (await wire.reply()).status == 504
    wire.send(GET)
    assert (await wire.reply()).status == 200


async def test_a_body_after_the_answer_to_head_goes_nowhere(world):
    """An instance that sends one by mistake confuses neither this answer nor the next."""
    instance = await world.instance(world.answering(world.OK))
    gateway = await world.gateway(instance)
    wire = await gateway.connect()

    for _ in range(2):
        wire.send(GET.replace(b"GET", b"HEAD"))
        assert (await wire.reply(to="HEAD")).one("content-length") == "2"
        wire.send(GET)
        assert (await wire.reader.readexactly(8)) == b"HTTP/1.1"
        assert (await wire.reply()).body == b"ok"


async def test_a_streamed_body_does_not_lengthen_what_the_client_allows(world):
    """From the end of a body that was not kept, the client's own limit counts."""

    async def silent(instance, wire):
        await instance.take(wire)
        await wire.reader.read()

    gateway = await world.gateway(await world.instance(silent))
    began = time.monotonic()

    reply = await gateway.call(body=b"x" * (64 * KIB + 1), X_Request_Timeout_Ms="200")

    assert reply.status == 504
    assert time.monotonic() - began < 2.0


async def test_a_tunnel_lives_by_bytes_of_either_side(world):
    """What only the instance sends keeps it open; the client's end of it is no failure."""

    async def pushing(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        for _ in range(10):
            wire.send(b"tick")
            await asyncio.sleep(0.1)
        await wire.reader.read()

    gateway = await world.gateway(
        await world.instance(pushing),
        port_limits=PortLimits(tunnel_idle=0.4),
        table=Table(base=Route("by-name", "", upgrade=True)),
    )
    wire = await gateway.connect()
    wire.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    async with asyncio.timeout(5):
        await wire.reader.readuntil(b"\r\n\r\n")
        assert await wire.reader.readexactly(40) == b"tick" * 10
    wire.close()

    await world.until(lambda: not gateway.context.active)
    assert [(key[2], key[3]) for key in gateway.context.counters.requests] == [(1, "answered")]


async def test_a_tunnel_without_a_byte_is_closed(world):
    """After the idle time both sides see its end, and nobody is blamed."""

    async def mute(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await wire.reader.read()

    instance = await world.instance(mute)
    table = Table(base=Route("by-name", "", upgrade=True))
    gateway = await world.gateway(instance, port_limits=PortLimits(tunnel_idle=0.2), table=table)
    wire = await gateway.connect()
    wire.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    async with asyncio.timeout(5):
        await wire.reader.readuntil(b"\r\n\r\n")

    assert await wire.ended()
    await world.until(lambda: not instance.open)
    assert member_of(gateway).ejection.consecutive == 0


@pytest.mark.parametrize(
    "fields",
    [b"Via: 1.1 %b\r\n" % (b"a" * 40 * KIB), b"TE: trailers\r\n" * 200, b"Via: 1.1 a\r\n" * 200],
    ids=["one large field", "200 fields that are dropped", "200 fields that are joined"],
)
async def test_fields_that_are_not_passed_on_count_too(world, fields: bytes):
    """A head is limited whatever its fields are called."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    assert (await gateway.ask(GET[:-2] + fields + b"\r\n")).status == 431
    assert not instance.executed


async def test_more_is_sent_ahead_than_waits(world):
    """What has its turn is answered, the last one says that the connection ends; no cut."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(GET * 40)

    replies = [await wire.reply()]
    while "close" not in replies[-1].all("connection"):
        replies.append(await wire.reply())

    assert {reply.status for reply in replies} == {200}
    assert 2 <= len(replies) < 40
    assert await wire.ended()
    assert len(instance.executed) == len(replies)


async def test_a_place_that_one_may_not_have_goes_to_the_next(world):
    """Of those who wait, the first that can use a free instance gets it."""
    go = asyncio.Event()

    gateway = await world.gateway(
        await world.instance(world.answering_after(go)), limits=ServiceLimits(max_in_flight=1)
    )
    first = asyncio.create_task(gateway.call())
    await world.until(lambda: member_of(gateway).in_flight == 1)
    woken = []

    class Picky:
        """Waits on, whatever is free."""

        def wake(self) -> None:
            woken.append(self)
            gateway.service.queue.append(self)

    gateway.service.queue.append(Picky())
    second = asyncio.create_task(gateway.call())
    await world.until(lambda: len(gateway.service.queue) == 2)

    go.set()

    assert (await first).status == (await second).status == 200
    assert woken


async def test_the_last_bytes_of_a_tunnel_arrive(world):
    """A client that says its last and closes was heard, though its instance reads slowly."""
    go, told = asyncio.Event(), b"a" * LARGE
    heard = asyncio.get_running_loop().create_future()

    async def slow(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.pause_reading()
        wire.send(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
        await go.wait()
        wire.writer.transport.resume_reading()
        heard.set_result(await wire.reader.read())

    route = Route("by-name", "", upgrade=True)
    gateway = await world.gateway(await world.instance(slow), table=Table(base=route))
    wire = await gateway.connect()
    wire.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: foo\r\n\r\n")
    await wire.reader.readuntil(b"\r\n\r\n")
    (exchange,) = gateway.context.active
    upstream = exchange.connection.transport
    world.keep(upstream, socket.SO_SNDBUF, 4 * KIB)
    wire.send(told)
    wire.writer.close()
    await world.until(lambda: not gateway.context.active, "the gateway sees the client go")
    go.set()

    async with asyncio.timeout(10):
        assert len(await heard) == len(told)


async def test_a_reply_to_a_slow_head_makes_no_second_sweep(world):
    """The sweep itself begins that exchange, which woke one more sweep, for good: none is left."""
    gateway = await world.gateway(await world.instance(), port_limits=PortLimits(head=0.05))
    other = await world.gateway(await world.instance())
    wire = await gateway.connect()
    wire.send(GET[:9])
    assert (await wire.reply()).status == 408
    assert await wire.ended()

    await gateway.port.close()

    ticks, others = gateway.port.ticks, other.port.ticks
    await world.until(lambda: other.port.ticks > others + 2, "a port that is open sweeps on")
    assert gateway.port.ticks == ticks
