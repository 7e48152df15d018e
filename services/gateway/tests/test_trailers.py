"""What a chunked body brings beside its bytes: chunk extensions, trailers, and no end of either."""

import asyncio
import contextlib
import tracemalloc

import pytest

pytestmark = pytest.mark.anyio

CHUNKED = b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
LARGE = b"\r\n11170\r\n" + b"x" * 70_000 + b"\r\n"
MIB = 1024 * 1024


def trailers(count: int) -> bytes:
    """That many of them."""
    return b"".join(b"X-%d: b\r\n" % number for number in range(count))


ENDLESS = {
    "a trailer": (b"0\r\nX-T: ", b"a"),
    "the name of a trailer": (b"0\r\n", b"a"),
    "a chunk extension": (b"1;", b"a"),
    "a chunk size": (b"", b"0"),
}
"""What begins, and what is sent on and on."""


@pytest.mark.parametrize("body", [b"\r\n", LARGE], ids=["no body yet", "a body that is streamed"])
@pytest.mark.parametrize("name", ENDLESS)
async def test_what_has_no_end_is_refused_and_not_kept(world, name: str, body: bytes):
    """431 when it is as long as a head may be, and the end; memory does not grow with it."""
    begin, more = ENDLESS[name]
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(CHUNKED + body + begin)
    tracemalloc.start()
    try:
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                wire.send(more * MIB)
                async with asyncio.timeout(5):
                    await wire.writer.drain()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 * MIB
    await world.until(lambda: not gateway.context.active)
    assert [result for *_, result in gateway.context.counters.requests] == ["head_too_large"]
    assert not instance.executed


@pytest.mark.parametrize("begin", [begin for begin, _ in ENDLESS.values()], ids=ENDLESS)
async def test_its_client_is_told(world, begin: bytes):
    """The same, a little over the limit: the answer is read."""
    gateway = await world.gateway(await world.instance())
    wire = await gateway.connect()
    wire.send(CHUNKED + b"\r\n" + begin)
    for _ in range(80):
        wire.send((b"a" if begin else b"0") * 1024)
        await asyncio.sleep(0)

    reply = await wire.reply()

    assert (reply.status, reply.one("connection")) == (431, "close")
    assert await wire.ended()


@pytest.mark.parametrize("step", [1, 1_000_000])
@pytest.mark.parametrize(("count", "status"), [(0, 200), (100, 200), (101, 431), (5000, 431)])
async def test_trailers_are_as_many_as_fields_of_a_head(world, count, status, step: int):
    """Up to 100 are dropped; with more, nothing is executed, in however few packets they come."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    end = trailers(count) + b"\r\n"
    wire.send(CHUNKED + b"\r\n1\r\na\r\n0\r\n")
    for start in range(0, min(len(end), 5000 if step == 1 else len(end)), step):
        wire.send(end[start : start + step])
        await asyncio.sleep(0)

    assert (await wire.reply()).status == status
    assert [request.body for request in instance.executed] == [b"a"] * (status == 200)


async def test_every_request_of_a_connection_may_have_trailers(world):
    """They are counted for each, also behind an offer of an upgrade that is ignored."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    for head in (CHUNKED, CHUNKED + offer, CHUNKED):
        wire.send(head + b"\r\n1\r\na\r\n0\r\n" + trailers(90) + b"\r\n")
        assert (await wire.reply()).status == 200
    wire.send(CHUNKED + offer + b"\r\n1\r\na\r\n0\r\n" + trailers(101) + b"\r\n")

    assert (await wire.reply()).status == 431
    assert len(instance.executed) == 3


async def test_a_large_chunk_may_come_slowly(world):
    """Bytes of the body are not counted, whether the lines between them are long or short."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(CHUNKED + b"\r\n")
    for _ in range(4):
        wire.send(b"c350;" + b"e" * 20_000 + b"\r\n")
        for _ in range(50):
            wire.send(b"x" * 1000)
            await wire.writer.drain()
        wire.send(b"\r\n")
    wire.send(b"0\r\n\r\n")

    assert (await wire.reply()).status == 200
    assert instance.executed[0].body == b"x" * 200_000
