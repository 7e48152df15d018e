"""The fault matrix: one bad instance, one good one, every kind of request.

For each fault and each kind of request: the status the client gets, the attempts made, and how
often the request was executed on the servers' side.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, replace

import pytest
from failover import Budget, BudgetPolicy, Instance, Outcome
from gateway.routing.table import Route, Table
from gateway.upstream.service import ServiceLimits

pytestmark = pytest.mark.anyio
LONG = 30.0


async def rst_before_read(_, wire):
    await wire.reader.readexactly(1)  # before it came, nothing was sent: that is another fault
    wire.reset()


async def rst_after_read(instance, wire):
    await instance.take(wire)
    wire.reset()


async def close_after_read(instance, wire):
    await instance.take(wire)


async def half_head(instance, wire):
    await instance.take(wire)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    await wire.writer.drain()


async def half_body(instance, wire):
    await instance.take(wire)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await wire.writer.drain()
    wire.writer.close()
    await wire.writer.wait_closed()


async def junk(instance, wire):
    await instance.take(wire)
    wire.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await wire.writer.drain()


async def silent(instance, wire):
    await instance.take(wire)
    await wire.reader.read()


async def slow(instance, wire):
    await instance.take(wire)
    await asyncio.sleep(0.05)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbusy")
    await wire.reader.read()


def answering(head: bytes):
    async def behaviour(instance, wire):
        while True:
            await instance.take(wire)
            wire.send(head + b"Content-Length: 4\r\n\r\nbusy")

    return behaviour


unavailable = answering(b"HTTP/1.1 503 Service Unavailable\r\n")
declining = answering(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n")
not_processed = answering(b"HTTP/1.1 503 Busy\r\nX-Gateway-Not-Processed: 1\r\n")
bad_gateway = answering(b"HTTP/1.1 502 Bad Gateway\r\n")
failing = answering(b"HTTP/1.1 500 Internal Server Error\r\n")
limiting = answering(b"HTTP/1.1 429 Too Many Requests\r\n")


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        again: it may run twice.
        replayable: its body is small enough to be kept.
    """

    name: str
    method: str
    path: str
    body: bytes
    again: bool
    replayable: bool = True


KINDS = [
    Kind("get", "GET", "/x", b"", again=True),
    Kind("head", "HEAD", "/x", b"", again=True),
    Kind("delete", "DELETE", "/x", b"", again=True),
    Kind("patch", "PATCH", "/x", b"small", again=False),
    Kind("put", "PUT", "/x", b"small", again=True),
    Kind("post-declared", "POST", "/declared", b"small", again=True),
    Kind("post-pattern", "POST", "/v2/m/infer", b"small", again=True),
    Kind("post-undeclared", "POST", "/x", b"small", again=False),
    Kind("post-undeclared-empty", "POST", "/x", b"", again=False),
    Kind("post-declared-64k", "POST", "/declared", b"x" * 64 * 1024, again=True),
    Kind("post-declared-large", "POST", "/declared", b"x" * 300_000, again=True, replayable=False),
]

SAFE = "safe"
"""Nothing was executed: every request goes elsewhere."""
REPEAT = "repeat"
"""Only a request that may run twice goes elsewhere."""
UNTOUCHED = "untouched"
"""The answer is the service's own."""
CUT = "cut"
"""The head was passed on: the truncation must be visible."""


@dataclass(frozen=True)
class Fault:
    """What the bad instance does, and what the client gets without a second attempt."""

    name: str
    behaviour: object
    rule: str
    status: int
    executions: int = 1
    """How often the bad instance executes a request that is sent to it."""


FAULTS = [
    Fault("refuse", "refusing", SAFE, 503, 0),
    Fault("black-hole", "black_hole", SAFE, 503, 0),
    Fault("rst-before-read", rst_before_read, REPEAT, 502, 0),
    Fault("rst-after-read", rst_after_read, REPEAT, 502),
    Fault("close-after-read", close_after_read, REPEAT, 502),
    Fault("half-head", half_head, REPEAT, 502),
    Fault("half-body", half_body, CUT, 200),
    Fault("junk", junk, REPEAT, 502),
    Fault("silent", silent, REPEAT, 504),
    Fault("slow", slow, UNTOUCHED, 200),
    Fault("503", unavailable, REPEAT, 503),
    Fault("503-retry-after", declining, SAFE, 503),
    Fault("503-not-processed", not_processed, SAFE, 503),
    Fault("502", bad_gateway, REPEAT, 502),
    Fault("500", failing, UNTOUCHED, 500),
    Fault("429", limiting, UNTOUCHED, 429),
]


def named(name: str) -> Fault:
    (fault,) = (one for one in FAULTS if one.name == name)
    return fault


async def build(world, fault: Fault, *, per_try: float | None = None, good: bool = True):
    """A gateway whose first choice is the bad instance.

    It is impatient only with a fault that nothing but time ends.
    """
    if per_try is None:
        per_try = 0.3 if fault.name == "silent" else 5.0
    if isinstance(fault.behaviour, str):
        bad = getattr(world, fault.behaviour)()
    else:
        bad = await world.instance(fault.behaviour)
    fine = await world.instance()
    gateway = await world.gateway(
        bad, *([fine] if good else []),
        table=Table(base=Route("by-name", "", per_try=per_try, timeout=5.0)),
        limits=ServiceLimits(connect=0.3 if fault.name == "black-hole" else 5.0),
        draws=lambda: 0.0,
    )  # fmt: skip
    gateway.prefer(bad)
    return gateway, bad, fine


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_is_hidden_where_that_is_safe(world, fault: Fault, kind: Kind):
    """Retried elsewhere if permitted, else answered truthfully; never run twice without leave."""
    gateway, bad, good = await build(world, fault)

    reply = await gateway.call(kind.path, kind.method, kind.body)

    sent = fault.executions == 1 and fault.rule is not SAFE
    retried = (fault.rule == SAFE or (fault.rule == REPEAT and kind.again)) and (
        kind.replayable or (fault.executions == 0 and fault.rule == SAFE)
    )
    executed = len(bad.executed) + len(good.executed)
    if retried:
        assert (reply.status, reply.body) == (200, b"" if kind.method == "HEAD" else b"ok")
        assert reply.attempts == 2
        assert len(good.executed) == 1
        assert good.executed[0].body == kind.body
        assert good.executed[0].one("x-gateway-attempt") == "2"
    else:
        assert reply.status == fault.status
        assert reply.attempts == 1
        assert not good.executed
        assert reply.cut is (fault.rule == CUT and kind.method != "HEAD")
    if not kind.again and sent:
        assert executed <= 1
    member = gateway.service.balancer.members[f"127.0.0.1:{bad.port}"]
    assert member.in_flight == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_connection_that_closes_on_its_second_request(world, kind: Kind):
    """The keep-alive race: again on a fresh connection if that is safe, else a truthful 502."""
    lives = 0

    async def once(instance, wire):
        nonlocal lives
        lives += 1
        await instance.take(wire)
        wire.send(world.OK)
        if lives == 1:
            await instance.take(wire)
            return
        await wire.reader.read()

    instance = await world.instance(once)
    gateway = await world.gateway(instance)
    assert (await gateway.call()).status == 200

    reply = await gateway.call(kind.path, kind.method, kind.body)

    hidden = kind.again and kind.replayable
    assert reply.status == (200 if hidden else 502)
    assert len(instance.executed) == (3 if hidden else 2)
    (member,) = gateway.service.balancer.members.values()
    assert (member.in_flight, member.ejection.consecutive) == (0, 0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_with_nobody_else_the_client_is_told_the_truth(world, fault: Fault):
    """One instance only: its own answer passes untouched; ours is a problem with Proxy-Status."""
    gateway, _, _ = await build(world, fault, good=False)

    reply = await gateway.call()

    assert reply.status == fault.status
    ours = fault.rule in (SAFE, REPEAT) and not fault.name[0].isdigit()
    assert bool(reply.all("proxy-status")) is ours
    if ours:
        assert reply.one("content-type") == "application/problem+json"
    elif fault.rule is not CUT:
        assert reply.body == b"busy"


async def test_all_refuse_is_one_quick_pass(world):
    """Three dead instances: each is asked once, without pauses, and the answer is 503."""
    gateway = await world.gateway(*[world.refusing() for _ in range(3)])
    started = asyncio.get_running_loop().time()

    reply = await gateway.call()

    assert reply.status == 503
    assert reply.attempts == 3
    assert reply.one("retry-after") == "1"
    assert asyncio.get_running_loop().time() - started < 1.0


async def test_the_keep_alive_race_is_hidden(world):
    """An instance that closes after each answer without saying so: no client sees it."""

    async def closing(instance, wire):
        await instance.take(wire)
        wire.send(world.OK)
        await instance.take(wire)
        instance.executed.pop()

    instance = await world.instance(closing)
    gateway = await world.gateway(instance)

    replies = [await gateway.call() for _ in range(40)]

    assert {reply.status for reply in replies} == {200}
    assert len(instance.executed) == 40
    assert gateway.service.balancer.members[f"127.0.0.1:{instance.port}"].ejection.cause is None


async def test_an_undeclared_post_never_uses_a_connection_that_may_be_dying(world):
    """After a second of idleness it gets a connection of its own."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    await gateway.call("/x")
    (upstream,) = gateway.service.pools.values()
    await world.until(lambda: len(upstream.idle) == 1)
    upstream.idle[0].idle_since = time.monotonic() - 1.5

    assert (await gateway.call("/x")).status == 200
    assert instance.connections == 2


async def test_a_dead_instance_is_asked_once(world):
    """A refusal ejects at once: of 50 requests, one meets it, and none fails."""
    dead, good = world.refusing(), await world.instance()
    gateway = await world.gateway(dead, good)

    replies = [await gateway.call() for _ in range(50)]

    assert {reply.status for reply in replies} == {200}
    assert sum(reply.attempts for reply in replies) <= 51


async def test_the_deadline_is_kept_and_told(world):
    """504 at the client's own, lower limit; the instance was told how many milliseconds it had."""
    slow = await world.instance(silent)
    gateway = await world.gateway(slow)
    started = asyncio.get_running_loop().time()

    reply = await gateway.call(X_Request_Timeout_Ms="200")

    assert reply.status == 504
    assert 0.15 <= asyncio.get_running_loop().time() - started < 1.5
    assert 100 < int(slow.executed[0].one("x-request-timeout-ms")) <= 200


async def test_retry_after_takes_the_instance_out(world):
    """The instance that asked for a pause gets it."""
    gateway, bad, good = await build(world, named("503-retry-after"))

    for _ in range(10):
        assert (await gateway.call()).status == 200

    assert len(bad.executed) == 1
    assert len(good.executed) == 10


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Ending\r\nRetry-After: 0"])
async def test_an_instance_that_says_it_drains_gets_no_more(world, head: bytes):
    """Its process ends soon, and Nacos may tell later; the gateway's callers do not see that."""
    last = answering(head + b"\r\nConnection: close\r\nX-Gateway-Draining: 1\r\n")
    bad, good = await world.instance(last), await world.instance()
    gateway = await world.gateway(bad, good)
    gateway.prefer(bad)

    replies = [await gateway.call() for _ in range(10)]

    assert {reply.status for reply in replies} == {200}
    assert (len(bad.executed), len(good.executed)) == (1, 9 + (b"503" in head))
    assert not any(reply.all("x-gateway-draining") for reply in replies)


async def test_a_client_that_leaves_takes_its_request_along(world):
    """The instance's connection is closed, nothing is retried, nobody is blamed."""
    waiting = await world.instance(silent)
    gateway = await world.gateway(waiting, await world.instance(silent))
    wire = await gateway.connect()
    wire.send(b"POST /car-evaluation/declared HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    await world.until(lambda: bool(gateway.context.active))
    members = gateway.service.balancer.members.values()
    await world.until(lambda: sum(member.in_flight for member in members) == 1)

    wire.close()

    await world.until(lambda: not gateway.context.active)
    assert sum(member.in_flight for member in members) == 0
    assert all(member.ejection.cause is None for member in members)
    assert gateway.context.counters.requests["by-name", "car-evaluation", 4, "client_gone"] == 1


async def test_without_budget_the_first_failure_is_the_answer(world):
    """The header says why there was no second attempt."""
    gateway, _, _ = await build(world, named("rst-after-read"))
    gateway.service.balancer.budget = Budget(BudgetPolicy(ratio=0.0, floor=0.0))

    reply = await gateway.call()

    assert reply.status == 502
    assert reply.one("x-gateway-retry") == "budget-exhausted"


async def test_what_not_every_instance_declares_is_not_repeated(world):
    """Any instance may be asked to repeat it, so all must have said that this is safe."""
    both = await world.instance(silent), await world.instance(silent)
    table = Table(base=Route("by-name", "", per_try=0.1, timeout=0.3))
    gateway = await world.gateway(*both, table=table)
    assert (await gateway.call()).attempts == 2
    one, other = (Instance("127.0.0.1", instance.port) for instance in both)
    told = replace(one, metadata={"gateway.idempotent": "POST /declared"})
    gateway.service.sync([told, other], time.monotonic())
    before = sum(len(instance.executed) for instance in both)

    reply = await gateway.call()

    assert (reply.status, reply.attempts) == (504, 1)
    assert sum(len(instance.executed) for instance in both) == before + 1


async def test_a_service_can_rule_out_another_attempt(world):
    """`X-Gateway-Retry: never`: its 503 is the answer, and counts against the instance."""

    async def final(instance, wire):
        while True:
            await instance.take(wire)
            wire.send(b"HTTP/1.1 503 No\r\nX-Gateway-Retry: never\r\nContent-Length: 2\r\n\r\nno")

    both = await world.instance(final), await world.instance(final)
    gateway = await world.gateway(*both)

    reply = await gateway.call()

    assert (reply.status, reply.body, reply.attempts) == (503, b"no", 1)
    assert sum(len(instance.executed) for instance in both) == 1
    members = gateway.service.balancer.members.values()
    assert sum(member.ejection.consecutive for member in members) == 1
    assert sum(member.in_flight for member in members) == 0


async def test_an_answer_that_rules_out_another_attempt_is_under_way_until_it_ends(world):
    """A 505 with `X-Gateway-Retry: never` that is cut: its attempt is counted as cut."""

    async def cut(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 505 No\r\nX-Gateway-Retry: never\r\nContent-Length: 9\r\n\r\nno")
        await wire.reader.read(1)

    instance = await world.instance(cut)
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(5):
        await wire.reader.readuntil(b"\r\n\r\nno")
    (member,) = gateway.service.balancer.members.values()

    assert member.in_flight == 1

    for open_wire in list(instance.open):
        open_wire.close()
    await world.until(lambda: member.in_flight == 0)
    outcomes = [outcome for *_, outcome in gateway.context.counters.attempt_outcomes]
    assert outcomes == [Outcome.CUT]


async def test_only_a_debugging_gateway_names_instances(world):
    """In the answer's field and in the error document; times are there for everybody."""
    fine, dead = await world.instance(), world.refusing()
    for debug in (False, True):
        gateway = await world.gateway(fine)
        gateway.context.debug = debug
        reply = await gateway.call()
        assert reply.all("x-gateway-upstream") == [f"127.0.0.1:{fine.port}"] * debug
        total, upstream = re.fullmatch(
            r"gw;dur=([\d.]+), upstream;dur=([\d.]+)", reply.one("server-timing")
        ).groups()
        assert float(total) >= float(upstream)

        broken = await world.gateway(dead)
        broken.context.debug = debug
        attempts = json.loads((await broken.call()).body)["attempts"]
        named = {attempt.get("instance") for attempt in attempts}
        assert named == ({f"127.0.0.1:{dead.port}"} if debug else {None})


async def test_an_instance_that_leaves_while_it_is_asked_leaves_no_label(world):
    """Otherwise every rolling update would leave some behind for ever."""
    go = asyncio.Event()

    gateway = await world.gateway(await world.instance(world.answering_after(go)))
    calling = asyncio.create_task(gateway.call())
    await world.until(lambda: bool(gateway.context.active))
    (member,) = gateway.service.balancer.members.values()
    await world.until(lambda: member.in_flight == 1)
    gateway.service.sync([], time.monotonic())
    go.set()

    assert (await calling).status == 200
    assert not gateway.context.counters.attempt_outcomes
