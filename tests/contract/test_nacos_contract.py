"""What a client may rely on, whether Nacos is real or in memory."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from failover import Instance
from nacos_client import (
    Announcement,
    BadDocument,
    Conflict,
    Known,
    Refused,
    Shown,
    Unknown,
)
from pydantic import BaseModel, Field

pytestmark = pytest.mark.anyio

SOURCE = {"preserved.register.source": "PYTHON"}


class Settings(BaseModel):
    """A document of a clustering service."""

    clusters: int = Field(default=3, ge=1)
    n_init: int = 10


async def eventually(condition: Callable[[], object], seconds: float = 8.0) -> float:
    """Wait until the condition holds; returns how long that took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def announced(announcement: Announcement) -> None:
    await announcement.announce()
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)


@pytest.mark.feature("an instance is announced and withdrawn")
async def test_an_instance_is_shown_only_between_announce_and_withdraw(world: Any) -> None:
    """Nothing is registered before `announce`; `withdraw` returns when Nacos shows nothing more."""
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001, metadata={"version": "1"})
        assert world.shown("models") == []

        await announced(announcement)
        assert world.shown("models") == [("127.0.0.1:8001", 1.0, True, {"version": "1", **SOURCE})]

        began = time.monotonic()
        await announcement.withdraw()
        assert world.shown("models") == []
        assert time.monotonic() - began < 5


@pytest.mark.feature("an instance is announced and withdrawn")
async def test_closing_the_client_withdraws(world: Any) -> None:
    """An application that forgets `withdraw` leaves nothing behind."""
    async with world.client() as nacos:
        await announced(nacos.announcement("models", port=8001))

    await eventually(lambda: world.shown("models") == [])


async def test_announcing_twice_is_announcing_once(world: Any) -> None:
    """A second `announce` changes nothing, a second `withdraw` neither."""
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announced(announcement)
        await announced(announcement)
        assert len(world.shown("models")) == 1
        await announcement.withdraw()
        await announcement.withdraw()
        assert world.shown("models") == []


async def test_an_instance_can_be_announced_again(world: Any) -> None:
    """After `withdraw`, `announce` brings the same instance back."""
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announced(announcement)
        await announcement.withdraw()
        await announced(announcement)
        assert len(world.shown("models")) == 1


async def test_two_instances_of_one_service_in_one_process(world: Any) -> None:
    """Each announcement is an instance of its own; one's end is not the other's."""
    async with world.client() as nacos:
        first = nacos.announcement("models", port=8001)
        second = nacos.announcement("models", port=8002)
        await announced(first)
        await announced(second)
        await eventually(lambda: len(world.shown("models")) == 2)

        await first.withdraw()
        await eventually(lambda: [row[0] for row in world.shown("models")] == ["127.0.0.1:8002"])


@pytest.mark.feature("processes that share an address are one instance")
async def test_processes_that_share_an_address_are_one_instance(world: Any) -> None:
    """It stays in Nacos until the last of them has left.

    Where their metadata differ for a while, each has its own entry there, and neither undoes the
    other's.
    """

    def versions() -> list[str]:
        assert {row[0] for row in world.shown("models")} == {"127.0.0.1:8001"}
        return sorted(row[3]["version"] for row in world.shown("models"))

    async with world.client() as one, world.client() as other:
        first, second = (
            nacos.announcement("models", port=8001, metadata={"version": "1"}, shared=True)
            for nacos in (one, other)
        )
        await announced(first)
        await announced(second)
        assert versions() == ["1"]

        await first.update(metadata={"version": "2"})
        await eventually(lambda: versions() == ["1", "2"])
        for each in (first, second):
            await eventually(lambda each=each: each.state.shown is Shown.AS_WANTED)
        await second.update(metadata={"version": "2"})
        await eventually(lambda: versions() == ["2"])
        assert (first.state.healed, second.state.healed) == (0, 0)

        await first.withdraw()
        assert versions() == ["2"]
        await second.withdraw()
        assert world.shown("models") == []


@pytest.mark.feature("persistent instances")
@pytest.mark.outage
async def test_a_persistent_instance_outlives_its_connection(world: Any) -> None:
    """It changes in place, stays when its process ends, and goes when it is withdrawn."""
    nacos = world.client()
    nacos.start()
    announcement = nacos.announcement("kept", port=8001, ephemeral=False)
    await announced(announcement)
    await announcement.update(weight=2.0)
    await eventually(lambda: [row[1] for row in world.shown("kept")] == [2.0])
    await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
    await announced(nacos.announcement("carried", port=8002))
    nacos.stop()
    await eventually(lambda: world.shown("carried") == [])
    assert [row[0] for row in world.shown("kept")] == ["127.0.0.1:8001"]

    async with world.client() as again:
        announcement = again.announcement("kept", port=8001, ephemeral=False)
        await announced(announcement)
        assert announcement.state.seen.weight == 1.0
        await announcement.withdraw()
        assert world.shown("kept") == []


@pytest.mark.feature("a change by hand is undone")
@pytest.mark.outage
async def test_a_persistent_instance_is_kept_right(world: Any) -> None:
    """What is changed by hand is found and undone, as for any other."""
    async with world.client() as nacos:
        announcement = nacos.announcement("kept", port=8001, ephemeral=False)
        await announced(announcement)
        world.change("kept", replace(announcement.state.wanted, weight=9.0), ephemeral=False)
        await eventually(lambda: world.shown("kept")[0][1] == 9.0)
        await eventually(lambda: world.shown("kept")[0][1] == 1.0, seconds=12)


@pytest.mark.feature("metadata and weight change in place")
async def test_metadata_and_weight_change_in_place(world: Any) -> None:
    """`update` replaces what is named and keeps the rest, without taking the instance out."""
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001, metadata={"version": "1"})
        await announced(announcement)
        seen: list[int] = []
        discovery = nacos.discover("models")
        await eventually(lambda: _count(discovery.snapshot) == 1)
        discovery.subscribe(lambda snapshot: seen.append(_count(snapshot)))

        await announcement.update(metadata={"version": "2"}, weight=2.5)

        expected = ("127.0.0.1:8001", 2.5, True, {"version": "2", **SOURCE})
        await eventually(lambda: world.shown("models") == [expected])
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        await eventually(lambda: seen)
        assert set(seen) == {1}


async def test_metadata_follow_a_document(world: Any) -> None:
    """Callers see the version of the configuration that an instance has in force."""
    async with world.client() as nacos:
        watched = nacos.watch("settings", Settings)
        await watched.start()
        announcement = nacos.announcement("models", port=8001)
        announcement.follow(watched, lambda: {"clusters": str(watched.value.clusters)})
        await announced(announcement)
        assert world.shown("models")[0][3] == {"clusters": "3", **SOURCE}

        world.publish("settings", "clusters: 4")
        await eventually(lambda: world.shown("models")[0][3] == {"clusters": "4", **SOURCE})


async def test_a_disabled_instance_gets_no_calls(world: Any) -> None:
    """`update(enabled=False)` takes it out of what callers see, `True` brings it back."""
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announced(announcement)
        discovery = nacos.discover("models")
        await eventually(lambda: _count(discovery.snapshot) == 1)

        await announcement.update(enabled=False)
        await eventually(lambda: _count(discovery.snapshot) == 0)
        assert announcement.state.shown is Shown.AS_WANTED

        await announcement.update(enabled=True)
        await eventually(lambda: _count(discovery.snapshot) == 1)


@pytest.mark.feature("a change by hand is undone")
@pytest.mark.outage
async def test_what_is_changed_by_hand_is_set_right(world: Any) -> None:
    """Another weight, other metadata or a disabling in the console are found and undone.

    That takes an audit's three seconds and what Nacos needs to show it; a later `update` counts
    as if nobody had ever interfered.
    """
    async with world.client() as nacos:
        announcement = nacos.announcement("models", port=8001, metadata={"version": "1"})
        await announced(announcement)
        wanted = announcement.state.wanted

        world.change("models", replace(wanted, weight=9.0, metadata={"version": "x"}))
        await eventually(lambda: world.shown("models")[0][1] == 9.0)
        await eventually(lambda: world.shown("models")[0][1:] == (1.0, True, dict(wanted.metadata)))

        world.change("models", replace(wanted, enabled=False))
        await eventually(lambda: not world.shown("models")[0][2])
        took = await eventually(lambda: world.shown("models")[0][2], seconds=12)
        assert took < 6
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        assert announcement.state.healed >= 2

        await announcement.update(weight=3.0)
        await eventually(lambda: world.shown("models")[0][1:3] == (3.0, True))


async def test_nobody_is_known_to_be_nobody(world: Any) -> None:
    """A service without instances is known to have none, by Nacos' own word."""
    async with world.client() as nacos:
        known = await nacos.discover("nobody").known()
        assert isinstance(known, Known)
        assert known.instances == ()
        assert (known.source, known.stale) == ("nacos", False)


@pytest.mark.feature("changes of instances are pushed")
async def test_a_change_of_instances_is_pushed(world: Any) -> None:
    """A snapshot follows in well under a reconcile period, with weight, cluster and metadata."""
    async with world.client() as provider, world.client() as caller:
        discovery = caller.discover("models")
        await discovery.known()
        announcement = provider.announcement(
            "models", port=8001, metadata={"version": "1"}, weight=2.0, cluster="east"
        )
        await announcement.announce()
        took = await eventually(lambda: _count(discovery.snapshot) == 1)
        assert took < 3

        [instance] = discovery.snapshot.instances
        assert (instance.address, instance.weight) == ("127.0.0.1:8001", 2.0)
        assert (instance.cluster, instance.healthy) == ("east", True)
        assert instance.metadata == {"version": "1", **SOURCE}


async def test_the_last_instance_disappears(world: Any) -> None:
    """An empty list is believed once it is confirmed, after three seconds, and not at once."""
    async with world.client() as provider, world.client() as caller:
        announcement = provider.announcement("models", port=8001)
        await announced(announcement)
        discovery = caller.discover("models")
        await eventually(lambda: _count(discovery.snapshot) == 1)

        await announcement.withdraw()
        took = await eventually(lambda: _count(discovery.snapshot) == 0)
        assert 2 < took < 6


@pytest.mark.feature("the protect threshold of a service")
async def test_the_protect_threshold_opens_all_instances(world: Any) -> None:
    """When Nacos says that too few are healthy, all are callable, and none counts as missing."""
    for port, healthy in ((1, True), (2, False), (3, False)):
        world.put("models", Instance("10.0.0.1", port, healthy=healthy))
    world.protect("models", 0.4)
    async with world.client() as nacos:
        discovery = nacos.discover("models")
        await eventually(lambda: getattr(discovery.snapshot, "protected", False))
        assert [i.healthy for i in discovery.snapshot.instances] == [True] * 3
        assert discovery.snapshot.held == 0
        assert discovery.plain_state["protected"]

        world.protect("models", 0.1)
        await eventually(lambda: not discovery.snapshot.protected, seconds=15)
        healthy = {i.port: i.healthy for i in discovery.snapshot.instances}
        assert healthy == {1: True, 2: False, 3: False}


@pytest.mark.feature("the history of a document")
async def test_the_history_of_a_document_keeps_its_texts(world: Any) -> None:
    """The last change is first; an entry keeps what was published, or was there before it."""
    async with world.client() as nacos:
        assert await nacos.history("counted") == ()
        for text in ("clusters: 3", "clusters: 4"):
            await nacos.publish("counted", text)
        await nacos.remove("counted")

        history = await nacos.history("counted")
        texts = [await nacos.text_of("counted", each.number) for each in history]

    assert [each.change for each in history] == ["deleted", "updated", "inserted"]
    assert texts == ["clusters: 4", "clusters: 3", "clusters: 3"]
    assert all(abs(each.at - time.time()) < 60 for each in history)


async def test_an_entry_that_is_not_there_is_refused(world: Any) -> None:
    """Nobody takes the text of another document's history for this one's."""
    async with world.client() as nacos:
        with pytest.raises(Refused, match="history of DEFAULT_GROUP/counted"):
            await nacos.text_of("counted", 999_999)


@pytest.mark.feature("groups and namespaces are apart")
async def test_groups_are_apart(world: Any) -> None:
    """A service of another group is another service, whichever way its group is named."""
    async with world.client() as nacos:
        await announced(nacos.announcement("models", port=8001, group="BLUE"))
        green, blue = (
            nacos.discover("models", group="GREEN"),
            nacos.discover("models", group="BLUE"),
        )
        await eventually(lambda: _count(blue.snapshot) == 1)
        assert _count(await green.known()) == 0
        assert nacos.discover("BLUE@@models") is blue


@pytest.mark.feature("instances with IPv6 addresses")
async def test_an_ipv6_instance_that_was_announced_without_brackets(world: Any) -> None:
    """Sockets get its IP, URLs its address; Java announces with brackets, others without."""
    world.put("models", Instance("2001:db8::7", 8001))
    async with world.client() as nacos:
        (found,) = (await nacos.discover("models").known()).instances
    assert (found.ip, found.address) == ("2001:db8::7", "[2001:db8::7]:8001")


@pytest.mark.feature("documents are read, written and deleted")
async def test_a_document_is_read_as_it_was_written(world: Any) -> None:
    """Content and MD5 come back, also beyond ASCII; an absent document is None, not empty."""
    async with world.client() as nacos:
        assert await nacos.fetch("models") is None

        text = "grüße: 你好\n"
        await nacos.publish("models", text)
        await _settled(nacos, "models", text)
        document = await nacos.fetch("models")
        assert (document.md5, document.content) == (
            hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            text,
        )

        await nacos.remove("models")
        await _settled(nacos, "models", None)


@pytest.mark.feature("encrypted documents", since="2.1")
async def test_an_encrypted_document_is_followed(world: Any, tmp_path: Path) -> None:
    """Who has the file with the key reads it, by `fetch` and by `watch`; Nacos has no text of it.

    Its MD5 is that of what Nacos has, also to compare and set by.
    """
    data_id, key_file = "cipher-aes-models", tmp_path / "key"
    key_file.write_text("00112233445566778899aabbccddeeff")
    async with world.client(cipher_key_file=key_file) as nacos, world.client() as stranger:
        await nacos.publish(data_id, "clusters: 4")
        await _settled(nacos, data_id, "clusters: 4")
        watched, kept_out = nacos.watch(data_id, Settings), stranger.watch(data_id, Settings)
        await watched.start()
        await kept_out.start()
        assert watched.value.clusters == 4
        assert (kept_out.value.clusters, kept_out.state.source) == (3, "default")
        assert "set NACOS_CIPHER_KEY_FILE" in kept_out.state.rejection.reason

        read = await nacos.fetch(data_id)
        await nacos.publish(data_id, "clusters: 5", cas_md5=read.md5)
        await eventually(lambda: watched.value.clusters == 5)
        with pytest.raises(BadDocument, match=f"{data_id} cannot be decrypted"):
            await stranger.fetch(data_id)


@pytest.mark.feature("compare-and-set of documents", since="2.3.2")
async def test_compare_and_set(world: Any) -> None:
    """A write over another version than the one read is refused and changes nothing."""
    async with world.client() as nacos:
        await nacos.publish("models", "clusters: 4")
        await _settled(nacos, "models", "clusters: 4")
        read = await nacos.fetch("models")

        await nacos.publish("models", "clusters: 5", cas_md5=read.md5)
        await _settled(nacos, "models", "clusters: 5")
        with pytest.raises(Conflict):
            await nacos.publish("models", "clusters: 6", cas_md5=read.md5)
        assert (await nacos.fetch("models")).content == "clusters: 5"


async def test_the_first_value_is_there_after_start(world: Any) -> None:
    """A document that exists is in force when `start` returns; without one it is the defaults."""
    world.publish("models", "clusters: 4")
    async with world.client() as nacos:
        await _settled(nacos, "models", "clusters: 4")
        there, absent = nacos.watch("models", Settings), nacos.watch("nothing", Settings)
        await there.start()
        await absent.start()
        assert (there.value.clusters, there.state.source) == (4, "nacos")
        assert (absent.value.clusters, absent.state.source) == (3, "default")


@pytest.mark.feature("documents are followed")
async def test_a_change_is_applied_and_told(world: Any) -> None:
    """A published document is in force at once, and subscribers get the new value."""
    async with world.client() as nacos:
        watched = nacos.watch("models", Settings)
        await watched.start()
        told: list[Settings] = []
        watched.subscribe(told.append)

        world.publish("models", "clusters: 4")
        took = await eventually(lambda: watched.value.clusters == 4)
        assert took < 2
        assert told == [Settings(clusters=4)]


@pytest.mark.feature("documents of the namespace public")
async def test_a_document_of_the_default_namespace_is_followed(world: Any) -> None:
    """`public`, where most documents are, is no other than the namespace of that id."""
    public = world.in_public()
    data_id = f"models-{os.urandom(6).hex()}"
    public.publish(data_id, "clusters: 4")
    try:
        async with public.client() as nacos:
            await _settled(nacos, data_id, "clusters: 4")
            watched = nacos.watch(data_id, Settings)
            await watched.start()
            assert (watched.value.clusters, watched.state.source) == (4, "nacos")

            public.publish(data_id, "clusters: 5")
            assert await eventually(lambda: watched.value.clusters == 5) < 2

            await nacos.publish(data_id, "clusters: 6")
            await eventually(lambda: watched.value.clusters == 6)
    finally:
        public.remove(data_id)


async def test_a_bad_document_is_kept_out(world: Any) -> None:
    """The last good value stays; the reason names the key and the nearest known one."""
    async with world.client() as nacos:
        watched = nacos.watch("models", Settings)
        await watched.start()
        world.publish("models", "clusters: 4")
        await eventually(lambda: watched.value.clusters == 4)

        world.publish("models", "clustres: 5")
        await eventually(lambda: watched.state.rejection is not None)
        assert watched.state.rejection.reason == "clustres: unknown key; did you mean clusters?"
        assert watched.value.clusters == 4

        world.publish("models", "clusters: 6")
        await eventually(lambda: watched.value.clusters == 6)
        assert watched.state.rejection is None


@pytest.mark.feature("documents are followed")
async def test_a_deleted_document_means_what_was_chosen(world: Any) -> None:
    """Its deletion brings the defaults back or, by choice, changes nothing; the state says so."""
    async with world.client() as nacos:
        default = nacos.watch("models", Settings)
        last_good = nacos.watch("models", Settings, absent="last_good")
        await default.start()
        await last_good.start()
        world.publish("models", "clusters: 4")
        await eventually(lambda: default.value.clusters == 4 == last_good.value.clusters)

        world.remove("models")
        await eventually(lambda: default.value.clusters == 3)
        await eventually(lambda: last_good.state.source == "last_good")
        assert last_good.value.clusters == 4
        assert default.state.source == "default"


async def test_a_document_that_says_nothing_is_not_a_deleted_one(world: Any) -> None:
    """Both leave the defaults in force, one with its version; a rejection ends with either."""
    async with world.client() as nacos:
        watched = nacos.watch("models", Settings)
        await watched.start()
        for left, source in (("# comments alone\n", "nacos"), (None, "default")):
            world.publish("models", "clusters: many")
            await eventually(lambda: watched.state.rejection is not None)
            world.remove("models") if left is None else world.publish("models", left)
            await eventually(lambda: watched.state.rejection is None)
            await eventually(lambda source=source: watched.state.source == source)
            assert bool(watched.state.version) is (left is not None)
            assert watched.value == Settings()


@pytest.mark.feature("documents are followed")
async def test_layers_go_over_each_other(world: Any) -> None:
    """Shared documents are weaker than the application's, its profile is the strongest."""
    world.publish("shared.yaml", "clusters: 1\nn_init: 1")
    world.publish("models.yaml", "clusters: 2")
    world.publish("models-prod.yaml", "clusters: 5")
    async with world.client() as nacos:
        await _settled(nacos, "models-prod.yaml", "clusters: 5")
        watched = nacos.watch("models.yaml", Settings, shared=["shared.yaml"], profile="prod")
        await watched.start()
        assert watched.value == Settings(clusters=5, n_init=1)

        world.remove("models-prod.yaml")
        await eventually(lambda: watched.value == Settings(clusters=2, n_init=1))


@pytest.mark.feature("groups and namespaces are apart")
async def test_namespaces_are_apart(world: Any) -> None:
    """Another namespace shows neither the documents nor the instances of this one."""
    async with world.client() as nacos:
        await nacos.publish("models", "clusters: 4")
        await announced(nacos.announcement("models", port=8001))
        async with world.client(namespace="elsewhere") as elsewhere:
            assert await elsewhere.fetch("models") is None
            assert _count(await elsewhere.discover("models").known()) == 0


async def _settled(nacos: Any, data_id: str, content: str | None) -> None:
    """Wait until a document that was written can be read: Nacos answers from a cache."""
    async with asyncio.timeout(5):
        while True:
            document = await nacos.fetch(data_id)
            if (document.content if document else None) == content:
                return
            await asyncio.sleep(0.02)


def _count(snapshot: Known | Unknown) -> int:
    """Return how many instances are known; -1 while nothing is."""
    return len(snapshot.instances) if isinstance(snapshot, Known) else -1
