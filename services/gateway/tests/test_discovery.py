"""Discovery and the live document, against an in-memory Nacos; what the admin port shows of it."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import httpx
import pytest
from failover import Cause, Instance
from gateway.admin import create_app
from gateway.datapath import data_path
from gateway.discovery import FORGET_ABSENT, MAKE_ROOM, MAX_FOLLOWED, NacosDirectory
from gateway.metrics import GatewayMetrics
from gateway.problems import Refusal
from gateway.service import Limits
from gateway.settings import Settings
from nacos_client.testing import FakeNacos
from prometheus_client import CollectorRegistry, generate_latest
from service_kit import Health

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
async def gateway_on(fake: FakeNacos, *, token: str | None = None):
    """A whole data path on a Nacos, a client of its data port and one of its admin port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = Settings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        await port.open()
        app = create_app(Alone(worker), Health("gateway", "1"), version="1", token=token)
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
                connection.cut()
            await port.close()
            for service in worker._directory.services.values():
                for upstream in service.upstreams.values():
                    upstream.close()


async def test_a_service_is_followed_once_asked_for(world):
    """The first request waits for the first answer; changes arrive by themselves."""
    fake, first, second = FakeNacos(), await world.instance(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", first.port))
    async with gateway_on(fake) as (data, _, worker):
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200

        fake.put_instance(SERVICE, Instance("127.0.0.1", second.port))
        await world.until(lambda: len(worker._directory.services[SERVICE].pool.members) == 2)
        fake.remove_instance(SERVICE, f"127.0.0.1:{first.port}")
        await world.until(lambda: len(worker._directory.services[SERVICE].pool.members) == 1)
        assert (await data.get(f"/{SERVICE}/x")).status_code == 200
        assert len(second.executed) == 1


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


def test_a_stranger_cannot_fill_memory():
    """Impossible names are not looked up, few are followed, and absent ones make room again."""

    class Following:
        def __init__(self):
            self.followed = set()

        def discover(self, service):
            self.followed.add(service)
            return self

        def forget(self, service):
            self.followed.discard(service)

        def subscribe(self, _):
            return lambda: None

    registry, gone = Following(), []
    directory = NacosDirectory(
        registry, Limits(), lambda: 0.0, gone=lambda *names: gone.append(names)
    )
    for bad in ("", ".", "a" * 64, "a b", "a\n", "é", "-a"):
        assert directory.find(bad, 0.0) is None
    for number in range(MAX_FOLLOWED):
        directory.find(f"s{number}", 0.0)
    for number in range(1000):
        with pytest.raises(Refusal) as refused:
            directory.find(f"t{number}", 0.0)
        assert refused.value.status == 503, "404 would be a guess"
    assert len(registry.followed) == MAX_FOLLOWED

    for service in directory.services.values():
        service.sync([], 0.0)
    with pytest.raises(Refusal):
        directory.find("real", MAKE_ROOM)
    directory.prune(FORGET_ABSENT - 1)
    assert len(registry.followed) == MAX_FOLLOWED
    directory.prune(FORGET_ABSENT + 1)
    assert not registry.followed
    assert directory.find("real", 20.0) is not None


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
        directory = worker._directory
        now = time.monotonic()
        for number in range(MAX_FOLLOWED - len(directory.services)):
            directory.find(f"stranger-{number}", now)
        assert worker.describe()["unknown"] == ["never-seen"], "only what a route names counts"
        with pytest.raises(Refusal):
            directory.find(SERVICE, now)

        service = directory.find(SERVICE, now + MAKE_ROOM + 1)

        assert service is not None
        await world.until(lambda: f"127.0.0.1:{instance.port}" in service.pool.members)
        assert len(directory.services) == 2


async def test_a_real_service_finds_room_among_names_that_do_not_exist(world):
    """At the bound it is a 503 with `Retry-After` for a second, then an answer; never a 404."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, Instance("127.0.0.1", instance.port))
    async with gateway_on(fake) as (data, _, worker):
        services = worker._directory.services
        while len(services) < MAX_FOLLOWED:
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
        assert len(services) <= MAX_FOLLOWED


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

        pool = worker._directory.services[SERVICE].pool
        member = pool.members[f"127.0.0.1:{first.port}"]
        member.conduct.eject(Cause.CONSECUTIVE, time.monotonic(), 0.5)
        shown = (await admin.get(f"/api/services/{SERVICE}")).json()["workers"][0]["instances"]
        ejected = {one["address"]: one["ejected"] for one in shown}
        assert ejected[f"127.0.0.1:{first.port}"]["reason"] == "consecutive-failures"
        assert ejected[f"127.0.0.1:{second.port}"] is None
        assert (await admin.delete(f"{place}/ejection")).status_code == 200
        assert member.conduct.cause is None
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
