"""Where a request would go: what is told before is what happens after."""

import hashlib
from contextlib import suppress

import pytest
from failover import Instance, Outcome
from gateway.control.explanation import MAX_INSTANCES, Question, explain
from gateway.http.problems import LocalReply
from gateway.routing.limits import ConcurrencyGuard, RateGuard
from gateway.upstream.service import Service, ServiceLimits
from hypothesis import given, strategies as st

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"
KEY = "a-key-of-this-test"
ROUTES = (
    {"path": "/cars", "service": SERVICE, "strip_prefix": "/cars"},
    {"path": "/read", "service": SERVICE, "methods": ["GET"]},
    {"path": "/locked", "service": SERVICE, "keys": [hashlib.sha256(KEY.encode()).hexdigest()]},
    {"path": "/old", "redirect": {"to": "https://new.example/"}},
    {"path": "/twice", "service": SERVICE, "idempotent": ["POST"]},
    {"path": "/big", "service": SERVICE, "max_body_bytes": 10},
)


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("GET", "/cars/x?y=1", ()),
        ("POST", f"/{SERVICE}/declared", ()),
        ("POST", "/read/x", ()),
        ("GET", "/locked", ()),
        ("GET", "/locked", (("X-Api-Key", KEY),)),
        ("GET", "/old", ()),
        ("GET", "/a b", ()),
        ("GET", "/cars/../x", ()),
        ("BREW", "/cars", ()),
        ("GET", "/cars", (("Bad name", "x"),)),
        ("POST", "/big", (("Content-Length", "11"),)),
        ("GET", "/nobody-knows-it/x", ()),
        ("GET", "/%ff@@/x", ()),
    ],
)
async def test_a_request_does_what_was_said(world, by_document, method, target, fields):
    """The reply of the gateway itself, or the path at the instance: as told before."""
    instance = await world.instance()
    gateway = await world.gateway(instance, table=by_document(*ROUTES))
    told = explain(gateway.context, gateway.directory, Question(method, target, tuple(fields)))

    body = b"x" * int(dict(fields).get("Content-Length", "0"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (("Host", "localhost"), *fields))
    reply = await gateway.ask(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    if "reply" in told:
        assert reply.status == told["reply"]["status"]
        assert instance.executed == []
    else:
        (request,) = instance.executed
        assert request.line.split(" ")[1] == told["target"]
        assert told["groups"][0]["instances"][0]["address"] == f"127.0.0.1:{instance.port}"


@pytest.mark.parametrize(
    ("method", "target", "ground"),
    [
        ("GET", "/cars/x", "method"),
        ("POST", "/twice", "route"),
        ("POST", "/cars/declared", "service"),
        ("POST", "/cars/other", "nobody"),
    ],
)
async def test_who_says_that_a_request_may_run_twice(world, by_document, method, target, ground):
    """Method, route, service or nobody; and after which outcomes another instance is asked."""
    gateway = await world.gateway(await world.instance(), table=by_document(*ROUTES))

    told = explain(gateway.context, gateway.directory, Question(method, target))

    assert told["ground"] == ground
    assert told["repeatable"] is (ground != "nobody")
    broken = "never" if ground == "nobody" else "elsewhere"
    assert told["after"][Outcome.BROKEN.value] == broken
    assert told["after"][Outcome.REFUSED.value] == "elsewhere"


async def test_a_question_counts_nowhere(world, by_document):
    """However often it is asked, no limit is used up, nothing is counted, nobody is followed."""
    limits = {"rate_limit": {"per_second": 1, "burst": 1}, "concurrency": 1}
    table = by_document({"path": "/cars", "service": SERVICE, **limits})
    gateway = await world.gateway(await world.instance(), table=table)
    (route,) = table.routes
    assert isinstance(route.rate, RateGuard)
    assert isinstance(route.concurrency, ConcurrencyGuard)

    for _ in range(5):
        told = explain(gateway.context, gateway.directory, Question("GET", "/cars"))
        missed = explain(gateway.context, gateway.directory, Question("GET", "/nobody/x"))

    assert told["limits"] == {"per_second": 1, "at_once": 1}
    assert missed["unfollowed"] == "nobody"
    assert list(gateway.directory.services) == [SERVICE]
    assert gateway.context.counters.requests == {}
    assert (await gateway.ask(b"GET /cars HTTP/1.1\r\nHost: h\r\n\r\n")).status == 200
    assert (await gateway.ask(b"GET /cars HTTP/1.1\r\nHost: h\r\n\r\n")).status == 429


async def test_the_shares_of_a_split_are_told(world, by_document):
    """Each share with its labels and percent, and which one it is this time."""
    split = [{"metadata": {"v": "2"}, "weight": 10}]
    table = by_document({"path": "/cars", "service": SERVICE, "split": split})
    gateway = await world.gateway(await world.instance(), table=table, draws=lambda: 0.05)

    told = explain(gateway.context, gateway.directory, Question("GET", "/cars"))

    assert told["shares"] == [({"v": "2"}, 10.0), ({}, 90.0)]
    assert told["labels"] == {"v": "2"}


async def test_a_large_service_is_cut(world):
    """Of a thousand instances those of the first groups are named, and all are counted."""
    gateway = await world.gateway(await world.instance())
    service = Service(SERVICE, ServiceLimits())
    service.sync([Instance("10.0.0.1", port) for port in range(1, 1001)], 0.0)
    gateway.directory.services[SERVICE] = service

    told = explain(gateway.context, gateway.directory, Question("GET", f"/{SERVICE}/x"))

    assert told["groups"][0]["count"] == 1000
    assert len(told["groups"][0]["instances"]) == MAX_INSTANCES


@given(
    st.text(max_size=20),
    st.text(max_size=40),
    st.lists(st.tuples(st.text(max_size=10), st.text(max_size=20)), max_size=4),
)
def test_whatever_is_asked_is_a_request_or_a_reply(method, target, fields):
    """No text of a form breaks the worker, and none becomes two requests."""
    with suppress(LocalReply):
        assert b"\n" not in Question(method, target, tuple(fields)).head().target
