"""Shadow traffic: what is copied, what is compared, and that the client never notices."""

import asyncio
import time

import pytest
from failover import Cause, Instance
from gateway.proxy.shadow import COMPARED, MAX_SHADOWS, ComparedAnswer, agree
from gateway.routing.document import RoutesDocument
from gateway.routing.table import ShadowRule
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.traces import RequestTracer
from gateway.upstream.service import Service, ServiceLimits
from hypothesis import given, strategies as st
from pydantic import ValidationError
from service_kit import Span, Tracer

pytestmark = pytest.mark.anyio
LIVE = "car-evaluation"
CANDIDATE = "candidate"


def table(**shadow):
    route = {"path": "/p", "service": LIVE, "shadow": {"service": CANDIDATE, **shadow}}
    return RoutesDocument.model_validate({"routes": [route]}).compile()


def saying(body: bytes, status: int = 200):
    async def behave(instance, wire):
        while True:
            await instance.take(wire)
            wire.send(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    return behave


async def silent(instance, wire):
    await instance.take(wire)
    await wire.reader.read()


async def behind(world, table, live, *candidates, metadata=()):
    """A gateway whose route copies requests from one instance to others."""
    gateway = await world.gateway(live, table=table)
    service = gateway.directory.services[CANDIDATE] = Service(CANDIDATE, ServiceLimits())
    labels = dict(metadata)
    found = [Instance("127.0.0.1", one.port, metadata=labels) for one in candidates]
    service.sync(found, time.monotonic())
    return gateway


async def post(gateway, body: bytes = b"x"):
    head = b"POST /p?q HTTP/1.1\r\nHost: h\r\nX-Mine: 1\r\nContent-Length: %d\r\n\r\n" % len(body)
    return await gateway.ask(head + body)


async def counted(world, gateway, **expected: int):
    """Wait until copies ended so, then make sure that nothing of them is left."""
    counts = gateway.context.counters.shadows
    await world.until(lambda: sum(counts.values()) == sum(expected.values()), "the count")
    assert {result: count for (_, result), count in counts.items()} == expected
    assert not gateway.context.shadows
    members = gateway.directory.services[CANDIDATE].balancer.members.values()
    assert all(member.in_flight == 0 for member in members)


@pytest.mark.parametrize(
    ("compare", "candidate", "result"),
    [
        ({}, saying(b"other"), "agreed"),
        ({}, saying(b"same", 422), "differed"),
        ({"compare": "body"}, saying(b"same"), "agreed"),
        ({"compare": "body"}, saying(b"other"), "differed"),
    ],
)
async def test_a_copy_is_sent_and_compared(world, compare, candidate, result):
    """The same request with the same id; status or body decide; the client gets the live answer."""
    live, shadow = await world.instance(saying(b"same")), await world.instance(candidate)
    gateway = await behind(world, table(**compare), live, shadow)

    reply = await post(gateway, b"body")

    assert (reply.status, reply.body, reply.attempts) == (200, b"same", 1)
    await counted(world, gateway, **{result: 1})
    (sent,), (copied,) = live.executed, shadow.executed
    assert copied.line == sent.line == "POST /p?q HTTP/1.1"
    assert copied.body == b"body"
    assert copied.one("x-mine") == "1"
    assert copied.one("x-request-id") == reply.one("x-request-id")
    assert copied.one("host") == f"127.0.0.1:{shadow.port}"


async def test_only_a_copy_is_marked(world):
    """A service can tell copies from live requests by a field that no client can send through."""
    live, shadow = await world.instance(), await world.instance()
    gateway = await behind(world, table(), live, shadow)

    await gateway.ask(b"GET /p HTTP/1.1\r\nHost: h\r\nX-Gateway-Shadow: 7\r\n\r\n")

    await counted(world, gateway, agreed=1)
    (sent,), (copied,) = live.executed, shadow.executed
    assert sent.all("x-gateway-shadow") == []
    assert copied.all("x-gateway-shadow") == ["1"]


async def test_a_copy_is_a_part_of_a_sampled_request(world):
    """Its `traceparent` names the request's span, that of the live request the attempt's."""
    live, shadow = await world.instance(), await world.instance()
    gateway = await behind(world, table(), live, shadow)
    spans: list[Span] = []
    tracer = Tracer(lambda span: spans.append(span) or True, 1.0)
    gateway.context.counters.tracer = RequestTracer(tracer)

    await post(gateway)

    await counted(world, gateway, agreed=1)
    request, attempt = spans
    assert live.executed[0].all("traceparent") == [attempt.traceparent]
    assert shadow.executed[0].all("traceparent") == [request.traceparent]


async def test_a_share_is_copied(world):
    """As many percent as the route says, by chance."""
    live, shadow = await world.instance(), await world.instance()
    gateway = await behind(world, table(share=25), live, shadow)

    for draw in (0.1, 0.24, 0.25, 0.9):
        gateway.context.draw = lambda draw=draw: draw
        assert (await post(gateway)).status == 200

    await counted(world, gateway, agreed=2)
    assert len(shadow.executed) == 2


async def test_a_copy_that_fails_does_not_speak_well_of_its_instance(world):
    """A 503 to a copy neither blames an instance nor wipes out what live requests met there."""
    live, shadow = await world.instance(), await world.instance(saying(b"busy", 503))
    gateway = await behind(world, table(), live, shadow)
    (member,) = gateway.directory.services[CANDIDATE].balancer.members.values()
    member.ejection.fail(time.monotonic(), 3)
    cost = member.cost

    assert (await post(gateway)).status == 200

    await counted(world, gateway, differed=1)
    assert (member.ejection.consecutive, member.cost) == (3, cost)


async def test_a_dead_or_silent_shadow_is_not_noticed(world):
    """Refused, or no answer in time: failed once, never repeated; the client waits for neither."""
    live, refusing = await world.instance(), world.refusing()
    gateway = await behind(world, table(), live, refusing)
    assert (await post(gateway)).status == 200
    await counted(world, gateway, failed=1)
    (member,) = gateway.directory.services[CANDIDATE].balancer.members.values()
    assert member.ejection.cause is Cause.REFUSED

    mute = await world.instance(silent)
    patient = await behind(world, table(timeout=60.0), live, mute)
    assert (await post(patient)).status == 200
    assert len(patient.context.shadows) == 1, "answered while the copy is still out"
    mute = await world.instance(silent)
    gateway = await behind(world, table(timeout=0.3), live, mute)
    clock = asyncio.get_running_loop().time  # the one that ends the copy, in milliseconds
    began = clock()
    assert (await post(gateway)).status == 200
    await counted(world, gateway, failed=1)
    assert round(clock() - began, 3) >= 0.3, "in whole milliseconds"
    assert len(mute.executed) == 1
    (member,) = gateway.directory.services[CANDIDATE].balancer.members.values()
    assert member.ejection.cause is None, "a slow copy is no evidence"


async def test_no_instance_is_a_failure_and_a_label_is_strict(world):
    """A copy never goes to instances without the label."""
    live, shadow = await world.instance(), await world.instance()
    for only in ({"model_version": "2"}, {"model_version": "1"}):
        gateway = await behind(
            world, table(metadata=only), live, shadow, metadata={"model_version": "1"}
        )
        assert (await post(gateway)).status == 200
        await counted(world, gateway, **{"failed" if only["model_version"] == "2" else "agreed": 1})
    assert len(shadow.executed) == 1


async def test_copies_are_bounded(world):
    """Beyond the bound they are dropped and counted; clients are all answered."""
    live, mute = await world.instance(), await world.instance(silent)
    gateway = await behind(world, table(timeout=60), live, mute)

    replies = await asyncio.gather(*(post(gateway) for _ in range(MAX_SHADOWS + 10)))

    assert {reply.status for reply in replies} == {200}
    assert gateway.context.counters.shadows == {("/p", "dropped"): 10}
    assert len(gateway.context.shadows) == MAX_SHADOWS


async def test_what_is_not_kept_whole_is_not_copied(world):
    """A body that is streamed is gone when the answer is there; an answer of ours is none."""
    live, shadow = await world.instance(), await world.instance()
    gateway = await behind(world, table(), live, shadow)

    assert (await post(gateway, b"x" * 100_000)).status == 200
    live_service = gateway.directory.services[LIVE]
    live_service.sync([], time.monotonic())
    assert (await post(gateway)).status == 503

    assert (await gateway.ask(b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n")).status == 503
    assert not gateway.context.counters.shadows
    assert not shadow.executed


async def test_metrics_count_by_route_and_result(world):
    """`gateway_shadow_total`, bounded by the routes of the document."""
    live, shadow = await world.instance(), await world.instance()
    gateway = await behind(world, table(), live, shadow)
    await post(gateway)
    await counted(world, gateway, agreed=1)

    counts = [(*labels, count) for labels, count in gateway.context.counters.shadows.items()]
    state = {"shadow": counts, "seconds": []}
    families = {one.name: one for one in GatewayMetrics(lambda: [state, state]).collect()}
    (sample,) = families["gateway_shadow"].samples
    assert (sample.name, sample.value) == ("gateway_shadow_total", 2)
    assert sample.labels == {"route": "/p", "result": "agreed"}


def seen(body: bytes, status: int = 200) -> ComparedAnswer:
    one = ComparedAnswer(status)
    one.take(body)
    return one


@given(st.binary(max_size=200), st.integers(1, 4))
def test_what_is_kept_does_not_depend_on_packets(body: bytes, pieces: int):
    """However an answer was cut into pieces, it agrees with itself."""
    whole, cut = seen(body), ComparedAnswer(200)
    for start in range(0, len(body), pieces):
        cut.take(body[start : start + pieces])
    assert agree(ShadowRule("s", body=True), whole, cut)


def test_memory_of_an_answer_is_bounded():
    """Beyond 64 KiB the length decides."""
    long, same, longer = (seen(b"x" * size) for size in (COMPARED + 9, COMPARED + 9, COMPARED + 10))
    assert len(longer.kept) == COMPARED
    assert agree(ShadowRule("s", body=True), long, same)
    assert not agree(ShadowRule("s", body=True), long, longer)


def test_members_that_may_differ():
    """A new model says another version; its predictions must be the same."""
    shadow = ShadowRule("s", body=True, ignore=frozenset({"version"}))
    one = seen(b'{"predictions":[1],"version":"1.0.0"}')
    assert agree(shadow, one, seen(b'{"version": "1.1.0", "predictions": [1]}'))
    assert not agree(shadow, one, seen(b'{"predictions":[2],"version":"1.0.0"}'))
    assert not agree(shadow, one, seen(b"not JSON"))
    assert not agree(shadow, seen(b"[1]"), seen(b"[2]"))


@pytest.mark.parametrize(
    "bad", [{"share": 0}, {"share": 101}, {"compare": "head"}, {"timeout": 0}, {"ignore": ["a"]}]
)
def test_a_bad_shadow_is_refused(bad: dict):
    """With the whole document."""
    with pytest.raises(ValidationError):
        table(**bad)


def test_the_shadow_service_is_followed_from_the_start():
    """Discovery knows it before the first copy."""
    assert table().services() == {LIVE, CANDIDATE}
