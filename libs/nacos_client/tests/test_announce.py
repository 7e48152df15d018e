"""Announcing where something is missing: the name of Nacos, the address, the permission."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise

import pytest
from failover import Instance
from hypothesis import given, strategies as st
from nacos_client import Announcement, Denied, Nacos, NacosSettings, Shown, Unreachable
from nacos_client.address import trial
from nacos_client.announce import LONGEST_PAUSE, RETRY_SECONDS, pause
from nacos_client.ports import Document, DocumentKey, ServiceKey
from nacos_client.runtime import Runtime
from nacos_client.testing import FakeNacos, FakeSession
from pydantic import BaseModel

pytestmark = pytest.mark.anyio

LOST = NacosSettings(server_addr="nacos.invalid:8848")


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """The thread of a client that finds its address as the test wants."""
    thread = Runtime()
    thread.start()
    yield thread
    thread.stop()


def located(runtime: Runtime, fake: FakeNacos, locate: Callable[[], str]) -> Announcement:
    """Prepare an announcement whose address is found by `locate`."""
    return Announcement(
        runtime,
        lambda: fake.connect(NacosSettings(), "models"),
        ServiceKey("models", "DEFAULT_GROUP"),
        Instance("", 8001),
        lambda: locate,
        blocked_limit=10.0,
        ephemeral=True,
    )


@pytest.fixture(params=["real", "fake"])
async def lost(request: pytest.FixtureRequest, fake: FakeNacos) -> AsyncIterator[Nacos]:
    """A client of a Nacos whose name nobody knows."""
    async with Nacos(LOST) if request.param == "real" else fake.client(LOST) as nacos:
        yield nacos


async def test_a_start_without_the_name_of_nacos(lost: Nacos) -> None:
    """Where Nacos' name does not resolve, a process starts, says why it is missing, and stops."""
    announcement = lost.announcement("models", port=8001)
    assert announcement.state.wanted is None
    await announcement.announce()
    await announcement.update(weight=2.0)
    await eventually(lambda: "nacos.invalid" in announcement.state.detail)
    assert announcement.state.shown is Shown.UNKNOWN
    assert announcement.state.wanted.weight == 2.0
    assert not lost.states["announcement models"]["ok"]
    began = time.monotonic()
    await announcement.withdraw()
    assert time.monotonic() - began < 5


async def test_an_address_is_asked_for_until_it_is_known(fake: FakeNacos, runtime: Runtime) -> None:
    """Then the instance is announced by itself, with what was changed meanwhile."""
    asked: list[float] = []

    def locate() -> str:
        asked.append(time.monotonic())
        if len(asked) < 3:
            raise Unreachable("no such name")
        return "10.0.0.7"

    announcement = located(runtime, fake, locate)
    await announcement.announce()
    await eventually(lambda: announcement.state.detail == "no such name")
    await announcement.update(weight=2.0)
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
    assert fake.instances("models") == (Instance("10.0.0.7", 8001, 2.0),)
    assert min(later - sooner for sooner, later in pairwise(asked)) > 0.9
    await announcement.update(metadata={"version": "2"})
    await eventually(lambda: fake.instances("models")[0].metadata.get("version") == "2")
    await announcement.withdraw()
    assert fake.instances("models") == ()


async def test_a_slow_answer_about_the_address_holds_nothing_up(
    fake: FakeNacos, runtime: Runtime
) -> None:
    """Neither the application, nor the rest of the client, nor the withdrawal waits for it."""
    asking, answer = socket.socketpair()

    def locate() -> str:
        with asking:
            return f"10.0.0.{asking.recv(1).decode()}"

    async def fetch() -> Document | None:
        session = fake.connect(NacosSettings(), "main")
        session.start()
        document = await session.fetch(DocumentKey("models", "DEFAULT_GROUP"))
        await session.close()
        return document

    announcement = located(runtime, fake, locate)
    async with asyncio.timeout(2):
        await announcement.announce()
        assert await runtime.run(fetch(), 2) is None
        await announcement.withdraw()
    answer.send(b"7")
    assert fake.instances("models") == ()
    answer.close()


async def test_an_address_that_nobody_answers_at_is_announced_with_a_warning(
    fake: FakeNacos, caplog: pytest.LogCaptureFixture
) -> None:
    """The way of the callers may be another. The warning goes once the address answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        port = listener.getsockname()[1]
        async with fake.client(NacosSettings(host="127.0.0.2")) as nacos:
            announcement = nacos.announcement("models", port=port)
            assert announcement.warning is None
            await announcement.announce()
            await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
            assert [i.address for i in fake.instances("models")] == [f"127.0.0.2:{port}"]
            told = nacos.states["announcement models"]
            assert told["ok"]
            assert f"127.0.0.2:{port} does not answer from here" in told["warning"]
            listener.listen()
            await eventually(lambda: "does not answer" not in announcement.warning)
    told_once = [r for r in caplog.records if "does not answer from here" in r.message]
    assert [record.levelname for record in told_once] == ["WARNING"]


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
async def test_a_loopback_address_is_announced_with_a_warning(
    fake: FakeNacos, caplog: pytest.LogCaptureFixture, host: str, family: socket.AddressFamily
) -> None:
    """Callers on the same host reach it; the state says that no others do."""
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        async with fake.client(NacosSettings(host=host)) as nacos:
            announcement = nacos.announcement("models", port=port)
            await announcement.announce()
            await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
            listener.accept()[0].close()  # the instance has connected to itself
            assert f"{host} is a loopback address" in nacos.states["announcement models"]["warning"]
    assert [r.levelname for r in caplog.records if "loopback" in r.message] == ["WARNING"]


async def test_an_address_that_answers_has_no_warning() -> None:
    """A socket that listens is enough; the reason of a failure names the address and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert await trial("127.0.0.1", port) is None
    reason = await trial("127.0.0.1", port)
    assert reason is not None
    assert f"127.0.0.1:{port} does not answer from here" in reason
    assert "HOST=:: listens on IPv6 and IPv4" in str(await trial("::1", port))


class Administered(FakeSession):
    """A session that notes what its user set right by hand."""

    def __init__(self, server: FakeNacos, settings: NacosSettings, done: list[float]) -> None:
        super().__init__(server, settings.namespace, "administered")
        self.done = done

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Note the weight that was asked for."""
        self.done.append(instance.weight)
        await super().override(service, instance, ephemeral=ephemeral)


async def test_a_change_by_hand_is_undone_at_the_first_sight(fake: FakeNacos) -> None:
    """Disabled in the console, an instance vanishes for callers: one claim brings it back.

    What Nacos was told by hand outlives a registration, so a later change is told by hand too; a
    new connection alone is no reason to.
    """
    done: list[float] = []
    settings = fake.client().settings
    async with Nacos(settings, connect=lambda given, _: Administered(fake, given, done)) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        assert done == []

        fake.override("models", "127.0.0.1:8001", enabled=False)
        await eventually(lambda: announcement.state.healed)
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        assert (announcement.state.healed, done) == (1, [1.0])

        fake.stop()
        await eventually(lambda: announcement.state.shown is Shown.UNKNOWN)
        fake.start()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        assert done == [1.0]

        await announcement.update(weight=2.0)
        await eventually(lambda: fake.instances("models")[0].weight == 2.0)
        await eventually(lambda: done == [1.0, 2.0])


class Powerless(FakeSession):
    """A session whose user may not undo what is set by hand; the tries are noted."""

    def __init__(self, server: FakeNacos, settings: NacosSettings, tries: list[float]) -> None:
        super().__init__(server, settings.namespace, "powerless")
        self.tries = tries

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Refuse, as a server does whose administration this user may not use."""
        del service, instance, ephemeral
        self.tries.append(time.monotonic())
        raise Denied("this user may not change an instance over HTTP")


async def test_what_cannot_be_undone_is_told_and_not_counted(fake: FakeNacos) -> None:
    """A change by hand that stays is no healing, is named with its reason, and tried ever less."""
    tries: list[float] = []
    settings = fake.client().settings
    async with Nacos(settings, connect=lambda given, _: Powerless(fake, given, tries)) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)

        fake.override("models", "127.0.0.1:8001", weight=9.0)
        await eventually(lambda: len(tries) == 4)
        assert announcement.state.healed == 0
        assert announcement.state.shown is Shown.DIFFERENT
        assert "not undone: this user may not change" in announcement.state.detail
        pauses = [later - sooner for sooner, later in pairwise(tries)]
        least = [0.9 * RETRY_SECONDS * 2**number for number in range(3)]
        assert [one for one, floor in zip(pauses, least, strict=True) if one < floor] == []

        fake.override("models", "127.0.0.1:8001")
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        assert announcement.state.detail == ""


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_difference_is_mended_ever_more_slowly(in_vain: int, refusals: int) -> None:
    """The pauses never shrink, double, and stay within what a person waits for."""
    now, later = pause(in_vain, refusals), pause(in_vain + 1, refusals + bool(refusals))
    assert RETRY_SECONDS <= now <= later <= min(2 * now, LONGEST_PAUSE)
    assert pause(10_000, refusals) == LONGEST_PAUSE or refusals


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


async def test_metadata_follow_a_document(fake: FakeNacos, nacos: Nacos) -> None:
    """The instance shows the first value, and after a storm of changes the last one."""
    watched = nacos.watch("settings", Settings)
    made: list[str] = []

    def metadata() -> dict[str, str]:
        made.append(str(watched.value.clusters) if watched.state.applied_at else "unknown")
        return {"clusters": made[-1]}

    def shown() -> list[str]:
        return [instance.metadata["clusters"] for instance in fake.instances("models")]

    announcement = nacos.announcement("models", port=8001, weight=2.0)
    announcement.follow(watched, metadata)
    await watched.start()
    await announcement.announce()
    await eventually(lambda: shown() == ["3"])
    for clusters in range(4, 104):
        fake.publish("settings", f"clusters: {clusters}")
    await eventually(lambda: shown() == ["103"])
    assert made[:2] == ["unknown", "3"]
    assert sorted(map(int, made[1:])) == list(map(int, made[1:]))
    assert fake.instances("models")[0].weight == 2.0
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
    assert announcement.state.healed == 0


async def test_metadata_that_cannot_be_made_change_nothing(fake: FakeNacos, nacos: Nacos) -> None:
    """The instance keeps its metadata, other subscribers get the value, the next change counts."""
    watched = nacos.watch("settings", Settings)
    await watched.start()

    def metadata() -> dict[str, str]:
        if watched.value.clusters == 4:
            raise RuntimeError("no metadata")
        return {"clusters": str(watched.value.clusters)}

    told: list[int] = []
    announcement = nacos.announcement("models", port=8001)
    announcement.follow(watched, metadata)
    watched.subscribe(lambda settings: told.append(settings.clusters))
    fake.publish("settings", "clusters: 4")
    await eventually(lambda: told == [4])
    await announcement.announce()
    await eventually(lambda: len(fake.instances("models")) == 1)
    assert fake.instances("models")[0].metadata["clusters"] == "3"
    fake.publish("settings", "clusters: 5")
    await eventually(lambda: fake.instances("models")[0].metadata["clusters"] == "5")


async def test_metadata_follow_no_longer_than_the_client_lives(fake: FakeNacos) -> None:
    """After the close no change of the document makes metadata."""
    made: list[int] = []
    async with fake.client() as nacos:
        watched = nacos.watch("settings", Settings)
        await watched.start()
        announcement = nacos.announcement("models", port=8001)
        announcement.follow(watched, lambda: made.append(watched.value.clusters) or {})
        tasks = asyncio.all_tasks()
        fake.publish("settings", "clusters: 4")
        await eventually(lambda: made == [3, 4])
        assert asyncio.all_tasks() == tasks
    fake.publish("settings", "clusters: 5")
    async with fake.client() as later:
        await (again := later.watch("settings", Settings)).start()
        assert again.value.clusters == 5
    assert made == [3, 4]
