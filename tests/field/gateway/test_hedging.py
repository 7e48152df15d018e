"""A request that may run twice does not wait for an instance that froze."""

import asyncio
import time

import pytest
from failover import Cause
from gateway.upstream.service import Service

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"


async def frozen(instance, wire) -> None:
    """Take requests and answer none, until it is let go."""
    await instance.take(wire)
    await wire.reader.read()


def quick(service: Service, method: bytes = b"POST", path: str = "/declared") -> None:
    """Have the service be known for quick answers."""
    times = service.hedging.times(method, path)
    for _ in range(100):
        times.count(0.001, time.monotonic())


async def test_the_first_answer_wins_and_the_other_attempt_is_dropped(world):
    """It had cost the whole per-try timeout, 5 s; now the least delay and another's answer."""
    ice, well = await world.instance(frozen), await world.instance()
    gateway = await world.gateway(ice, well)
    quick(gateway.service)
    gateway.prefer(ice)

    began = time.monotonic()
    reply = await gateway.call()

    assert (reply.status, reply.attempts) == (200, 2)
    assert time.monotonic() - began < 3.0
    assert well.executed[0].one("x-gateway-attempt") == "2"
    assert gateway.context.counters.hedges == {(NAME, "won"): 1}
    await world.until(lambda: not ice.open)
    members = gateway.service.balancer.members.values()
    assert [member.in_flight for member in members] == [0, 0]
    assert [member.ejection.cause for member in members] == [None, None]


async def test_a_slow_first_attempt_may_still_win(world):
    """The hedge is dropped, and the client has one answer."""
    go = asyncio.Event()
    slow, ice = await world.instance(world.answering_after(go)), await world.instance(frozen)
    gateway = await world.gateway(slow, ice)
    quick(gateway.service)
    gateway.prefer(slow)
    asking = asyncio.ensure_future(gateway.call())
    await world.until(lambda: bool(ice.executed))

    go.set()
    reply = await asking

    assert (reply.status, reply.attempts, reply.body) == (200, 2, b"ok")
    assert gateway.context.counters.hedges == {(NAME, "lost"): 1}
    await world.until(lambda: not ice.open)


@pytest.mark.parametrize(
    ("path", "method", "defaults"),
    [
        ("/undeclared", "POST", {}),
        ("/x", "PUT", {}),
        ("/declared", "POST", {"hedge": False}),
        ("/declared", "POST", {"retries": 0}),
    ],
)
async def test_no_second_attempt_where_it_may_do_harm_or_is_switched_off(
    world, by_document, path: str, method: str, defaults: dict
):
    """A late PUT could undo what its client did next; `hedge: false` is the operator's word."""
    go = asyncio.Event()
    both = [await world.instance(world.answering_after(go)) for _ in range(2)]
    gateway = await world.gateway(*both, table=by_document(defaults=defaults))
    quick(gateway.service, method.encode(), path)
    asking = asyncio.ensure_future(gateway.call(path, method))
    await world.until(lambda: any(one.executed for one in both))
    ticks = gateway.port.ticks
    await world.until(lambda: gateway.port.ticks > ticks + 6)

    go.set()

    assert (await asking).attempts == 1
    assert sum(len(one.executed) for one in both) == 1


@pytest.mark.parametrize("known", [False, True])
async def test_an_attempt_whose_time_is_over_is_given_up_not_hedged(
    world, by_document, known: bool
):
    """A hedge at the deadline ran for nobody; one at the per-try timeout let the first go on."""
    both = [await world.instance(frozen) for _ in range(2)]
    gateway = await world.gateway(*both, table=by_document(defaults={"timeout": 0.2}))
    if known:
        times = gateway.service.hedging.times(b"POST", "/declared")
        for _ in range(100):
            times.count(5.0, time.monotonic())

    reply = await gateway.call()

    assert (reply.status, reply.attempts) == (504, 1)
    assert sum(len(one.executed) for one in both) == 1
    assert not gateway.context.counters.hedges


async def test_the_per_try_timeout_of_a_service_that_is_not_known_yet_is_kept(world, by_document):
    """The attempt is given up, which is evidence, and another one follows."""
    ice, well = await world.instance(frozen), await world.instance()
    terms = {"timeout": 8, "per_try_timeout": 0.1}
    gateway = await world.gateway(ice, well, table=by_document(defaults=terms))
    gateway.prefer(ice)

    assert (await gateway.call()).status == 200

    one, _ = gateway.service.balancer.members.values()
    assert one.ejection.consecutive == 1
    assert not gateway.context.counters.hedges


@pytest.mark.parametrize("first", ["reset", "503", "garbage"])
async def test_a_first_attempt_that_fails_leaves_the_request_to_the_hedge(world, first: str):
    """It is not sent a third time while the second attempt is under way."""
    fail, go = asyncio.Event(), asyncio.Event()

    async def failing(instance, wire) -> None:
        await instance.take(wire)
        await fail.wait()
        if first == "reset":
            wire.reset()
        else:
            bad = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
            wire.send(bad if first == "503" else b"\0\0\r\n\r\n")
            await wire.reader.read()

    one = await world.instance(failing)
    others = [await world.instance(world.answering_after(go)) for _ in range(2)]
    gateway = await world.gateway(one, *others, draws=lambda: 0.0)
    quick(gateway.service)
    asking = asyncio.ensure_future(gateway.call())
    await world.until(lambda: any(other.executed for other in others))

    fail.set()
    await world.until(lambda: not one.open)
    go.set()
    reply = await asking

    assert (reply.status, reply.attempts) == (200, 2)
    assert (len(one.executed), sum(len(other.executed) for other in others)) == (1, 1)


@pytest.mark.parametrize("second", ["refused", "503"])
async def test_a_hedge_that_fails_leaves_the_first_attempt_alone(world, second: str):
    """Its failure counts against its instance; the request waits for the first."""
    go = asyncio.Event()
    slow = await world.instance(world.answering_after(go))
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    bad = world.refusing() if second == "refused" else await world.instance(world.answering(busy))
    gateway = await world.gateway(slow, bad)
    quick(gateway.service)
    gateway.prefer(slow)
    asking = asyncio.ensure_future(gateway.call())
    await world.until(lambda: gateway.context.counters.hedges[NAME, "failed"] == 1)

    go.set()
    reply = await asking

    assert (reply.status, reply.attempts) == (200, 2)
    causes = [member.ejection.cause for member in gateway.service.balancer.members.values()]
    assert causes[0] is None
    assert causes[1] is not None


async def after_its_hedge(world, instance, wire, gateway) -> None:
    """Take a request and go on once the hedge has failed."""
    await instance.take(wire)
    await world.until(lambda: gateway[0].context.counters.hedges[NAME, "failed"] == 1)


async def test_what_a_failed_hedge_proved_counts_when_the_first_attempt_fails(world):
    """A request to which two instances answered garbage is not sent to a third one."""
    gateway = []

    async def garbage(instance, wire) -> None:
        if instance is one:
            await after_its_hedge(world, instance, wire, gateway)
        else:
            await instance.take(wire)
        wire.send(b"\0\0\r\n\r\n")
        await wire.reader.read()

    one, *others = [await world.instance(garbage) for _ in range(3)]
    gateway.append(await world.gateway(one, *others, draws=lambda: 0.0))
    quick(gateway[0].service)

    reply = await gateway[0].call()

    assert (reply.status, reply.attempts) == (502, 2)
    assert [len(each.executed) for each in (one, *others)].count(1) == 2


async def test_each_attempt_has_a_number_of_its_own(world):
    """The attempt after a failed hedge had the hedge's number."""
    gateway = []

    async def failing_twice(instance, wire) -> None:
        if instance is one:
            await after_its_hedge(world, instance, wire, gateway)
            return
        await instance.take(wire)
        if all(other.executed for other in (one, *others)):
            wire.send(world.OK)

    one, *others = [await world.instance(failing_twice) for _ in range(3)]
    gateway.append(await world.gateway(one, *others, draws=lambda: 0.0))
    quick(gateway[0].service)

    reply = await gateway[0].call()

    assert (reply.status, reply.attempts) == (200, 3)
    numbers = [each.executed[0].one("x-gateway-attempt") for each in (one, *others)]
    assert sorted(numbers) == ["1", "2", "3"]


async def test_a_client_that_leaves_ends_both_attempts(world):
    """Nothing stays in flight."""
    both = [await world.instance(frozen) for _ in range(2)]
    gateway = await world.gateway(*both)
    quick(gateway.service)
    wire = await gateway.connect()
    wire.send(b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    await world.until(lambda: all(one.executed for one in both))

    wire.close()

    await world.until(lambda: not any(one.open for one in both))
    members = gateway.service.balancer.members.values()
    await world.until(lambda: [member.in_flight for member in members] == [0, 0])


async def test_a_probe_that_a_hedge_overtakes_has_failed(world):
    """Else a frozen instance would be probed again and again, a request at a time."""
    ice, well = await world.instance(frozen), await world.instance()
    gateway = await world.gateway(ice, well)
    quick(gateway.service)
    members = list(gateway.service.balancer.members.values())
    member = members[0]
    member.ejection.eject(Cause.CONSECUTIVE, time.monotonic() - 60.0, 0.0)
    gateway.service.sync([one.instance for one in members], time.monotonic())
    before = member.ejection.until

    assert (await gateway.call()).status == 200

    assert len(ice.executed) == 1
    assert member.ejection.cause is not None
    assert member.ejection.until > before
