"""The queue of a service: who goes on when an instance has room again."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio
ONE_AT_A_TIME = {"gateway.idempotent": "POST /declared", "gateway.max-in-flight": "1"}


async def test_room_that_one_request_may_not_have_goes_to_the_next(world):
    """One that tried all there are is refused in its turn, and who comes after it goes on."""
    never, fails, ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fail_once(instance, wire):
        while True:
            await instance.take(wire)
            if len(instance.executed) == 1:
                await fails.wait()
                wire.reset()
                return
            await ends.wait()
            wire.send(world.OK)

    busy, weak = await world.instance(world.answering_after(never)), await world.instance(fail_once)
    gateway = await world.gateway(busy, weak, metadata=ONE_AT_A_TIME)
    service = gateway.service
    gateway.prefer(busy)
    asked = asyncio.create_task(gateway.call())
    await world.until(lambda: len(busy.executed) == 1)
    first = asyncio.create_task(gateway.call())
    await world.until(lambda: len(weak.executed) == 1)
    second = asyncio.create_task(gateway.call())
    await world.until(lambda: len(service.queue) == 1)
    fails.set()
    await world.until(lambda: len(weak.executed) == 2 and len(service.queue) == 1)
    third = asyncio.create_task(gateway.call())
    await world.until(lambda: len(service.queue) == 2)

    service.balancer.drain(f"127.0.0.1:{busy.port}", drained=True)
    ends.set()

    assert (await second).status == 200
    assert (await first).status == 502
    assert (await third).status == 200
    asked.cancel()
