"""Clients that read slowly, late or never: they cost little, and get the whole of their due."""

import asyncio
import contextlib
import gc
import socket
import ssl
import time

import pytest
from gateway.downstream.connection import HIGH_WATER, ClientConnection
from gateway.proxy.context import PortLimits
from gateway.upstream.connection import InstanceConnection

pytestmark = pytest.mark.anyio

KIB = 1024
GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE = b"x" * (200 * KIB)
"""More than a connection that is not read has taken, and no more than is read at once."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE


async def reader_of_little(world, gateway):
    """A client that has stopped reading, whose connection holds little; and the gateway's end."""
    wire, connection = await world.narrow(gateway, receives=24 * KIB)
    wire.writer.transport.pause_reading()
    return wire, connection


async def test_who_does_not_read_an_answer_gets_no_other(world):
    """Requests wait while an earlier answer is stuck, so at most one is held; then all is told."""
    instance = await world.instance(world.answering(ANSWER))
    gateway = await world.gateway(instance)
    wire, connection = await reader_of_little(world, gateway)
    wire.send(GET)
    await world.until(lambda: instance.executed and not gateway.context.active, "the answer's end")
    held = connection.transport.get_write_buffer_size()

    for _ in range(5):  # as from a socket that had them ready
        connection.data_received(GET)

    assert held > 0
    assert not gateway.context.active
    assert connection.transport.get_write_buffer_size() == held
    world.keep(wire.writer.transport, socket.SO_RCVBUF, 128 * KIB)
    wire.writer.transport.resume_reading()
    replies = [await wire.reply() for _ in range(6)]
    assert {(reply.status, reply.body) for reply in replies} == {(200, LARGE)}
    assert len(instance.executed) == 6


async def test_who_never_reads_loses_its_connection(world):
    """A kept-alive connection whose last answer is stuck does not keep its place for ever."""
    gateway = await world.gateway(await world.instance(world.answering(ANSWER)))
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire, connection = await reader_of_little(world, gateway)
    wire.send(GET)
    await world.until(lambda: connection.transport.get_write_buffer_size() > 0)
    await world.until(lambda: not gateway.context.active, "the answer's end")

    for _ in range(3):
        shift += 80.0
        await world.until(
            lambda: not gateway.port.connections or connection.due > gateway.context.clock(),
            "a look",
        )

    assert not gateway.port.connections


async def test_who_took_what_there_was_takes_more(world):
    """A look finds as many bytes unsent as the last one, but they are others: the client reads."""
    gateway = await world.gateway(await world.instance(world.answering(ANSWER)))
    wire, connection = await reader_of_little(world, gateway)
    wire.send(GET)
    await world.until(lambda: connection.transport.get_write_buffer_size() > 0)
    await world.until(lambda: not gateway.context.active, "the answer's end")

    looks = [connection.takes_more(), connection.takes_more()]
    connection.resume_writing()  # as the loop does once little is left
    looks += [connection.takes_more(), connection.takes_more()]

    assert looks == [True, False, True, False]


async def test_who_reads_slowly_gets_everything(world):
    """An answer goes on as long as its client takes some of it; nobody is blamed."""
    size = 8 * KIB * KIB

    async def whole(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        with contextlib.suppress(ConnectionError):
            await wire.writer.drain()
            await wire.reader.read()

    gateway = await world.gateway(await world.instance(whole))
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire, connection = await reader_of_little(world, gateway)
    world.keep(wire.writer.transport, socket.SO_RCVBUF, 128 * KIB)
    wire.send(GET)
    await world.until(lambda: connection.transport.get_write_buffer_size() > 0)
    wire.writer.transport.resume_reading()
    for _ in range(6):
        before = connection.transport.get_write_buffer_size()
        # Below the mark the next bytes are the instance's to send, whose time this is not.
        while not HIGH_WATER < connection.transport.get_write_buffer_size() != before:
            await wire.reader.readexactly(16 * KIB)
        shift += 40.0
        await world.until(
            lambda: all(one.due > gateway.context.clock() for one in gateway.context.active),
            "a look",
        )
        assert gateway.context.active, "it was cut"

    async with asyncio.timeout(20):
        while gateway.context.active:
            await wire.reader.read(64 * KIB)
    assert [result for *_, result in gateway.context.counters.requests] == ["answered"]


async def test_a_client_is_heard_after_an_upload_that_found_nobody(world):
    """A body too large to be kept, and no instance: 503, and the next request is read."""
    gateway = await world.gateway(world.refusing())
    wire = await gateway.connect()
    await world.until(lambda: len(gateway.port.connections) == 1)
    (connection,) = gateway.port.connections
    body = b"x" * (100 * KIB)
    head = b"POST /car-evaluation/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.data_received(head + body)

    assert (await wire.reply()).status == 503
    wire.send(GET)
    assert (await wire.reply()).status == 503


async def test_a_lost_connection_leaves_nothing_for_the_collector(world):
    """What a connection held is freed at its end, not when cycles are looked for: that is rare."""

    def alive() -> int:
        return sum(
            isinstance(one, ClientConnection | InstanceConnection) for one in gc.get_objects()
        )

    gateway = await world.gateway(await world.instance())
    gc.collect()
    gc.disable()
    before = alive()
    try:
        for _ in range(3):
            assert (await gateway.call()).status == 200
        for upstream in gateway.service.pools.values():
            upstream.close()

        await world.until(lambda: alive() == before, "nothing left")
    finally:
        gc.enable()


async def test_what_is_no_longer_due_is_let_be(world):
    """The end of one overdue exchange can let another go on, in the same look at all of them."""
    gateway = await world.gateway()

    class Overdue:
        due = 0.0

        def expire(self, now: float) -> None:
            expired.append(self)
            for one in both:
                one.due = now + 100

        def cut(self) -> None:
            raise AssertionError

    expired: list[Overdue] = []
    both = [Overdue(), Overdue()]
    gateway.context.active.update(both)

    await world.until(lambda: bool(expired))
    gateway.context.active.clear()
    assert len(expired) == 1


async def test_a_cut_answer_to_an_old_client_is_seen_as_cut(world):
    """HTTP/1.0 without a length ends with the connection: half an answer ends with a reset."""

    async def half(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0)
        wire.reset()

    gateway = await world.gateway(await world.instance(half))

    reply = await gateway.ask(b"GET /car-evaluation/x HTTP/1.0\r\nHost: h\r\n\r\n")

    assert reply.cut


async def test_an_old_client_that_read_too_late_sees_that_its_answer_is_cut(world):
    """The part of an answer without a length that it could take looked like all of it."""

    async def endless(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            wire.send(b"x" * 64 * 1024)
            await wire.writer.drain()

    gateway = await world.gateway(
        await world.instance(endless), port_limits=PortLimits(response_idle=0.2)
    )
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    wire = await gateway.connect()
    wire.writer.transport.pause_reading()
    wire.send(b"GET /car-evaluation/x HTTP/1.0\r\nHost: h\r\n\r\n")
    await world.until(lambda: bool(gateway.context.counters.requests), "the end of the exchange")
    shift += 3.0
    await world.until(lambda: not gateway.port.connections, "the end of the connection")

    wire.writer.transport.resume_reading()

    assert (await wire.reply()).cut


async def test_a_handshake_has_as_long_as_a_head(world, certificate):
    """A client that connects to the HTTPS port and says nothing is let go."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    gateway = await world.gateway(
        await world.instance(), port_limits=PortLimits(head=0.3), tls=context
    )
    wire = await gateway.connect()

    assert await wire.ended()
