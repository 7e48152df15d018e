"""The client as a whole: threads, outages, states, imports."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from failover import Instance
from nacos_client import Discovery, Known, Nacos, NacosError, NacosSettings, Shown, Unknown
from nacos_client.ports import Listing, ServiceKey
from nacos_client.reconcile import Doorbell
from nacos_client.runtime import Runtime
from nacos_client.testing import FakeNacos, FakeSession
from nacos_client.watchdog import Watchdog
from pydantic import BaseModel

pytestmark = pytest.mark.anyio


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


def test_importing_costs_little() -> None:
    """Below 0.15 s, or on a busy machine twice pydantic's; gRPC, httpx, YAML come when used."""

    def cost(module: str) -> tuple[float, list[str]]:
        script = (
            f"import time, sys; began = time.process_time(); import {module};"
            "print(time.process_time() - began, *{'grpc', 'httpx', 'v2', 'yaml'} & {*sys.modules})"
        )
        argv = [sys.executable, "-c", script]
        runs = [
            subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
            for _ in range(5)
        ]
        return min(float(run[0]) for run in runs), runs[0][1:]

    ours, loaded = cost("nacos_client")
    assert loaded == []
    assert ours < 0.15 or ours < 2 * cost("pydantic.main, asyncio")[0]


async def test_the_own_address_is_the_announced_one(fake: FakeNacos) -> None:
    """Whoever looks for itself in a list of Nacos finds itself."""
    async with fake.client() as nacos:
        await nacos.announcement("models", port=8001).announce()
        await eventually(lambda: fake.instances("models"))
        (shown,) = fake.instances("models")
        assert await nacos.own_ip() == shown.ip


async def test_nothing_is_left_after_closing(fake: FakeNacos) -> None:
    """Neither a thread nor a task outlives the client."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with fake.client() as nacos:
        await nacos.announcement("models", port=8001).announce()
        await nacos.discover("models").known()
    assert asyncio.all_tasks() == tasks
    assert not [t for t in set(threading.enumerate()) - threads if t.name == "nacos"]


def test_nothing_is_written_after_the_stop() -> None:
    """Files that were being written are whole when `stop` returns: a caller may remove them."""
    runtime, disk = Runtime(), threading.Event()
    writing, written = threading.Event(), threading.Event()

    def write() -> None:
        writing.set()
        disk.wait(5.0)
        written.set()

    async def save() -> None:
        asyncio.get_running_loop().run_in_executor(None, write)

    runtime.start()
    runtime.submit(save()).result(5.0)
    assert writing.wait(5.0)
    threading.Timer(0.2, disk.set).start()
    runtime.stop()
    assert written.is_set()


async def test_a_client_that_is_not_started_says_so(fake: FakeNacos) -> None:
    """An announcement needs the client's thread."""
    nacos = fake.client()
    with pytest.raises(NacosError, match="async with"):
        await nacos.announcement("models", port=8001).announce()


async def test_registrations_that_nacos_forgot_are_found(fake: FakeNacos, nacos: Nacos) -> None:
    """Where the connection seems to live and the registration is gone, the audit mends it."""
    announcement = nacos.announcement("models", port=8001)
    await announcement.announce()
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
    fake.forget()
    assert fake.instances("models") == ()
    await eventually(lambda: len(fake.instances("models")) == 1)
    await eventually(lambda: announcement.state.healed == 1)


async def test_an_outage_is_seen_and_survived(fake: FakeNacos, nacos: Nacos) -> None:
    """While Nacos is away the states say so, what is known stays; then all returns by itself."""
    announcement = nacos.announcement("models", port=8001)
    await announcement.announce()
    discovery = nacos.discover("models")
    await eventually(lambda: getattr(discovery.snapshot, "instances", ()) != ())
    fake.stop()
    await eventually(lambda: not nacos.states["nacos"]["ok"])
    await eventually(lambda: announcement.state.shown is Shown.UNKNOWN)
    assert isinstance(discovery.snapshot, Known)
    assert nacos.states["discovery models"]["instances"] == 1
    with pytest.raises(NacosError):
        await nacos.fetch("models")
    fake.start()
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
    await eventually(lambda: nacos.states["nacos"]["ok"])


async def test_nothing_known_is_not_nobody(fake: FakeNacos) -> None:
    """Without Nacos and without a copy on disk a service is unknown, and not empty."""
    fake.stop()
    async with fake.client() as nacos:
        discovery = nacos.discover("models")
        assert isinstance(discovery.snapshot, Unknown)
        with pytest.raises(NacosError, match="not known yet"):
            await discovery.known(0.1)
        fake.start()
        assert (await discovery.known()).instances == ()


async def test_instances_outlive_the_process(fake: FakeNacos) -> None:
    """A client started without Nacos has the last known instances, with everything they said."""
    instance = Instance("10.0.0.1", 8001, 2.0, cluster="east", metadata={"version": "1"})
    fake.put_instance("models", instance)
    async with fake.client() as first:
        await first.discover("models").known()
        await eventually(lambda: first.states["nacos"]["disk"] is None)
    fake.stop()  # the close of the first client has waited for what it wrote
    async with fake.client() as second:
        snapshot = second.discover("models").snapshot
        assert isinstance(snapshot, Known)
        assert snapshot.instances == (instance,)
        assert (snapshot.source, snapshot.stale) == ("disk", True)
        assert snapshot.age > 0


async def test_subscribers_are_told_on_their_own_loop(fake: FakeNacos, nacos: Nacos) -> None:
    """First the present, then each change; one that raises harms nobody."""
    loops: list[asyncio.AbstractEventLoop] = []
    counts: list[int] = []

    def look(snapshot: Known | Unknown) -> None:
        loops.append(asyncio.get_running_loop())
        counts.append(len(getattr(snapshot, "instances", ())))

    def fail(_: Known | Unknown) -> None:
        raise RuntimeError("consumer")

    discovery = nacos.discover("models")
    await discovery.known()
    discovery.subscribe(fail)
    discovery.subscribe(look)
    await eventually(lambda: counts == [0])
    fake.put_instance("models", Instance("10.0.0.1", 8001))
    await eventually(lambda: counts == [0, 1])
    assert set(loops) == {asyncio.get_running_loop()}


async def test_a_forgotten_service_is_no_longer_followed(fake: FakeNacos, nacos: Nacos) -> None:
    """Its last snapshot stays as it was, and a new `discover` begins anew."""
    old = nacos.discover("models")
    await old.known()
    assert fake.subscriptions("models") == 1
    nacos.forget("models")
    await eventually(lambda: fake.subscriptions("models") == 0)
    fake.put_instance("models", Instance("10.0.0.1", 8001))
    new = nacos.discover("models")
    await eventually(lambda: len(getattr(new.snapshot, "instances", ())) == 1)
    assert new is not old
    assert old.snapshot.instances == ()


class Slow(FakeSession):
    """A session whose server takes its time to forget a subscription."""

    def __init__(self, server: FakeNacos, settings: NacosSettings, calls: list[str]) -> None:
        super().__init__(server, settings.namespace, "slow")
        self.calls = calls

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Note it."""
        self.calls.append("subscribed")
        return await super().subscribe(service, push)

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Note it when it is done."""
        await asyncio.sleep(0.2)
        await super().unsubscribe(service)
        self.calls.append("unsubscribed")


async def test_a_service_can_be_followed_again_at_once(fake: FakeNacos) -> None:
    """The end of the first subscription is not the end of the second."""
    calls: list[str] = []
    settings = fake.client().settings
    async with Nacos(settings, connect=lambda given, _: Slow(fake, given, calls)) as nacos:
        await nacos.discover("models").known()
        nacos.forget("models")
        await nacos.discover("models").known()
    assert calls == ["subscribed", "unsubscribed", "subscribed"]


def test_threads_that_come_first_at_once_share_everything(fake: FakeNacos) -> None:
    """However slow the first connection is made: one thread, one session, one discovery."""
    sessions: list[str] = []

    def connect(settings: NacosSettings, label: str) -> FakeSession:
        sessions.append(label)
        threading.Event().wait(0.1)  # as long as loading the vendor's protocol takes
        return fake.connect(settings, label)

    nacos = Nacos(fake.client().settings, connect=connect)
    together = threading.Barrier(8)

    def first(_: int) -> list[Discovery]:
        found = []
        for service in range(20):
            together.wait(20)
            found.append(nacos.discover(f"models-{service}"))
        return found

    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(first, range(8)))
    nacos.stop()
    assert sessions == ["main"]
    assert [len(set(column)) for column in zip(*rows, strict=True)] == [1] * 20


async def test_a_name_may_carry_its_group(fake: FakeNacos, nacos: Nacos) -> None:
    """`GROUP@@service` is the service of that group, to announce, to discover and to forget."""
    await nacos.announcement("PAY_GROUP@@pay", port=8001).announce()
    await eventually(lambda: fake.instances("pay", group="PAY_GROUP"))
    discovery = nacos.discover("PAY_GROUP@@pay")
    assert len((await discovery.known()).instances) == 1
    assert discovery is nacos.discover("pay", group="PAY_GROUP")
    assert discovery is nacos.discover("PAY_GROUP@@pay", group="PAY_GROUP")
    nacos.forget("PAY_GROUP@@pay")
    assert discovery is not nacos.discover("pay", group="PAY_GROUP")


@pytest.mark.parametrize(
    ("name", "group", "reason"),
    [
        ("PAY_GROUP@@pay", "OTHER", "'PAY_GROUP@@pay' is not in the group 'OTHER'"),
        ("", None, "names no service"),
        ("@@pay", None, "names no service"),
        ("PAY_GROUP@@", None, "names no service"),
        ("A@@B@@pay", None, "names no service"),
    ],
)
async def test_a_name_that_contradicts_its_group_is_refused(
    nacos: Nacos, name: str, group: str | None, reason: str
) -> None:
    """At once, wherever a service is named."""
    with pytest.raises(ValueError, match=reason):
        nacos.discover(name, group=group)
    with pytest.raises(ValueError, match=reason):
        nacos.announcement(name, port=8001, group=group)
    with pytest.raises(ValueError, match=reason):
        nacos.forget(name, group=group)


async def test_parts_of_one_name_have_states_of_their_own(nacos: Nacos) -> None:
    """What fails is not hidden by a part of the same name; the first keeps the short one."""
    announcements = [
        nacos.announcement("models", port=8001),
        nacos.announcement("models", port=8002),
        nacos.announcement("models", port=8002, group="BLUE"),
    ]
    for group in (None, "BLUE", "BLUE"):
        nacos.watch("models", BaseModel, group=group)
    nacos.discover("models")
    nacos.discover("models", group="BLUE")
    await announcements[0].announce()
    await eventually(lambda: nacos.states["announcement models"]["ok"])
    assert {name: state["ok"] for name, state in nacos.states.items() if "disc" not in name} == {
        "nacos": True,
        "announcement models": True,
        "announcement models DEFAULT_GROUP:8002": False,
        "announcement models BLUE:8002": False,
        "config models": False,
        "config models BLUE": False,
        "config models BLUE 2": False,
    }
    assert {"discovery models", "discovery models BLUE"} <= set(nacos.states)


async def test_what_was_withdrawn_is_no_trouble(fake: FakeNacos, nacos: Nacos) -> None:
    """It is shown while it is wanted: before `announce`, and again after another one."""
    announcement = nacos.announcement("models", port=8001)
    assert not nacos.states["announcement models"]["ok"]
    await announcement.announce()
    await announcement.withdraw()
    assert "announcement models" not in nacos.states
    assert announcement.state.detail == "withdrawn"
    await announcement.announce()
    assert "announcement models" in nacos.states
    await eventually(lambda: len(fake.instances("models")) == 1)


async def test_a_blocked_loop_is_noticed_and_a_stopped_watchdog_is_not_fooled() -> None:
    """The dog counts its own ticks: silence while it was awake, not time on the clock."""
    changes: list[bool] = []
    started = threading.Event()
    application = asyncio.new_event_loop()
    release = threading.Event()

    def run() -> None:
        application.call_soon(started.set)
        application.run_forever()
        application.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(5)
    dog = Watchdog(0.5)
    dog.watch(application)
    watching = asyncio.create_task(dog.run(lambda: changes.append(dog.blocked)))
    application.call_soon_threadsafe(release.wait)
    await eventually(lambda: changes == [True])
    release.set()
    await eventually(lambda: changes == [True, False])
    watching.cancel()
    application.call_soon_threadsafe(application.stop)
    thread.join()


async def test_a_bell_is_not_missed() -> None:
    """A ring before the wait ends the wait at once; without one it ends with the patience."""
    bell = Doorbell()
    bell.ring()
    bell.ring()
    assert await bell.wait(5)
    began = time.monotonic()
    assert not await bell.wait(0.05)
    assert time.monotonic() - began < 2


def test_settings_reach_the_client() -> None:
    """What was given can be read back, and no thread runs before the start."""
    settings = NacosSettings(namespace="models")
    assert Nacos(settings).settings is settings
    assert not [t for t in threading.enumerate() if t.name == "nacos"]
