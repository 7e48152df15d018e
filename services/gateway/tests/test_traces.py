"""A sampled request has a span, and one for each attempt; others cost and change nothing."""

import json
import re

import pytest
from gateway.telemetry.access_log import line
from gateway.telemetry.traces import RequestTracer
from service_kit import Span, SpanKind, Tracer

pytestmark = pytest.mark.anyio

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


def trace(gateway, *, share: float = 1.0) -> list[Span]:
    """Have a gateway trace; return the list that gets the spans."""
    spans: list[Span] = []

    def put(span: Span) -> bool:
        spans.append(span)
        return True

    gateway.context.counters.tracer = RequestTracer(Tracer(put, share, lambda: 0.5))
    return spans


async def test_each_attempt_is_a_part_of_the_request(world):
    """The first instance refuses, the second answers: what it got makes it a part of attempt 2."""
    dead, good = world.refusing(), await world.instance()
    gateway = await world.gateway(dead, good)
    gateway.prefer(dead)
    spans = trace(gateway)
    reply = await gateway.call(traceparent=f"{PARENT}01")
    await world.until(lambda: len(spans) == 3)
    request, first, second = spans

    assert reply.status == 200
    assert {each.trace_id for each in spans} == {PARENT[3:35]}
    assert request.parent_id == PARENT[36:52]
    assert [each.parent_id for each in (first, second)] == [request.span_id] * 2
    assert [each.kind for each in spans] == [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT]
    assert [each.failed for each in spans] == [False, True, False]
    assert good.executed[0].all("traceparent") == [second.traceparent]
    assert first.attributes["gateway.outcome"] == "refused"
    assert first.attributes["server.address"] == f"127.0.0.1:{dead.port}"
    assert second.attributes["gateway.retry_after_outcome"] == "refused"
    assert (second.attributes["gateway.attempt"], second.attributes["gateway.outcome"]) == (
        2,
        "answered",
    )
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["request_id"] == reply.one("x-request-id")
    assert all(each.began <= each.ended for each in spans)
    assert request.began <= second.began
    assert second.ended <= request.ended


async def test_a_reply_of_the_gateway_s_own_has_a_span(world):
    """No instance is there: the span of the request says that it failed, and how."""
    gateway = await world.gateway(world.refusing())
    spans = trace(gateway)
    reply = await gateway.call()
    await world.until(lambda: len(spans) > 1)

    assert reply.status >= 500
    assert spans[0].failed
    assert spans[0].attributes["http.response.status_code"] == reply.status
    assert {each.attributes["gateway.outcome"] for each in spans[1:]} == {"refused"}


@pytest.mark.parametrize(
    ("given", "share", "sampled"),
    [("01", 0.0, True), ("00", 1.0, False), (None, 0.6, True), (None, 0.4, False)],
)
async def test_the_caller_decides_or_chance(world, given, share, sampled):
    """What `traceparent` says holds, else the share; the instance learns what was decided."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    spans = trace(gateway, share=share)
    fields = {} if given is None else {"traceparent": PARENT + given}
    await gateway.call(tracestate="a=1", baggage="b=2", **fields)
    passed = instance.executed[0]

    assert bool(spans) is sampled
    if given == "00":
        assert passed.all("traceparent") == list(fields.values())
    else:
        flags = "01" if sampled else "00"
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-" + flags, passed.one("traceparent"))
    assert (passed.one("tracestate"), passed.one("baggage")) == ("a=1", "b=2")


async def test_a_malformed_decision_is_replaced(world):
    """Instead of what is no `traceparent` the instance gets one that says: not sampled."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    trace(gateway, share=0.0)
    await gateway.call(traceparent="00-zz-zz-01")
    await gateway.call()
    first, second = (each.one("traceparent") for each in instance.executed)

    assert first.endswith("-00")
    assert second.endswith("-00")
    assert first != second


async def test_the_access_log_has_the_trace(world):
    """A line of a traced request has its trace's id."""
    gateway = await world.gateway(await world.instance())
    spans = trace(gateway)
    lines: list[bytes] = []
    gateway.context.counters.log = lambda *told: lines.append(line(*told, wall=0.0))
    await gateway.call()
    await world.until(lambda: len(spans) == 2)

    assert json.loads(lines[0])["trace_id"] == spans[0].trace_id
