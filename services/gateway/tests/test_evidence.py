"""What is held for and against an instance: only what it did, and in the time it had."""

import asyncio
import time

import pytest
from failover import Outcome, RetryState
from gateway.routing.table import Route, Table

pytestmark = pytest.mark.anyio

GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (
    b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"
)


def member_of(gateway, instance):
    return gateway.service.balancer.members[f"127.0.0.1:{instance.port}"]


def put_out(gateway, instance):
    """Eject an instance so long ago that its probe is due."""
    balancer, member = gateway.service.balancer, member_of(gateway, instance)
    refused = RetryState(repeatable=True, deadline=0.0)
    balancer.start_attempt(refused, member, time.monotonic() - 60.0)
    balancer.record(refused, Outcome.REFUSED, time.monotonic() - 60.0, 0.0)
    return member


async def test_a_clients_own_limit_is_no_evidence(world):
    """Clients that wait for less than a try may take are answered 504; nobody is struck for it."""
    never = asyncio.Event()
    instances = [await world.instance(world.answering_after(never)) for _ in range(2)]
    gateway = await world.gateway(*instances)

    for _ in range(12):
        assert (await gateway.call("/x", X_Request_Timeout_Ms="20")).status == 504

    for member in gateway.service.balancer.members.values():
        assert (member.ejection.cause, member.ejection.consecutive) == (None, 0)
        assert member.in_flight == 0


async def test_what_earlier_attempts_left_is_no_evidence(world):
    """The instance that was tried last, with a fraction of a try left, is not struck."""
    never = asyncio.Event()
    first, last = [await world.instance(world.answering_after(never)) for _ in range(2)]
    route = Route("by-name", "", per_try=0.4, timeout=0.5)
    gateway = await world.gateway(first, last, table=Table(base=route), draws=lambda: 0.0)
    gateway.prefer(first)

    reply = await gateway.call()

    assert (reply.status, reply.attempts) == (504, 2)
    assert member_of(gateway, first).ejection.consecutive == 1
    assert member_of(gateway, last).ejection.consecutive == 0


async def test_a_slow_upload_does_not_make_its_instance_slow(world):
    """A body that takes its client 20 s leaves the instance's answer time as it was."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    shift = 0.0
    gateway.context.clock = lambda: time.monotonic() + shift
    half = b"x" * 100_000
    wire = await gateway.connect()
    head = b"POST /car-evaluation/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    wire.send(head % (2 * len(half)) + half)
    await world.until(lambda: instance.connections == 1)
    shift = 20.0
    wire.send(half)

    assert (await wire.reply()).status == 200
    assert member_of(gateway, instance).cost < 1.0


@pytest.mark.parametrize("raw", [GET, UPGRADE], ids=["stream", "tunnel"])
async def test_an_answer_that_has_begun_ends_an_ejection(world, raw):
    """The probe of an ejected instance may become a stream of hours: its head is the proof."""

    async def long(_, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        if raw is UPGRADE:
            wire.send(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
        else:
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await wire.reader.read()

    instances = [await world.instance(long) for _ in range(2)]
    gateway = await world.gateway(
        *instances,
        table=Table(base=Route("by-name", "", upgrade=True, idempotent=frozenset({b"GET"}))),
    )
    member = put_out(gateway, instances[0])
    wire = await gateway.connect()
    wire.send(raw)
    await wire.reader.readuntil(b"\r\n\r\n")

    assert member.in_flight == 1
    assert member.ejection.cause is None
    wire.close()
    await world.until(lambda: not gateway.context.active)
    assert member.ejection.cause is None


async def test_what_may_run_twice_is_asked_when_the_service_is_known(world):
    """A declared POST that came before discovery had answered is tried on another instance."""

    async def first_breaks(instance, wire):
        while True:
            await instance.take(wire)
            if sum(len(one.executed) for one in instances) == 1:
                wire.reset()
                return
            wire.send(world.OK)

    instances = [await world.instance(first_breaks) for _ in range(2)]
    gateway = await world.gateway(*instances)
    known = [member.instance for member in gateway.service.balancer.members.values()]
    gateway.service.sync([], time.monotonic())
    gateway.service.known = False

    asked = asyncio.create_task(gateway.call())
    await world.until(lambda: len(gateway.service.queue) == 1)
    gateway.service.sync(known, time.monotonic())

    reply = await asked
    assert (reply.status, reply.attempts) == (200, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["longer", "204 with a body", "204 in chunks"],
)
async def test_bytes_after_a_whole_answer_take_nothing_from_it(world, answer):
    """The client goes on, the instance is well; only that connection is not used again."""
    instance = await world.instance(world.answering(answer))
    gateway = await world.gateway(instance)
    wire = await gateway.connect()

    for count in (1, 2, 3):
        wire.send(GET)
        reply = await wire.reply()
        assert reply.status == int(answer.split()[1])
        assert instance.connections == count

    assert {outcome for *_, outcome in gateway.context.counters.attempt_outcomes} == {
        Outcome.ANSWERED
    }
