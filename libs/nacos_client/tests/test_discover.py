"""Following a service: what a reconnect, a slow disk and lost notices do to it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from failover import Instance
from nacos_client import NacosSettings
from nacos_client.discover import RARE_SECONDS, RECONCILE_SECONDS, Discovery
from nacos_client.ports import Listing, ServiceKey
from nacos_client.runtime import Runtime
from nacos_client.snapshot import HOLD_SECONDS, REJOIN_SECONDS, STALE_SECONDS, Known
from nacos_client.store import Store

pytestmark = pytest.mark.anyio

SERVICE = ServiceKey("models", "G")


def some(count: int) -> Listing:
    return Listing(tuple(Instance("10.0.0.1", port) for port in range(1, count + 1)))


class Feed:
    """A connection to a service; the test sets its id, its list and the time, and says when."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.id: str | None = "first"
        self.listing = some(4)
        self.now = 1000.0
        self.subscribed = 0
        self.push: Callable[[Listing], None] = lambda _: None
        self._looked = asyncio.Event()
        self._poke: Callable[[], None] = lambda: None

    @property
    def connection(self) -> str | None:
        """The id, for which every turn of a discovery asks first."""
        self._looked.set()
        return self.id

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Keep how to wake the discovery."""
        self._poke = poke
        return lambda: None

    async def instances(self, service: ServiceKey) -> Listing:  # noqa: ARG002
        """Answer the list."""
        return self.listing

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:  # noqa: ARG002
        """Answer the list; the test pushes."""
        self.subscribed += 1
        self.push = push
        return self.listing

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Nothing was promised."""

    async def turn(self) -> None:
        """Have the discovery look once."""
        self._looked.clear()
        self._poke()
        async with asyncio.timeout(30):
            await self._looked.wait()


@asynccontextmanager
async def followed(store: Store) -> AsyncIterator[tuple[Discovery, Feed]]:
    """A discovery that runs on this event loop, with what it follows."""
    feed = Feed()
    discovery = Discovery(Runtime(), feed, SERVICE, store, clock=lambda: feed.now)
    task = asyncio.create_task(discovery.follow())
    yield discovery, feed
    task.cancel()
    await asyncio.wait([task])


def ports(discovery: Discovery) -> list[int]:
    snapshot = discovery.snapshot
    assert isinstance(snapshot, Known)
    return [instance.port for instance in snapshot.instances]


async def quiet(discovery: Discovery, feed: Feed, seconds: float) -> int:
    """Let time pass in which nothing happens; returns how often the discovery looked."""
    end, looks = feed.now + seconds, 0
    while feed.now + discovery.patience <= end:
        feed.now += discovery.patience
        await feed.turn()
        looks += 1
    return looks


async def test_a_quiet_service_is_asked_every_two_minutes(tmp_path: Path) -> None:
    """And never later: so long may a lost push stay unnoticed."""
    async with followed(Store(NacosSettings(cache_dir=tmp_path))) as (discovery, feed):
        await feed.turn()
        assert 29 <= await quiet(discovery, feed, 3600) <= 32
        assert discovery.patience <= RARE_SECONDS

        feed.listing = some(5)  # and nobody tells
        assert await quiet(discovery, feed, RARE_SECONDS) >= 1
        assert ports(discovery) == [1, 2, 3, 4, 5]
        assert discovery.age == 0


async def test_a_lost_push_makes_the_next_question_soon_and_the_subscription_anew(
    tmp_path: Path,
) -> None:
    """For that connection has forgotten the subscription, or loses more."""
    async with followed(Store(NacosSettings(cache_dir=tmp_path))) as (discovery, feed):
        await feed.turn()
        await quiet(discovery, feed, 600)
        feed.listing = some(5)
        await quiet(discovery, feed, RARE_SECONDS)
        assert feed.subscribed == 1
        assert await quiet(discovery, feed, RECONCILE_SECONDS) == 1
        assert feed.subscribed == 2


@pytest.mark.parametrize("seconds", [0, 600])
async def test_a_question_follows_each_push_within_ten_seconds(
    tmp_path: Path, seconds: float
) -> None:
    """A second change may come at once, and its push be the one that is lost."""
    async with followed(Store(NacosSettings(cache_dir=tmp_path))) as (discovery, feed):
        await feed.turn()
        await quiet(discovery, feed, seconds)
        feed.push(some(5))
        feed.listing = some(6)
        await feed.turn()
        assert len(ports(discovery)) == 5
        await quiet(discovery, feed, RECONCILE_SECONDS)
        assert len(ports(discovery)) == 6


async def test_a_snapshot_ages_from_the_end_of_the_connection(tmp_path: Path) -> None:
    """Until then Nacos would have pushed a change, however long ago its last answer came."""
    async with followed(Store(NacosSettings(cache_dir=tmp_path))) as (discovery, feed):
        await feed.turn()
        await quiet(discovery, feed, 600)
        feed.now += discovery.patience / 2
        assert discovery.age == 0
        feed.id = None
        await feed.turn()
        for seconds, stale in ((STALE_SECONDS - 1, False), (1, True)):
            feed.now += seconds
            await feed.turn()
            assert isinstance(discovery.snapshot, Known)
            assert discovery.snapshot.stale is stale
        assert feed.now - discovery.snapshot.observed_at == STALE_SECONDS

        feed.id = "second"
        await feed.turn()
        assert not discovery.snapshot.stale
        assert discovery.age == 0


async def test_a_doubt_does_not_outlive_its_connection(tmp_path: Path) -> None:
    """A list that shrank before an outage makes no list after it more credible.

    Its five seconds may be over by then; the 35 of a Nacos that comes back count all the same.
    """
    async with followed(Store(NacosSettings(cache_dir=tmp_path))) as (discovery, feed):
        await feed.turn()
        feed.listing = some(1)
        await feed.turn()
        assert discovery.snapshot.held == 3
        feed.id = None
        await feed.turn()

        feed.id, feed.listing = "second", some(0)
        feed.now += 2 * HOLD_SECONDS
        await feed.turn()
        assert discovery.snapshot.held == 4
        feed.now += REJOIN_SECONDS - 1
        await feed.turn()
        assert discovery.snapshot.held == 4
        feed.now += 1
        await feed.turn()
        assert discovery.snapshot.instances == ()


class SlowStore(Store):
    """A disk whose write of a single instance takes half a second."""

    def save(self, kind: str, key: str, value: Any) -> None:
        """Write, in the end."""
        if len(value) == 1:
            threading.Event().wait(0.5)
        super().save(kind, key, value)


async def test_the_newest_list_is_what_stays_on_disk(tmp_path: Path) -> None:
    """However slow an earlier write is, it does not replace a later one."""
    store = SlowStore(NacosSettings(cache_dir=tmp_path))
    async with followed(store) as (_, feed):
        for count in (1, 2, 3):
            feed.listing = some(count)
            await feed.turn()
    await asyncio.get_running_loop().shutdown_default_executor()
    saved, _ = store.load("service", str(SERVICE))
    assert [instance["port"] for instance in saved] == [1, 2, 3]


def files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


async def kept(tmp_path: Path, *lists: Listing) -> Any:
    """Return what is on disk after a life in which Nacos answered these."""
    asyncio.get_running_loop().set_default_executor(disk := ThreadPoolExecutor())
    store = Store(NacosSettings(cache_dir=tmp_path))
    async with followed(store) as (_, feed):
        for feed.listing in lists:
            await feed.turn()
            feed.now += REJOIN_SECONDS  # a doubt is over, and Nacos says the same again
            await feed.turn()
    disk.shutdown()
    stored = store.load("service", str(SERVICE))
    return None if stored is None else stored[0]


async def test_a_name_that_never_had_an_instance_is_not_kept_on_disk(tmp_path: Path) -> None:
    """Nacos answers an empty list for every name, and a stranger may make up many."""
    assert await kept(tmp_path, some(0), some(0)) is None
    assert files(tmp_path) == []


async def test_a_service_that_lost_its_instances_is_kept_as_empty(tmp_path: Path) -> None:
    """Whether it had them in this life or, as the copy on disk says, in an earlier one."""
    assert await kept(tmp_path / "this", some(1), some(0)) == []
    assert len(await kept(tmp_path / "earlier", some(1))) == 1
    assert await kept(tmp_path / "earlier", some(0)) == []
