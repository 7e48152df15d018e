"""Times follow what operators, services and streams need: a slow answer is not a lost one."""

import asyncio

import pytest
from gateway.http.request import attempt_lines
from gateway.proxy.context import PortLimits

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"


def answering_after(seconds: float):
    async def behaviour(instance, wire) -> None:
        while True:
            await instance.take(wire)
            await asyncio.sleep(seconds)
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return behaviour


async def silent(instance, wire) -> None:
    await instance.take(wire)
    await wire.reader.read()


@pytest.mark.parametrize(
    ("path", "method", "instances"),
    [("/undeclared", "POST", 2), ("/x", "GET", 1)],
    ids=["may-not-run-twice", "has-nobody-else"],
)
async def test_an_attempt_that_none_can_follow_has_the_whole_timeout(
    world, by_document, path: str, method: str, instances: int
):
    """A call of 7 s was a 504 after 5 s, `timeout: 60` or not (spring-cloud-gateway 1987)."""
    slow = [await world.instance(answering_after(0.6)) for _ in range(instances)]
    table = by_document(defaults={"timeout": 10, "per_try_timeout": 0.2})
    gateway = await world.gateway(*slow, table=table)

    reply = await gateway.call(path, method)

    assert (reply.status, reply.attempts) == (200, 1)
    assert sum(len(one.executed) for one in slow) == 1


def test_defaults_set_the_terms_of_calls_by_name_and_of_routes_that_say_nothing(by_document):
    """Each key of a route overrules its default alone."""
    table = by_document(
        {"path": "/a", "service": "s", "timeout": 60},
        {"path": "/b", "service": "s"},
        defaults={"timeout": 30, "idle_timeout": 90, "body_timeout": 5, "max_body_bytes": 1},
    )
    a, b = table.routes

    assert (a.timeout, a.per_try, a.idle, a.body_idle, a.max_body) == (60, 20, 90, 5, 1)
    assert (b.timeout, b.per_try, b.idle, b.body_idle, b.max_body) == (30, 10, 90, 5, 1)


@pytest.mark.parametrize(
    ("defaults", "metadata", "told"),
    [
        ({"timeout": 0.2}, {}, "within 0.2 s: timeout in the defaults"),
        ({}, {"gateway.timeout": "0.2"}, "within 15 s: timeout in the defaults"),
    ],
)
async def test_a_504_names_the_limit_and_the_setting(world, by_document, defaults, metadata, told):
    """A caller reads which limit it was, and an operator which key to change."""
    clock = Skipping()
    gateway = await world.gateway(
        await world.instance(silent), table=by_document(defaults=defaults), metadata=metadata
    )
    gateway.context.clock = clock
    asking = asyncio.ensure_future(gateway.call("/undeclared"))
    await world.until(lambda: gateway.context.active and clock.skip(60.0))

    reply = await asking

    assert reply.status == 504
    assert told in reply.body.decode()


@pytest.mark.parametrize(("deadline", "told"), [(10.0019, b"1"), (9.0, b"0")])
def test_what_an_instance_is_told_never_promises_too_much(deadline: float, told: bytes):
    """The milliseconds that are left are rounded down, and never negative."""
    (lines,) = attempt_lines(b"GET", b"/", 1, deadline, 10.0)

    assert b"X-Request-Timeout-Ms: %b\r\n" % told in lines


class Skipping:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return asyncio.get_running_loop().time() + self._ahead

    def skip(self, seconds: float) -> bool:
        """Put the clock forward."""
        self._ahead += seconds
        return True


def streaming(content_type: bytes):
    """Send a head and a first event, and the second event half a second later."""

    async def behaviour(instance, wire) -> None:
        await instance.take(wire)
        wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\none\n\r\n" % content_type
        )
        await asyncio.sleep(0.5)
        wire.send(b"4\r\ntwo\n\r\n0\r\n\r\n")

    return behaviour


@pytest.mark.parametrize(
    ("content_type", "defaults", "cut"),
    [
        (b"text/plain", {}, True),
        (b"text/plain", {"idle_timeout": 30}, False),
        (b"text/event-stream;charset=UTF-8", {}, False),
        (b"text/event-stream", {"idle_timeout": 0.1}, True),
    ],
)
async def test_a_silent_stream_lives_as_long_as_its_route_or_its_kind_says(
    world, by_document, content_type: bytes, defaults: dict, *, cut: bool
):
    """Server-sent events were cut after 30 s of silence, whatever was set (1550, 3833)."""
    gateway = await world.gateway(
        await world.instance(streaming(content_type)),
        table=by_document(defaults=defaults),
        port_limits=PortLimits(response_idle=0.1),
    )

    reply = await gateway.call("/events", "GET")

    assert reply.cut is cut
    assert cut or reply.body == b"one\ntwo\n"


@pytest.mark.parametrize("size", [40_000, 200_000], ids=["kept", "streamed"])
async def test_an_upload_has_time_while_it_proceeds(world, size: int):
    """4 MB at 100 KB/s was a 408: the time counted from the head, not from the last bytes."""
    instance = await world.instance()
    gateway = await world.gateway(instance, port_limits=PortLimits(body=0.3))
    wire = await gateway.connect()
    wire.send(
        b"POST /%b/up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (NAME.encode(), size)
    )
    for _ in range(10):
        await asyncio.sleep(0.1)
        wire.send(b"x" * (size // 10))

    assert (await wire.reply()).status == 200
    assert len(instance.executed[0].body) == size


@pytest.mark.parametrize("defaults", [{}, {"body_timeout": 0.2}])
async def test_an_upload_that_stands_still_or_creeps_is_ended(world, by_document, defaults: dict):
    """`body_timeout` bounds the silence, and a least rate the whole."""
    gateway = await world.gateway(
        await world.instance(),
        table=by_document(defaults=defaults),
        port_limits=PortLimits(body=30.0 if defaults else 0.2),
    )
    still, creeping = await gateway.connect(), await gateway.connect()
    head = b"POST /%b/up HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" % NAME.encode()
    still.send(head)
    creeping.send(head)

    async def creep() -> None:
        while True:
            creeping.send(b"x")
            await asyncio.sleep(0.05)

    creep_on = asyncio.ensure_future(creep())
    try:
        assert (await still.reply()).status == 408
        assert (await creeping.reply()).status == 408
    finally:
        creep_on.cancel()
