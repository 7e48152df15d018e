"""Shares of traffic on real sockets (reported as higress issue 529, and of weights 1:3 and 1:9)."""

import time

import pytest
from failover import Instance

pytestmark = pytest.mark.anyio

REQUESTS = 400
GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n"


async def one_after_another(gateway) -> None:
    """Send requests on one connection, each after the answer to the one before."""
    wire = await gateway.connect()
    for _ in range(REQUESTS):
        wire.send(GET)
        assert (await wire.reply()).status == 200


async def test_weights_hold_with_one_request_at_a_time(world):
    """Of two idle instances with weights 1:3 the lighter one gets a quarter; it got 2 %."""
    light, heavy = await world.instance(), await world.instance()
    gateway = await world.gateway(light, heavy)
    weights = {light.port: 1.0, heavy.port: 3.0}
    found = [Instance("127.0.0.1", port, weight=weight) for port, weight in weights.items()]
    gateway.service.sync(found, time.monotonic())

    await one_after_another(gateway)

    assert len(light.executed) == pytest.approx(REQUESTS / 4, abs=0.05 * REQUESTS)
    assert len(light.executed) + len(heavy.executed) == REQUESTS


async def test_a_cold_start_does_not_starve_an_instance(world):
    """An instance whose first answer takes 2 s got 1 of 429 requests in 45 s (higress 529)."""
    shift = 0.0

    async def cold(instance, wire):
        nonlocal shift
        while True:
            await instance.take(wire)
            if len(instance.executed) == 1:
                shift = 2.0
            wire.send(world.OK)

    new, known = await world.instance(cold), await world.instance()
    gateway = await world.gateway(new, known)
    gateway.context.clock = lambda: time.monotonic() + shift

    await one_after_another(gateway)

    assert shift == 2.0
    assert len(new.executed) == pytest.approx(REQUESTS / 2, abs=0.05 * REQUESTS)
