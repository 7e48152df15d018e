"""Heads that contradict themselves, interim responses, absolute targets, dates."""

import asyncio
import socket
from email.utils import parsedate_to_datetime

import pytest
from gateway.http.turn import Turn
from gateway.upstream.connection import InstanceConnection

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "chunked, chunked"),
        (b"Transfer-Encoding: gzip, chunked", "gzip, chunked"),
        (b"Content-Length: 2\r\nContent-Length: 3", "Duplicate Content-Length"),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked", "Transfer-Encoding can't be present"),
        (b"Content-Length: x", "Content-Length"),
    ],
)
async def test_a_head_that_contradicts_itself_is_named_and_held_against_nobody(
    world, caplog, fields: bytes, told: str
):
    """The application wrote it so: another instance would too, and no instance is to blame."""
    both = [await world.instance(world.answering(b"HTTP/1.1 200 OK\r\n%b\r\n\r\nok" % fields))
            for _ in range(2)]  # fmt: skip
    gateway = await world.gateway(*both)

    for _ in range(8):
        reply = await gateway.call()
        assert (reply.status, reply.attempts) == (502, 1)
        assert told in reply.body.decode()

    members = gateway.service.balancer.members.values()
    assert [member.ejection.cause for member in members] == [None, None]
    assert not caplog.records


async def test_other_bytes_that_are_not_http_are_named_too(world):
    """The detail says what the parser did not like."""
    gateway = await world.gateway(
        await world.instance(world.answering(b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"))
    )

    reply = await gateway.call("/undeclared")

    assert reply.status == 502
    assert "Invalid header token" in reply.body.decode()


@pytest.mark.parametrize("early", [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload",
                                   b"HTTP/1.1 102 Processing"])  # fmt: skip
async def test_interim_responses_pass(world, early: bytes):
    """103 Early Hints and 102 were dropped."""
    answer = early + b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    gateway = await world.gateway(await world.instance(world.answering(answer)))
    wire = await gateway.connect()

    for _ in range(2):
        wire.send(b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.removesuffix(b"\r\n\r\n") == early
        assert (await wire.reply()).status == 200


async def test_http_1_0_gets_no_interim_response(world):
    """RFC 9110, 15.2: a server must not send one to HTTP/1.0."""
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    gateway = await world.gateway(await world.instance(world.answering(answer)))

    assert (await gateway.ask(b"GET /car-evaluation/x HTTP/1.0\r\n\r\n")).status == 200


async def test_an_absolute_target_names_the_host(world):
    """Whatever `Host` says, instances are told of the target's host (RFC 9112, 3.2.2)."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    reply = await gateway.ask(
        b"GET http://shop.example:81/car-evaluation/x?a=b HTTP/1.1\r\nHost: other\r\n\r\n"
    )
    nobody = await gateway.ask(b"GET http://a@b/car-evaluation/x HTTP/1.1\r\nHost: other\r\n\r\n")

    assert (reply.status, nobody.status) == (200, 400)
    assert instance.executed[0].line == "GET /x?a=b HTTP/1.1"
    assert instance.executed[0].one("x-forwarded-host") == "shop.example:81"


async def test_replies_of_the_gateways_own_have_a_date(world):
    """An origin with a clock sends one (RFC 9110, 6.6.1); a service's date passes as it is."""
    gateway = await world.gateway()

    reply = await gateway.ask(b"GET /nobody/x HTTP/1.1\r\nHost: h\r\n\r\n")

    assert reply.status == 404
    assert abs(parsedate_to_datetime(reply.one("date")).timestamp() - gateway.context.wall()) < 60


class Home:
    """A pool of one connection."""

    host_line = b"Host: h\r\n"
    open = 0

    def __init__(self) -> None:
        self.turn = Turn()

    def put(self, connection) -> None:
        """Keep nothing."""

    def forget(self, connection) -> None:
        """Keep nothing."""


class Consumer:
    """A sender that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def __getattr__(self, name: str):
        return lambda *values: self.told.append((name, *values))


@pytest.mark.parametrize("length", [b"Content-Length: 3\r\n", b""], ids=["framed", "until-end"])
async def test_an_answer_before_the_end_of_an_upload_is_read(world, length: bytes):
    """A 413 before the body was read became a 502 when the service closed at once (envoy 2929)."""
    listening = socket.create_server(("127.0.0.1", 0))
    world.stack.callback(listening.close)
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: InstanceConnection(Home()), *listening.getsockname()
    )
    consumer = Consumer()
    instance, _ = listening.accept()
    connection.send(consumer, b"POST / HTTP/1.1\r\n\r\n" + b"x" * 100, to_head=False, whole=False)
    await asyncio.to_thread(instance.recv, 10)
    instance.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n%b\r\nbig" % length)
    instance.close()  # with bytes that nobody read: a reset

    for _ in range(3):  # before the loop can see that there is an answer
        connection.transport.write(b"x" * 100_000)
    await world.until(lambda: any(name == "response_end" for name, *_ in consumer.told))

    told = [name for name, *_ in consumer.told if name != "flush"]
    assert told == ["response_head", "response_body", "response_end"]
