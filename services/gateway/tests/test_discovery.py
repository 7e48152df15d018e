"""Discovery and the live document, against an in-memory Nacos; what the admin port shows of it."""

import asyncio
import json
import math
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from failover import Cause, Instance
from gateway.control.admin import create_app
from gateway.http.problems import LocalReply
from gateway.settings import GatewaySettings
from gateway.telemetry.metrics import GatewayMetrics, WorkerState
from gateway.telemetry.records import BUCKETS
from gateway.telemetry.traces import RequestTracer
from gateway.upstream.directory import (
    FORGET_ABSENT,
    MAKE_ROOM,
    MAX_SERVICES,
    MAX_STRAYS,
    NacosDirectory,
)
from gateway.upstream.service import ServiceLimits
from gateway.worker import data_path
from nacos_client import Known
from nacos_client.ports import ServiceKey
from nacos_client.store import Store
from nacos_client.testing import FakeNacos
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Exemplar
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from service_kit import HealthChecks, Span, Tracer

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"


class Alone:
    """The admin port's view of one worker."""

    def __init__(self, worker) -> None:
        self.worker = worker

    def check(self):
        """It serves."""
        return {"ok": True}

    async def ask(self, command):
        """Ask it."""
        return [self.worker.ask(command)]


@asynccontextmanager
async def gateway_on(fake: FakeNacos, *, token: str | None = None, **more: object):
    """A whole data path on a Nacos, a client of its data port and one of its admin port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False, **more)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        await port.open()
        app = create_app(Alone(worker), HealthChecks("gateway", "1"), version="1", token=token)
        host, number = port.address
        try:
            async with (
                httpx.AsyncClient(base_url=f"http://{host}:{number}", trust_env=False) as data,
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://admin", trust_env=False
                ) as admin,
            ):
                yield data, admin, worker
        finally:
            # A loop that still listens never finishes closing: a failed test would hang the run.
            port.stop_accepting()
            for connection in list(port.connections):
                connection.reset()
            await port.close()
            for service in worker.directory.services.values():
                for upstream in service.pools.values():
                    upstream.close()


async def test_a_service_is_followed_once_asked_for(world):
    """The first request waits for the first answer; changes arrive by themselves."""
    fake, first, second = FakeNacos(), await world.instance(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", first.port))
    async with gateway_on(fake) as (data, _, worker):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200

        fake.put_instance(SERVICE, Instance("127.0.0.1", second.port))
        await world.until(lambda: len(worker.directory.services[SERVICE].balancer.members) == 2)
        fake.remove_instance(SERVICE, f"127.0.0.1:{first.port}")
        await world.until(lambda: len(worker.directory.services[SERVICE].balancer.members) == 1)
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200
        assert len(second.executed) == 1


async def test_gateways_share_the_instances_of_a_service_out(world):
    """As many as Nacos lists in the own cluster; whoever comes or goes, each has its part at once.

    A service that was followed before is divided like one that is followed later.
    """
    fake = FakeNacos()
    for name in ("early", "late"):
        for port in range(1, 13):
            fake.put_instance(name, Instance("127.0.0.1", port))
    fake.put_instance("gateway", Instance("10.0.0.9", 8000, cluster="another"))
    async with gateway_on(fake, GATEWAY_APERTURE=2) as (_, admin, worker):

        def preferred(name: str) -> int:
            return len(worker.directory.services[name].balancer.preferred)

        async def asked(name: str) -> None:
            worker.directory.expect([name], time.monotonic())
            followed = worker.directory.services[name]
            await world.until(lambda: len(followed.balancer.members) == 12)

        await asked("early")
        assert preferred("early") == 12
        fake.put_instance("gateway", Instance("10.0.0.1", 8000))
        fake.put_instance("gateway", Instance("10.0.0.2", 8000))
        await world.until(lambda: preferred("early") == 4)
        await asked("late")
        assert preferred("late") == 4
        shown = {one["name"]: one["workers"] for one in (await admin.get("/api/services")).json()}
        (view,) = shown["early"]
        assert sum(one["preferred"] for one in view["instances"]) == 4

        fake.remove_instance("gateway", "10.0.0.1:8000")
        await world.until(lambda: preferred("early") == preferred("late") == 6)


async def test_a_caller_who_asks_for_the_gateways_by_name_does_not_end_the_sharing(world):
    """While none is listed the name is a stray, which is forgotten; the gateways are followed."""
    fake = FakeNacos()
    for port in range(1, 13):
        fake.put_instance(SERVICE, Instance("127.0.0.1", port))
    async with gateway_on(fake, GATEWAY_APERTURE=2) as (data, _, worker):
        assert (await data.get("/gateway/x")).status_code == 404
        worker.directory.expect([SERVICE], time.monotonic())
        worker.directory.prune(time.monotonic() + FORGET_ABSENT + 1.0)
        assert "gateway" not in worker.directory.services

        fake.put_instance("gateway", Instance("10.0.0.1", 8000))

        balancer = worker.directory.services[SERVICE].balancer
        await world.until(lambda: len(balancer.preferred) == 6)


async def test_a_caller_who_asks_by_another_name_of_a_service_does_not_end_its_route(world):
    """While it has no instance the short name is a stray, which is forgotten; the route is not."""
    fake, instance = FakeNacos(), await world.instance()
    fake.publish("gateway", f"routes: [{{path: /cars, service: DEFAULT_GROUP@@{SERVICE}}}]")
    async with gateway_on(fake) as (data, _, worker):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 404
        worker.directory.prune(time.monotonic() + FORGET_ABSENT + 1.0)
        assert SERVICE not in worker.directory.services

        fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))

        route = worker.directory.services[f"DEFAULT_GROUP@@{SERVICE}"]
        await world.until(lambda: route.balancer.members)
        assert (await data.get("/cars/x")).status_code == 200


async def test_a_gateway_that_was_not_told_to_share_meets_every_instance(world):
    """However many gateways there are."""
    fake = FakeNacos()
    fake.put_instance("gateway", Instance("10.0.0.1", 8000))
    for port in range(1, 13):
        fake.put_instance(SERVICE, Instance("127.0.0.1", port))
    async with gateway_on(fake) as (_, _, worker):
        worker.directory.expect([SERVICE], time.monotonic())
        balancer = worker.directory.services[SERVICE].balancer
        await world.until(lambda: len(balancer.members) == 12)
        assert len(balancer.preferred) == 12


async def test_unknown_is_404_and_empty_is_503():
    """A name nobody ever registered does not exist; a service without instances is down."""
    fake = FakeNacos()
    fake.publish("gateway", "routes: [{path: /known, service: known-but-empty}]")
    async with gateway_on(fake) as (data, _, _):
        for _ in range(2):
            assert (await data.get("/nobody/x")).status_code == 404
        empty = await data.get("/known")
        assert empty.status_code == 503
        assert empty.headers["retry-after"] == "1"
        assert "destination_unavailable" in empty.headers["proxy-status"]


async def test_a_gateway_that_starts_while_nacos_is_down_uses_what_an_earlier_one_saw(world):
    """Instances and routes from the snapshot on disk."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    fake.publish("gateway", f"routes: [{{path: /p, service: {SERVICE}}}]")
    async with gateway_on(fake) as (data, _, _):
        assert (await data.get("/p")).status_code == 200
        await asyncio.sleep(0.1)
    fake.stop()
    async with gateway_on(fake) as (data, admin, _):
        assert (await data.get("/p")).status_code == 200
        assert (await admin.get("/api/routes")).json()["source"] == "last_good"


async def test_a_service_asked_for_before_its_first_deployment_is_not_absent_after_a_restart(
    world,
):
    """What an earlier gateway saw of a name without instances does not make a 404."""
    fake, instance = FakeNacos(), await world.instance()
    async with gateway_on(fake) as (data, _, _):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 404
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, _):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200


@pytest.mark.parametrize("up", [True, False], ids=["nacos is up", "nacos is down"])
async def test_a_service_that_an_earlier_gateway_saw_is_down_and_not_absent(up):
    """A copy on disk proves that it existed, even one without an instance."""
    fake = FakeNacos()
    Store(fake.client().settings).save("service", str(ServiceKey(SERVICE, "DEFAULT_GROUP")), [])
    async with gateway_on(fake) as (data, _, _):
        if not up:
            fake.stop()
        reply = await data.get(f"/{SERVICE}/x")
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"


async def test_nacos_is_believed_before_what_an_earlier_gateway_saw(world):
    """The first request waits for the instances of today; those of yesterday may be gone."""
    fake, instance = FakeNacos(), await world.instance()
    gone = [Instance("127.0.0.1", world.refusing().port) for _ in range(2)]
    for one in gone:
        fake.put_instance(SERVICE, one)
    async with gateway_on(fake) as (data, _, _):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 503
    for one in gone:
        fake.remove_instance(SERVICE, one.address)
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, worker):
        fake.stop()
        first = asyncio.create_task(data.get(f"/{SERVICE}/x"))
        await world.until(lambda: SERVICE in worker.directory.services)
        fake.start()
        assert (await first).status_code == 200


async def test_a_copy_from_disk_does_not_replace_what_nacos_said(world):
    """It is used when Nacos was silent for a while, and not if Nacos spoke meanwhile."""
    registry = Following()
    directory = directory_on(registry)
    spoken, silent = directory.find("spoken", 0.0), directory.find("silent", 0.0)
    for name in ("spoken", "silent"):
        registry.say(name, Instance("10.0.0.1", 1), source="disk")
    assert not spoken.known
    registry.say("spoken", Instance("10.0.0.1", 2))
    await world.until(lambda: silent.known)
    assert list(silent.balancer.members) == ["10.0.0.1:1"]
    assert list(spoken.balancer.members) == ["10.0.0.1:2"]


def test_a_list_that_nacos_has_seen_is_used_at_once():
    """Though it keeps instances of an earlier life until they are confirmed to be gone."""
    registry = Following()
    service = directory_on(registry).find(SERVICE, 0.0)
    registry.say(SERVICE, Instance("10.0.0.1", 1), Instance("10.0.0.1", 2), source="disk", held=1)
    assert len(service.balancer.members) == 2


def test_news_that_come_after_a_name_was_forgotten_are_not_kept():
    """They were under way; whoever asks for the name again waits for newer ones."""
    registry = Following()
    directory = directory_on(registry)
    directory.find(SERVICE, 0.0)
    tell = registry.followed[SERVICE]
    directory.prune(FORGET_ABSENT + 1)
    tell(Known((), "nacos", 0.0))
    assert not directory.find(SERVICE, FORGET_ABSENT + 2).known


async def test_nacos_going_down_changes_nothing(world):
    """Requests go on while it is away."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, _):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200
        fake.stop()
        for _ in range(20):
            assert (await data.get(f"/{SERVICE}/x")).status_code == 200


async def test_the_document_is_live_and_a_bad_one_is_kept_out(world):
    """Swapped whole; refused whole, with the reason in the admin port."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))

    async def shown(admin, condition):
        end = time.monotonic() + 10
        while not condition(routes := (await admin.get("/api/routes")).json()):
            assert time.monotonic() < end, routes
            await asyncio.sleep(0.02)
        return routes

    async with gateway_on(fake) as (data, admin, _):
        assert (await data.get("/p")).status_code == 404
        fake.publish("gateway", f"routes: [{{path: /p, service: {SERVICE}, rewrite: /x}}]")
        await shown(admin, lambda routes: routes["routes"])
        assert (await data.get("/p")).status_code == 200
        assert instance.executed[0].line == "GET /x/p HTTP/1.1"

        fake.publish("gateway", f"routes: [{{path: /p, service: {SERVICE}, retires: 1}}]")
        routes = await shown(admin, lambda routes: routes["rejected"])
        assert "retires" in routes["rejected"]
        assert (await data.get("/p")).status_code == 200


class Following:
    """A Nacos that speaks when the test does."""

    existed = False

    def __init__(self) -> None:
        self.followed = {}

    def discover(self, service):
        """Follow it."""
        self.followed[service] = None
        self._newest = service
        return self

    def forget(self, service):
        """Follow it no more."""
        del self.followed[service]

    def subscribe(self, callback):
        """Keep the way to tell."""
        self.followed[self._newest] = callback
        return lambda: None

    def say(self, service, *instances, source="nacos", held=0):
        """Tell."""
        self.followed[service](Known(instances, source, 0.0, held=held))


def directory_on(registry):
    """A directory whose clock stands still."""
    return NacosDirectory(registry, ServiceLimits(), lambda: 0.0, on_left=lambda *_: None)


def test_a_stranger_cannot_fill_memory():
    """Impossible names are not looked up, few are followed, and absent ones make room again."""
    registry = Following()
    directory = directory_on(registry)
    for bad in ("", ".", "a" * 64, "a b", "a\n", "é", "-a"):
        assert directory.find(bad, 0.0) is None
    for number in range(MAX_STRAYS):
        directory.find(f"s{number}", 0.0)
    for number in range(1000):
        with pytest.raises(LocalReply) as refused:
            directory.find(f"t{number}", 0.0)
        assert refused.value.status == 503, "404 would be a guess"
    assert len(registry.followed) == MAX_STRAYS

    for service in directory.services.values():
        service.sync([], 0.0)
    with pytest.raises(LocalReply):
        directory.find("real", MAKE_ROOM)
    directory.prune(FORGET_ABSENT - 1)
    assert len(registry.followed) == MAX_STRAYS
    directory.prune(FORGET_ABSENT + 1)
    assert not registry.followed
    assert directory.find("real", 20.0) is not None


async def test_a_stranger_cannot_fill_the_disk():
    """Nothing is kept of names that never had an instance."""
    fake = FakeNacos()
    async with gateway_on(fake) as (data, _, _):
        for number in range(10):
            assert (await data.get(f"/stranger-{number}/x")).status_code == 404
    assert list(fake.cache_dir.rglob("service-*")) == []


def test_services_that_exist_take_no_room_from_names_that_may_not():
    """Strangers cannot make them up, so they have a bound of their own, and are not forgotten."""
    registry = Following()
    directory = directory_on(registry)
    for number in range(MAX_SERVICES):
        directory.find(f"s{number}", 0.0)
        registry.say(f"s{number}", Instance("10.0.0.1", 1))
    with pytest.raises(LocalReply) as refused:
        directory.find("more", 0.0)
    assert refused.value.status == 503
    directory.prune(FORGET_ABSENT + 1)
    assert len(registry.followed) == MAX_SERVICES
    assert directory.find("s0", 0.0).balancer.members


async def test_any_number_of_services_is_served(world):
    """More of them than names that nobody registered are followed at a time."""
    fake, instance = FakeNacos(), await world.instance()
    names = [f"service-{number}" for number in range(MAX_STRAYS + 2)]
    for name in names:
        fake.put_instance(name, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, _):
        statuses = [(await data.get(f"/{name}/x")).status_code for name in names]
    assert statuses == [200] * len(names)


async def test_names_that_strangers_make_up_while_nacos_is_down_change_nothing(world):
    """They make nothing unready, and their places are free again for a service that was seen."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    fake.publish("gateway", "routes: [{path: /never-seen, service: never-seen}]")
    async with gateway_on(fake) as (data, _, worker):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200
        await world.until(lambda: worker.describe()["unknown"] == [])
    fake.stop()
    async with gateway_on(fake) as (data, _, worker):
        directory = worker.directory
        now = time.monotonic()
        for number in range(MAX_STRAYS):
            directory.find(f"stranger-{number}", now)
        assert worker.describe()["unknown"] == ["never-seen"], "only what a route names counts"
        with pytest.raises(LocalReply):
            directory.find(SERVICE, now)

        service = directory.find(SERVICE, now + MAKE_ROOM + 1)

        assert service is not None
        await world.until(lambda: f"127.0.0.1:{instance.port}" in service.balancer.members)
        assert len(directory.services) == 2


async def test_a_real_service_finds_room_among_names_that_do_not_exist(world):
    """At the bound it is a 503 with `Retry-After` for a second, then an answer; never a 404."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, worker):
        services = worker.directory.services
        while len(services) < MAX_STRAYS:
            assert (await data.get(f"/stranger-{len(services)}/x")).status_code == 404
        statuses = []
        end = time.monotonic() + 10
        while 200 not in statuses:
            reply = await data.get(f"/{SERVICE}/x")
            statuses.append(reply.status_code)
            assert reply.status_code == 200 or reply.headers["retry-after"] == "1"
            assert time.monotonic() < end, statuses
            await asyncio.sleep(0.05)
        assert set(statuses) <= {200, 503}
        assert len(services) <= MAX_STRAYS


async def test_a_name_that_was_absent_is_looked_up_again(world):
    """What was known of it is forgotten too: it is no 404 once it has instances."""
    fake, instance = FakeNacos(), await world.instance()
    async with gateway_on(fake) as (data, _, worker):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 404
        worker.directory.prune(time.monotonic() + FORGET_ABSENT + 1)
        fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200


async def test_the_same_address_twice(world):
    """An instance that Nacos lists for two clusters is one: its connection and its record stay."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    one = Instance("127.0.0.1", instance.port)
    twice = [replace(one, cluster="A"), replace(one, cluster="B")]
    service = gateway.service
    for _ in range(5):
        service.sync(twice, time.monotonic())
        assert (await gateway.call()).status == 200
    (member,) = service.balancer.members.values()
    member.ejection.eject(Cause.CONSECUTIVE, time.monotonic(), 0.5)
    for _ in range(5):
        service.sync(twice, time.monotonic())
    assert list(service.balancer.members.values()) == list(service.pools) == [member]
    assert instance.connections == 1
    assert member.ejection.cause is Cause.CONSECUTIVE


async def test_an_operator_sees_and_steers(world):
    """Instances with load and ejection, drain and restore, the token in between."""
    fake, first, second = FakeNacos(), await world.instance(), await world.instance()
    for instance in (first, second):
        fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake, token="t" * 16) as (data, admin, worker):
        await data.get(f"/{SERVICE}/x")
        assert (await admin.get("/api/services")).status_code == 401
        assert (await admin.get("/readyz")).status_code == 200
        admin.headers["authorization"] = "Bearer " + "t" * 16
        (listed,) = (await admin.get("/api/services")).json()
        assert listed["name"] == SERVICE
        place = f"/api/services/{SERVICE}/instances/127.0.0.1:{first.port}"

        assert (await admin.post(f"{place}/drain")).json()["workers"] == 1
        before = len(first.executed)
        for _ in range(10):
            await data.get(f"/{SERVICE}/x")
        assert len(first.executed) == before
        assert (await admin.delete(f"{place}/drain")).status_code == 200

        pool = worker.directory.services[SERVICE].balancer
        member = pool.members[f"127.0.0.1:{first.port}"]
        member.ejection.eject(Cause.CONSECUTIVE, time.monotonic(), 0.5)
        shown = (await admin.get(f"/api/services/{SERVICE}")).json()["workers"][0]["instances"]
        ejected = {one["address"]: one["ejected"] for one in shown}
        assert ejected[f"127.0.0.1:{first.port}"]["reason"] == "consecutive-failures"
        assert ejected[f"127.0.0.1:{second.port}"] is None
        assert (await admin.delete(f"{place}/ejection")).status_code == 200
        assert member.ejection.cause is None
        assert (await admin.delete(f"{place}/ejection")).status_code == 404
        assert (await admin.get("/api/services/nobody")).status_code == 404


async def test_metrics_tell_all_and_their_labels_are_bounded(world):
    """RED by route and service, attempts by instance and outcome; strangers are `unknown`."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, worker):
        for number in range(20):
            await data.get(f"/stranger-{number}/x")
        for _ in range(3):
            await data.get(f"/{SERVICE}/x")
        registry = CollectorRegistry()
        registry.register(GatewayMetrics(lambda: [worker.describe(), worker.describe()]))
        text = generate_latest(registry).decode()

    assert "stranger" not in text
    answered = f'route="by-name",service="{SERVICE}",status="2xx"'
    assert f'gateway_requests_total{{result="answered",{answered}}} 6.0' in text
    assert f'gateway_request_seconds_count{{route="by-name",service="{SERVICE}"}} 6.0' in text
    where = f'instance="127.0.0.1:{instance.port}"'
    assert f'gateway_attempts_total{{{where},outcome="answered",service="{SERVICE}"}} 6.0' in text
    for name in ("retry_budget", "ejections_total", "discovery_age_seconds", "pool_connections",
                 "ewma_seconds", "in_flight", "client_connections"):  # fmt: skip
        assert f"\ngateway_{name}{{" in text or f"\ngateway_{name} " in text


def exemplars(*states: WorkerState) -> dict[int, Exemplar]:
    """Return the exemplars of the gateway's durations by bucket, as OpenMetrics' reader has them.

    The states of the workers come through JSON.
    """
    registry = CollectorRegistry()
    registry.register(GatewayMetrics(lambda: json.loads(json.dumps(states))))
    families = text_string_to_metric_families(openmetrics.generate_latest(registry).decode())
    (seconds,) = (each for each in families if each.name == "gateway_request_seconds")
    buckets = [each for each in seconds.samples if each.name.endswith("_bucket")]
    return {at: each.exemplar for at, each in enumerate(buckets) if each.exemplar}


async def test_a_duration_leads_to_a_trace(world):
    """A bucket names the newest sampled request of all workers; others leave nothing."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    spans: list[Span] = []
    async with gateway_on(fake) as (data, _, worker):
        tracer = Tracer(lambda span: spans.append(span) or True, 0.0)
        worker.context.counters.tracer = RequestTracer(tracer)
        await data.get(f"/{SERVICE}/x")
        unsampled = worker.describe()
        sampled = f"00-{'a' * 32}-{'b' * 16}-01"
        await data.get(f"/{SERVICE}/x", headers={"traceparent": sampled})
        await world.until(lambda: len(spans) == 2, "the span of the request and of its attempt")
        first = worker.describe()
    ((route, service, bucket, *_),) = first["exemplars"]
    other = (route, service, bucket, "f" * 32, "e" * 16, 0.0, time.time() + 60)
    second = {**first, "exemplars": [other]}

    assert exemplars(unsampled) == {}
    ((at, found),) = exemplars(first).items()
    assert at == bucket
    assert found.labels == {"trace_id": "a" * 32, "span_id": spans[0].span_id}
    assert found.value <= (*BUCKETS, math.inf)[bucket]
    assert float(found.timestamp) == pytest.approx(spans[0].ended / 1e9)
    for states in ((first, second), (second, first)):
        assert exemplars(*states)[bucket].labels["trace_id"] == "f" * 32


@pytest.mark.parametrize("count", [1, 500])
async def test_what_is_asked_of_a_worker_each_second_does_not_grow_with_the_instances(world, count):
    """The supervisor asks for the counters only; instances that were not called have none."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    for port in range(1, count + 1):
        fake.put_instance("others", Instance("10.0.0.1", port))
    fake.publish("gateway", "routes: [{path: /others, service: others}]")
    async with gateway_on(fake) as (data, _, worker):
        await data.get(f"/{SERVICE}/x")
        others = worker.directory.services["others"].balancer.members
        await world.until(lambda: len(others) == count, "the others are known")
        counters, state = worker.ask({"do": "counters"}), worker.ask({"do": "state"})

    assert sum(len(entries) for entries in counters.values()) < 10
    assert counters.keys() < state.keys()
    assert len(state["in_flight"]) == count + 1
