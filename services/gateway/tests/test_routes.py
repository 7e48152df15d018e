"""Routes: the document, matching, canaries, limits, keys."""

import asyncio
import hashlib
import json
import socket
from collections import Counter

import httpx
import pytest
from failover import Instance
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import HANDLED, FieldCollector, check_head
from gateway.http.problems import LocalReply
from gateway.routing.document import RoutesDocument
from gateway.settings import GatewaySettings
from gateway.upstream.service import MAX_QUEUE, ServiceLimits
from gateway.worker import data_path
from hypothesis import given, strategies as st
from nacos_client.testing import FakeNacos
from pydantic import ValidationError

pytestmark = pytest.mark.anyio


def table(*routes: dict, **more):
    return RoutesDocument.model_validate({"routes": list(routes), **more}).compile()


def head_of(target: str, method: str = "GET"):
    fields = FieldCollector(HANDLED, MAX_FIELDS)
    fields.in_head = True
    fields.on_header(b"Host", b"h")
    return check_head(
        method.encode(), target.encode(), fields, most_bytes=0, http10=False,
        keep_alive=True,
    )  # fmt: skip


def goes(table, target: str, method: str = "GET") -> tuple[str, str, str]:
    route, service, sent, _ = table.match(head_of(target, method))
    return route.name, service, sent.decode()


def test_an_absent_document_means_routes_by_name():
    """`/{service}/{path}` is `/{path}` of that service."""
    empty = table()

    assert goes(empty, "/car-evaluation/api/v1/predict?a=b") == (
        "by-name", "car-evaluation", "/api/v1/predict?a=b",
    )  # fmt: skip
    assert goes(empty, "/car-evaluation") == ("by-name", "car-evaluation", "/")
    assert goes(empty, "/car-evaluation?x") == ("by-name", "car-evaluation", "/?x")
    assert goes(empty, "/car-evaluation?u=http://a/b")[1:] == ("car-evaluation", "/?u=http://a/b")


def test_the_longest_path_wins_and_ends_at_a_segment():
    """`/a` is not `/ab`; `/a/b` goes before `/a`."""
    both = table({"path": "/a", "service": "one"}, {"path": "/a/b", "service": "two"})

    assert goes(both, "/a/x")[1] == "one"
    assert goes(both, "/a/b/x")[1] == "two"
    assert goes(both, "/a/bc")[1] == "one"
    assert goes(both, "/ab/x") == ("by-name", "ab", "/x")


def test_exact_and_catch_all():
    """An exact route has nothing below it; `/` has everything."""
    some = table({"path": "/", "service": "all"}, {"path": "/x", "exact": True, "service": "x"})

    assert goes(some, "/x")[1] == "x"
    assert goes(some, "/x/y")[1] == "all"


def test_an_exact_path_is_matched_as_it_is_written():
    """With its last slash or without; a prefix has none."""
    some = table({"path": "/x/", "exact": True, "service": "x"}, {"path": "/y/", "service": "y"})

    assert goes(some, "/x/") == ("/x/", "x", "/x/")
    assert goes(some, "/x")[0] == goes(some, "/x/z")[0] == "by-name"
    assert goes(some, "/y")[1] == goes(some, "/y/z")[1] == "y"


@pytest.mark.parametrize(
    ("entry", "target", "sent"),
    [
        ({"strip_prefix": "/a"}, "/a/b/c?q=/a", "/b/c?q=/a"),
        ({"strip_prefix": "/a"}, "/a/b%2Fc", "/b%2Fc"),
        ({"strip_prefix": "/a/b"}, "/a/b", "/"),
        ({"strip_prefix": "/a/b", "rewrite": "/v1"}, "/a/b/c", "/v1/c"),
        ({"strip_prefix": "/a/b", "rewrite": "/v1"}, "/a/b?q", "/v1?q"),
        ({"rewrite": "/v1"}, "/a/b/c", "/v1/a/b/c"),
        ({}, "/a/b/c", "/a/b/c"),
    ],
)
def test_strip_and_rewrite(entry: dict, target: str, sent: str):
    """Segments are removed and put in front; what remains passes byte for byte."""
    path = "/a/b" if entry.get("strip_prefix") == "/a/b" else "/a"

    assert goes(table({"path": path, "service": "s", **entry}), target)[2] == sent


def test_methods_are_part_of_the_match():
    """Another method is another route's, or a 405 that names the allowed ones."""
    some = table(
        {"path": "/a", "service": "read", "methods": ["GET"], "name": "r"},
        {"path": "/a", "service": "write", "methods": ["POST"], "name": "w"},
    )

    assert goes(some, "/a")[1] == "read"
    assert goes(some, "/a", "POST")[1] == "write"
    with pytest.raises(LocalReply) as refused:
        goes(some, "/a", "DELETE")
    assert refused.value.status == 405
    assert refused.value.lines == (b"Allow: GET, POST\r\n",)


def test_the_spelling_of_a_path_does_not_dodge_its_route():
    """A service decodes escapes, so a protected path is matched decoded."""
    some = table({"path": "/car-evaluation/secret", "service": "guarded"})

    assert goes(some, "/car-evaluation/%73ecret")[1] == "guarded"


def test_an_encoded_slash_does_not_move_where_a_prefix_ends():
    """Matched is the decoded path, removed are segments: a path on which they differ is refused."""
    some = table(
        {"path": "/pub/v1", "service": "s", "strip_prefix": "/pub/v1"},
        {"path": "/pub/v1/admin", "service": "s", "strip_prefix": "/pub/v1", "keys": ["0" * 64]},
    )

    assert goes(some, "/pub/v1/x/admin") == ("/pub/v1", "s", "/x/admin")
    assert goes(some, "/pub/v1/%61dmin")[0] == "/pub/v1/admin"
    for target in ("/pub%2Fv1/x/admin", "/pub%2fv1/x/admin", "/pub/v1%2fx/admin"):
        with pytest.raises(LocalReply) as refused:
            goes(some, target)
        assert refused.value.status == 400


async def test_instances_are_told_what_was_removed_of_the_path(world):
    """`X-Forwarded-Prefix` is what was in front of what they see, and absent if they see all."""
    instance = await world.instance()
    name = "car-evaluation"
    some = table(
        {"path": "/whole", "service": name},
        {"path": "/a/b", "service": name, "strip_prefix": "/a"},
    )
    gateway = await world.gateway(instance, table=some)

    for path in ("/whole/x", "/a/b/x", f"/{name}/x"):
        head = f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"
        assert (await gateway.ask(head.encode())).status == 200

    prefixes = [one.all("x-forwarded-prefix") for one in instance.executed]
    assert prefixes == [[], ["/a"], [f"/{name}"]]


def test_a_short_timeout_shortens_an_attempt():
    """Who sets `timeout` alone need not know of `per_try_timeout`."""
    (route,) = table({"path": "/a", "service": "s", "timeout": 3}).routes

    assert (route.timeout, route.per_try) == (3, 3)


def test_routes_by_name_can_be_closed():
    """Wholly, or but for some services."""
    for closed in (table(by_name=False), table(by_name=["other"])):
        with pytest.raises(LocalReply) as refused:
            goes(closed, "/car-evaluation/x")
        assert refused.value.status == 404
    assert goes(table(by_name=["other"]), "/other/x")[1] == "other"


@pytest.mark.parametrize(
    "bad",
    [
        {"routes": [{"path": "/a", "service": "s", "retires": 1}]},
        {"routes": [{"path": "a", "service": "s"}]},
        {"routes": [{"path": "/a", "service": "no_underscores/"}]},
        {"routes": [{"path": "/a", "service": "s", "timeout": -1}]},
        {"routes": [{"path": "/a", "service": "s", "timeout": 1, "per_try_timeout": 2}]},
        {"routes": [{"path": "/a", "service": "s", "strip_prefix": "/b"}]},
        {"routes": [{"path": "/a", "service": "s", "keys": ["plain-text"]}]},
        {"routes": [{"path": "/a", "service": "s", "sticky": "X-User"}]},
        {"routes": [{"path": "/a", "service": "s"}, {"path": "/a", "service": "t"}]},
        {"routes": [{"path": "/a", "service": "s",
                     "split": [{"metadata": {"v": "1"}, "weight": 60},
                               {"metadata": {"v": "2"}, "weight": 60}]}]},
        {"services": {"s": {"split": [{"metadata": {"v": "1"}, "weight": 101}]}}},
        {"services": {"s": {"sticky": "X-User"}}},
        {"services": {"s": {"path": "/a"}}},
        {"services": {"no_underscores/": {}}},
        {"rotues": []},
    ],
)  # fmt: skip
def test_one_mistake_refuses_the_document(bad: dict):
    """With the reason, so that the routes in force can stay."""
    with pytest.raises(ValidationError):
        RoutesDocument.model_validate(bad)


@given(draw=st.floats(0, 1, exclude_max=True))
def test_a_split_covers_everything(draw: float):
    """10 % to the canary, the rest to everybody else."""
    (route,) = table(
        {"path": "/a", "service": "s", "split": [{"metadata": {"v": "2"}, "weight": 10}]}
    ).routes
    subset = route.split.subset_at(draw)
    new, old = Instance("10.0.0.1", 1, metadata={"v": "2"}), Instance("10.0.0.1", 2)

    assert (subset.matches(new), subset.matches(old)) == (
        (True, False) if draw < 0.1 else (False, True)
    )


@pytest.mark.parametrize("field", ["X-User", "X-Request-Id"])
async def test_a_canary_gets_its_share_and_a_user_its_version(world, field):
    """Sticky: the same user always meets the same version, and the share still holds."""
    new, old = await world.instance(), await world.instance()
    gateway = await world.gateway(new, old)
    gateway.service.sync(
        [Instance("127.0.0.1", new.port, metadata={"v": "2"}), Instance("127.0.0.1", old.port)], 0.0
    )
    gateway.context.table = table(
        {"path": "/car-evaluation", "service": "car-evaluation", "sticky": field,
         "strip_prefix": "/car-evaluation", "split": [{"metadata": {"v": "2"}, "weight": 25}]}
    )  # fmt: skip
    for user in range(60):
        for _ in range(2):
            await gateway.call("/x", "GET", **{field: f"user-{user}"})

    met = Counter(request.one(field.lower()) for request in new.executed)
    assert set(met.values()) == {2}
    assert 5 <= len(met) <= 25


async def test_a_canary_that_is_gone_loses_no_request(world):
    """The others serve its share."""
    gateway = await world.gateway(await world.instance())
    gateway.context.table = table(
        {"path": "/car-evaluation", "service": "car-evaluation",
         "split": [{"metadata": {"v": "2"}, "weight": 100}]}
    )  # fmt: skip

    assert (await gateway.call()).status == 200


async def test_a_route_decides_what_may_run_twice(world):
    """An empty list overrules the service's word; a listed method needs none."""

    async def breaking(instance, wire):
        await instance.take(wire)

    for idempotent, status in (([], 502), (["POST"], 200)):
        bad, good = await world.instance(breaking), await world.instance()
        gateway = await world.gateway(bad, good, draws=lambda: 0.0)
        gateway.context.table = table(
            {"path": "/car-evaluation", "service": "car-evaluation", "idempotent": idempotent,
             "strip_prefix": "/car-evaluation"}
        )  # fmt: skip
        for member in gateway.service.balancer.members.values():
            member.cost = 0.001 if member.instance.port == bad.port else 1.0

        assert (await gateway.call("/declared")).status == status


async def test_a_rate_limit_says_when_to_come_back(world):
    """429 with Retry-After."""
    gateway = await world.gateway(await world.instance())
    gateway.context.table = table(
        {"path": "/car-evaluation", "service": "car-evaluation",
         "rate_limit": {"per_second": 0.2, "burst": 2}}
    )  # fmt: skip

    replies = [await gateway.call() for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert 4 <= int(replies[2].one("retry-after")) <= 5


async def test_a_concurrency_limit_frees_its_places(world):
    """503 beyond it, and the place is given back by an answer and by a client that leaves."""
    go = asyncio.Event()

    gateway = await world.gateway(await world.instance(world.answering_after(go)))
    gateway.context.table = table(
        {"path": "/car-evaluation", "service": "car-evaluation", "concurrency": 2}
    )
    (route,) = gateway.context.table.routes
    calls = [asyncio.create_task(gateway.call()) for _ in range(2)]
    await world.until(lambda: route.concurrency.inside == 2)

    assert (await gateway.call()).status == 503
    calls[0].cancel()
    await world.until(lambda: route.concurrency.inside == 1)
    go.set()
    assert (await calls[1]).status == 200
    await world.until(lambda: route.concurrency.inside == 0)


async def test_another_document_does_not_reset_the_limits_of_a_route(world):
    """Whoever edits one route leaves the places and the rates of the others as they are."""
    go = asyncio.Event()
    fake, instance = FakeNacos(), await world.instance(world.answering_after(go))
    fake.put_instance("car-evaluation", Instance("127.0.0.1", instance.port))
    narrow = {"name": "narrow", "path": "/narrow", "service": "car-evaluation", "concurrency": 1}
    slow = {"name": "slow", "path": "/slow", "service": "car-evaluation",
            "rate_limit": {"per_second": 0.001, "burst": 1}}  # fmt: skip

    def publish(*routes: dict) -> None:
        fake.publish("gateway", json.dumps({"routes": routes}))

    publish(narrow, slow)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        await port.open()
        world.stack.push_async_callback(port.close)
        world.stack.callback(port.stop_accepting)
        host, number = port.address
        url = f"http://{host}:{number}"
        data = await world.stack.enter_async_context(httpx.AsyncClient(trust_env=False))

        async def ask(path: str) -> int:
            return (await data.get(url + path)).status_code

        under_way = [asyncio.create_task(ask(path)) for path in ("/narrow", "/slow")]
        await world.until(lambda: len(instance.executed) == 2)
        other = {"name": "other", "path": "/other", "service": "car-evaluation"}
        publish(slow, other, {**narrow, "timeout": 5})
        await world.until(lambda: len(worker.context.table.routes) == 3, "the new document")
        assert [await ask("/narrow"), await ask("/slow")] == [503, 429]

        publish({**narrow, "concurrency": 2}, {**slow, "rate_limit": {"per_second": 1, "burst": 9}})
        await world.until(lambda: len(worker.context.table.routes) == 2, "limits that differ")
        under_way += [asyncio.create_task(ask(path)) for path in ("/narrow", "/slow")]
        go.set()
        assert await asyncio.gather(*under_way) == [200] * 4
        assert [
            route.concurrency.inside for route in worker.context.table.routes if route.concurrency
        ] == [0]


async def test_keys_open_a_route(world):
    """Bearer token or API key; the document holds digests only."""
    gateway = await world.gateway(await world.instance())
    digest = hashlib.sha256(b"right").hexdigest()
    gateway.context.table = table(
        {"path": "/car-evaluation", "service": "car-evaluation", "keys": [digest]}
    )

    assert (await gateway.call(Authorization="Bearer right")).status == 200
    assert (await gateway.call(X_Api_Key="right")).status == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X_Api_Key": digest}):
        refused = await gateway.call(**headers)
        assert refused.status == 401
        assert refused.one("www-authenticate").startswith("Bearer")


async def test_a_full_instance_has_a_short_queue(world):
    """Beyond its in-flight limit requests wait their turn; beyond the queue they get a fast 503."""
    go = asyncio.Event()

    gateway = await world.gateway(
        await world.instance(world.answering_after(go)), limits=ServiceLimits(max_in_flight=1)
    )
    calls = [asyncio.create_task(gateway.call()) for _ in range(1 + MAX_QUEUE)]
    await world.until(lambda: len(gateway.service.queue) == MAX_QUEUE)

    full = await gateway.call()

    assert (full.status, full.one("retry-after")) == (503, "1")
    go.set()
    assert {reply.status for reply in await asyncio.gather(*calls)} == {200}


async def test_the_queue_is_left_after_a_second(world):
    """A request that waited in vain is told so, with Retry-After."""

    async def silent(instance, wire):
        await instance.take(wire)
        await wire.reader.read()

    gateway = await world.gateway(
        await world.instance(silent), limits=ServiceLimits(max_in_flight=1)
    )
    first = asyncio.create_task(gateway.call())
    await world.until(lambda: len(gateway.context.active) == 1)

    reply = await gateway.call()

    assert (reply.status, reply.one("retry-after")) == (503, "1")
    first.cancel()


async def test_calls_by_name_are_split(world):
    """`services` gives a canary its share of the calls by name, exactly; sticky as on a route."""
    new, old = await world.instance(), await world.instance()
    gateway = await world.gateway(new, old)
    canary = {"v": "2", "gateway.canary": "true"}
    gateway.service.sync(
        [
            Instance("127.0.0.1", new.port, weight=0.0, metadata=canary),
            Instance("127.0.0.1", old.port),
        ],
        0.0,
    )
    draws = iter(number / 100 for number in range(200))
    split = {"split": [{"metadata": {"v": "2"}, "weight": 10}]}

    gateway.context.table = table(services={"other": split})
    for _ in range(20):
        assert (await gateway.call("/x", "GET")).status == 200
    assert (len(new.executed), len(old.executed)) == (0, 20)

    gateway.context.table = table(services={"car-evaluation": split})
    gateway.context.draw = lambda: next(draws, 0.5) % 1
    for _ in range(20):
        assert (await gateway.call("/x", "GET")).status == 200
    assert len(new.executed) > 0

    gateway.context.table = table(
        services={"car-evaluation": {"sticky": "X-User", "split": [
            {"metadata": {"v": "2"}, "when": {"headers": {"X-User": "alice"}}}]}}
    )  # fmt: skip
    new.executed.clear()
    for user in ("alice", "bob", "carol"):
        await gateway.call("/x", "GET", **{"X-User": user})
    assert [one.one("x-user") for one in new.executed] == ["alice"]


def test_a_service_has_terms_of_its_own_by_name():
    """Over the defaults, which count for the others; the services are expected, as a route's."""
    some = table(
        defaults={"timeout": 30},
        services={
            "slow": {"timeout": 100, "retries": 0},
            "twin": {"shadow": {"service": "twin-next", "compare": "body"}},
        },
    )
    by_name = {name: some.match(head_of(f"/{name}/x"))[0] for name in ("slow", "twin", "other")}

    assert {name: route.timeout for name, route in by_name.items()} == {
        "slow": 100, "twin": 30, "other": 30,
    }  # fmt: skip
    assert by_name["slow"].retry.max_attempts == 1
    assert by_name["twin"].shadow.service == "twin-next"
    assert some.services() == {"slow", "twin", "twin-next"}
    assert some.describe()["services"]["twin"]["shadow"] == "twin-next"


@pytest.mark.parametrize("by_name", [False, ["other"]])
def test_terms_of_a_service_that_is_closed_are_a_mistake(by_name):
    """They would have no effect, and their author thinks that they have."""
    with pytest.raises(ValidationError, match="services has closed, which by_name does not open"):
        table(by_name=by_name, services={"closed": {"timeout": 1}})
