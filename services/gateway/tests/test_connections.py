"""Connections to an instance: shared by a burst, dialled as needed, for nobody who has left."""

import asyncio
import os
import socket
import time

import pytest
from failover import Budget, BudgetPolicy, Instance
from gateway.routing.table import Route, Table
from gateway.upstream.service import ServiceLimits

pytestmark = pytest.mark.anyio

POST = b"POST /car-evaluation/%b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
DECLARED = POST % b"declared"


class Narrow:
    """An instance that accepts some connections and then no more: its queue is full."""

    def __init__(self, world, instance) -> None:
        self._world = world
        self.instance = instance
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen(0)
        self._sock.setblocking(False)  # noqa: FBT003 - as in socket
        world.stack.callback(self._sock.close)
        self._serving = set()
        instance.port = self._sock.getsockname()[1]

    async def accept(self, count: int) -> None:
        """Take the next connections."""
        for _ in range(count):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._sock)
            reader, writer = await asyncio.open_connection(sock=sock, limit=2**20)
            task = asyncio.create_task(self.instance.serve(reader, writer))
            self._serving.add(task)
            self._world.stack.callback(task.cancel)

    def fill(self) -> None:
        """Take no further one."""
        self._world.fill(self._sock)


async def narrow(world, behaviour) -> Narrow:
    """An instance that will be narrow; the port that it has meanwhile is nobody's."""
    return Narrow(world, await world.instance(behaviour))


def lost_race(world, go: asyncio.Event):
    """The first connection ends as its second request comes; others answer once `go` is set."""

    async def behaviour(instance, wire):
        if instance.connections == 1:
            await instance.take(wire)
            wire.send(world.OK)
            await instance.take(wire)
            return
        await world.answering_after(go)(instance, wire)

    return behaviour


async def test_every_request_of_a_burst_gets_a_connection_if_all_are_needed(world):
    """An instance that answers none before it has all: 90 connections are dialled, not 8."""
    go = asyncio.Event()
    instance = await world.instance(world.answering_after(go))
    gateway = await world.gateway(instance)
    wires = [await gateway.connect() for _ in range(90)]

    for wire in wires:
        wire.send(DECLARED)

    await world.until(lambda: len(instance.executed) == len(wires), "every request's arrival")
    go.set()
    replies = [await wire.reply() for wire in wires]
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}


async def test_a_connection_that_is_given_back_serves_who_waits(world):
    """Dials hang, one connection is open: one request after the other goes through it."""
    place = await narrow(world, world.well)
    gateway = await world.gateway(place.instance, limits=ServiceLimits(connect=8.0))
    first = asyncio.create_task(gateway.call())
    await place.accept(1)
    await first
    place.fill()
    wires = [await gateway.connect() for _ in range(20)]

    for wire in wires:
        wire.send(DECLARED)

    replies = [await wire.reply() for wire in wires]
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    assert place.instance.connections == 1


async def test_who_waits_too_long_goes_elsewhere_and_is_forgotten(world):
    """After the connect timeout another instance is asked, and the first hears nothing of it."""
    go = asyncio.Event()
    place = await narrow(world, world.answering_after(go))
    fine = await world.instance()
    gateway = await world.gateway(
        place.instance, fine, limits=ServiceLimits(connect=0.2), draws=lambda: 0.0
    )
    gateway.prefer(place.instance)
    first = asyncio.create_task(gateway.call())
    await place.accept(1)
    await world.until(lambda: len(place.instance.executed) == 1)
    place.fill()

    second = await gateway.call()
    go.set()

    assert (second.status, second.attempts) == (200, 2)
    assert (await first).status == 200
    assert len(fine.executed) == len(place.instance.executed) == 1
    upstreams = gateway.service.pools.items()
    (upstream,) = [one for member, one in upstreams if member.instance.port == place.instance.port]
    await world.until(lambda: len(upstream.idle) == 1, "the connection is kept")


async def test_nobody_waits_for_one_dial_after_the_other(world):
    """Forty requests at an instance that accepts no more: all go elsewhere at the same time."""
    place, fine = await narrow(world, world.well), await world.instance()
    place.fill()
    gateway = await world.gateway(
        place.instance, fine, limits=ServiceLimits(connect=0.4), draws=lambda: 0.0
    )
    gateway.prefer(place.instance)
    gateway.service.balancer.budget = Budget(BudgetPolicy(ratio=0.0, floor=100.0))
    wires = [await gateway.connect() for _ in range(40)]
    started = asyncio.get_running_loop().time()

    for wire in wires:
        wire.send(DECLARED)
    replies = [await wire.reply() for wire in wires]

    assert {reply.status for reply in replies} == {200}
    assert asyncio.get_running_loop().time() - started < 1.2


async def test_a_hurried_client_is_no_evidence_against_an_instance(world):
    """Its time is over before the connect timeout is: 504, and the instance stays in traffic."""
    place = await narrow(world, world.well)
    place.fill()
    gateway = await world.gateway(place.instance, limits=ServiceLimits(connect=8.0))

    reply = await gateway.call(X_Request_Timeout_Ms="60")

    assert reply.status == 504
    assert "connection_timeout" in reply.one("proxy-status")
    (member,) = gateway.service.balancer.members.values()
    assert (member.ejection.cause, member.in_flight) == (None, 0)


async def test_what_is_no_address_is_dialled_once(world):
    """Nacos says what it was told; such an instance is as good as a dead one."""
    gateway = await world.gateway(await world.instance())
    declared = {"gateway.idempotent": "POST /declared"}
    gateway.service.sync([Instance("a..b", 80, metadata=declared)], time.monotonic())

    reply = await gateway.call()

    assert reply.status == 503
    assert reply.attempts <= 2


async def test_who_leaves_while_waiting_is_passed_over(world):
    """The connection goes to the next request; the one that was left is sent nowhere."""
    go = asyncio.Event()
    place = await narrow(world, world.answering_after(go))
    gateway = await world.gateway(place.instance, limits=ServiceLimits(connect=8.0))
    first = asyncio.create_task(gateway.call("/first"))
    await place.accept(1)
    await world.until(lambda: len(place.instance.executed) == 1)
    place.fill()
    leaving, staying = await gateway.connect(), await gateway.connect()
    leaving.send(POST % b"left")
    await world.until(lambda: len(gateway.context.active) == 2)
    staying.send(POST % b"stayed")
    await world.until(lambda: len(gateway.context.active) == 3)

    leaving.close()
    await world.until(lambda: len(gateway.context.active) == 2)
    go.set()

    assert (await first).status == (await staying.reply()).status == 200
    paths = [request.line.split(" ")[1] for request in place.instance.executed]
    assert paths == ["/first", "/stayed"]


async def test_the_free_retry_waits_for_a_new_connection(world):
    """A connection that is given back could be dying too; it serves only after the dial failed."""
    go = asyncio.Event()

    place = await narrow(world, lost_race(world, go))
    table = Table(base=Route("by-name", "", timeout=2.0))
    gateway = await world.gateway(place.instance, limits=ServiceLimits(connect=0.4), table=table)
    first = asyncio.create_task(gateway.call("/first"))
    await place.accept(1)
    assert (await first).status == 200
    (upstream,) = gateway.service.pools.values()
    await world.until(lambda: len(upstream.idle) == 1)
    racing, held = await gateway.connect(), await gateway.connect()
    kept = upstream.idle.pop()
    held.send(POST % b"held")
    await place.accept(1)
    await world.until(lambda: len(place.instance.executed) == 2)
    upstream.put(kept)
    place.fill()

    racing.send(POST % b"declared")
    await world.until(lambda: len(place.instance.executed) == 3)
    go.set()

    assert (await held.reply()).status == 200
    await world.until(lambda: len(upstream.idle) == 1)
    assert len(place.instance.executed) == 3
    reply = await racing.reply()
    assert (reply.status, reply.attempts) == (200, 3)


async def test_what_cannot_be_sent_again_is_sent_on_a_young_connection(world):
    """A declared request whose body is too large to be kept meets no connection of seconds ago."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    (upstream,) = gateway.service.pools.values()
    assert (await gateway.call()).status == 200
    await world.until(lambda: len(upstream.idle) == 1)
    upstream.idle[0].idle_since -= 3.0

    assert (await gateway.call(body=b"x" * 300_000)).status == 200
    assert instance.connections == 2


async def test_a_connection_that_has_ended_unseen_gets_nothing_that_must_not_run_twice(world):
    """An end that is there before the request is: an undeclared POST goes on a new connection."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    (upstream,) = gateway.service.pools.values()
    client = await gateway.connect()

    for count in range(1, 6):
        client.send(POST % b"x")
        assert (await client.reply()).status == 200
        await world.until(lambda: len(upstream.idle) == 1)
        (kept,) = instance.open
        # Both within one turn of the loop: the gateway may look at the client first.
        os.write(client.writer.get_extra_info("socket").fileno(), POST % b"x")
        with socket.socket(fileno=os.dup(kept.writer.get_extra_info("socket").fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

        reply = await client.reply()
        assert (reply.status, reply.attempts) == (200, 1)
        assert len(instance.executed) == 2 * count
        await world.until(lambda: len(instance.open) == 1)


async def test_a_connection_that_has_ended_is_not_given_to_who_waits(world):
    """An instance that answers, closes and does not say so: the next request gets a new one."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    (upstream,) = gateway.service.pools.values()
    assert (await gateway.call()).status == 200
    await world.until(lambda: len(upstream.idle) == 1)
    given_back = upstream.idle.pop()
    taken = []

    class Waiter:
        def connected(self, connection):
            taken.append(connection)

        def connect_failed(self):
            taken.append(None)

    (kept,) = instance.open
    with socket.socket(fileno=os.dup(kept.writer.get_extra_info("socket").fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
    upstream.wait(Waiter())
    upstream.put(given_back)

    await world.until(lambda: bool(taken))
    assert taken[0] not in (given_back, None)
    upstream.put(taken[0])


async def test_the_free_retry_keeps_its_place(world):
    """An instance that takes one request at a time gets no second one when the race is lost."""
    go = asyncio.Event()

    instance = await world.instance(lost_race(world, go))
    gateway = await world.gateway(instance)
    (member,) = gateway.service.balancer.members.values()
    member.limit = 1
    assert (await gateway.call()).status == 200
    calls = [asyncio.create_task(gateway.call()) for _ in range(2)]
    await world.until(lambda: len(instance.executed) == 3, "the request came again")

    assert member.in_flight == 1
    go.set()
    assert [reply.status for reply in await asyncio.gather(*calls)] == [200, 200]


async def test_only_pools_with_an_idle_connection_are_looked_at(world):
    """A gateway may know ten thousand instances that nobody calls."""
    gateway = await world.gateway(*[await world.instance() for _ in range(3)])
    service = gateway.service
    assert not service.warm

    await gateway.call()
    await world.until(lambda: len(service.warm) == 1, "the connection is kept")
    (pool,) = service.warm
    service.prune(time.monotonic() + 60)
    assert not service.warm
    assert not pool.idle


async def test_the_sweep_rests_while_there_is_no_request(world):
    """Then the first request wakes it, for the sweep keeps that request's deadlines."""
    go = asyncio.Event()
    gateway = await world.gateway(await world.instance(world.answering_after(go)))
    await world.until(lambda: gateway.context.wake is not None, "the sweep rests")

    asking = asyncio.create_task(gateway.call())
    await world.until(lambda: bool(gateway.context.active), "the request is under way")
    assert gateway.context.wake is None
    go.set()

    assert (await asking).status == 200
    await world.until(lambda: gateway.context.wake is not None, "the sweep rests again")
