"""A watched document: what is put in force, what is not, and who is told."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import product
from typing import Literal

import pytest
from nacos_client import BadDocument, Document, Nacos, NacosError, NacosSettings
from nacos_client.document_sync import DocumentSync
from nacos_client.ports import DocumentKey
from nacos_client.testing import FakeNacos
from pydantic import BaseModel, field_validator

pytestmark = pytest.mark.anyio


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


class Required(BaseModel):
    """A document without defaults."""

    clusters: int


async def eventually(condition: object, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


async def test_there_is_no_value_before_the_start(nacos: Nacos) -> None:
    """Reading too early is a mistake that says what to do."""
    watched = nacos.watch("models", Settings)
    with pytest.raises(NacosError, match="await start"):
        _ = watched.value


async def test_no_document_is_told_from_no_answer(fake: FakeNacos, nacos: Nacos) -> None:
    """Both leave the defaults in force; the state says for which of the two reasons."""
    fake.stop()
    watched = nacos.watch("models", Settings)
    await watched.start(wait=0.0)
    assert (watched.state.source, watched.plain_state["source"]) == ("default", "default")
    assert watched.plain_state["document"] == "not known: Nacos has not answered yet"
    fake.start()
    await eventually(lambda: watched.plain_state["document"] == "no such document")
    assert watched.plain_state["source"] == "default"
    fake.publish("models", "clusters: 4")
    await eventually(lambda: watched.plain_state["document"] == "found")


async def test_what_is_built_is_the_value(fake: FakeNacos, nacos: Nacos) -> None:
    """A plain function builds in a worker thread, a coroutine function on the loop."""
    threads: list[int] = []

    def plain(settings: Settings) -> str:
        threads.append(threading.get_ident())
        return "x" * settings.clusters

    async def awaited(settings: Settings) -> int:
        return settings.clusters * 10

    text, number = (
        nacos.watch("models", Settings, build=plain),
        nacos.watch("models", Settings, build=awaited),
    )
    await text.start()
    await number.start()
    fake.publish("models", "clusters: 4")
    await eventually(lambda: (text.value, number.value) == ("xxxx", 40))
    assert threading.get_ident() not in threads


async def test_what_cannot_be_built_or_checked_is_kept_out(fake: FakeNacos, nacos: Nacos) -> None:
    """A valid document whose value fails is refused like a bad one, with the failure as reason."""

    def build(settings: Settings) -> int:
        if settings.clusters == 4:
            raise OSError("no such model")
        return settings.clusters

    def check(value: int) -> None:
        if value == 5:
            raise ValueError("five is odd")

    watched = nacos.watch("models", Settings, build=build, check=check)
    await watched.start()
    for clusters, reason in ((4, "OSError: no such model"), (5, "ValueError: five is odd")):
        fake.publish("models", f"clusters: {clusters}")
        await eventually(lambda reason=reason: reason in (watched.plain_state["rejected"] or ""))
        assert watched.value == 3
    fake.publish("models", "clusters: 6")
    await eventually(lambda: watched.value == 6)
    assert watched.state.rejection is None


class Fragile(BaseModel):
    """A model with a mistake in it."""

    clusters: int = 3

    @field_validator("clusters")
    @classmethod
    def divide(cls, clusters: int) -> int:
        """Fail at zero in a way that pydantic does not expect."""
        return clusters * (1 // clusters or 1)


@pytest.mark.parametrize(
    "content", ["2024-01-01: x", "limits: &x {a: *x}", "? [a]\n: 1", "clusters: 0"]
)
async def test_no_document_ends_a_watch(fake: FakeNacos, nacos: Nacos, content: str) -> None:
    """Whatever is published, at the start or later, is kept out; the next good one counts."""
    running = nacos.watch("running", Fragile)
    await running.start()
    fake.publish("running", "clusters: 4")
    await eventually(lambda: running.value.clusters == 4)
    for data_id in ("running", "starting"):
        fake.publish(data_id, content)
    await eventually(lambda: running.state.rejection is not None)
    assert running.value.clusters == 4

    starting = nacos.watch("starting", Fragile)
    await starting.start()
    assert starting.value.clusters == 3
    assert starting.state.rejection is not None
    for watched in (running, starting):
        fake.publish(watched.keys[0].data_id, "clusters: 5")
        await eventually(lambda watched=watched: watched.value.clusters == 5)
        assert watched.state.rejection is None


async def test_a_raising_consumer_hurts_nobody(
    fake: FakeNacos, nacos: Nacos, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told all the same, of this change and the next, here and elsewhere."""
    first, second = nacos.watch("one", Settings), nacos.watch("two", Settings)
    await first.start()
    await second.start()
    told: list[Settings] = []

    def raise_always(_: Settings) -> None:
        raise RuntimeError("consumer")

    first.subscribe(raise_always)
    first.subscribe(told.append)
    with caplog.at_level(logging.CRITICAL):
        for clusters in (4, 5):
            fake.publish("one", f"clusters: {clusters}")
            await eventually(lambda clusters=clusters: Settings(clusters=clusters) in told)
    fake.publish("two", "clusters: 6")
    await eventually(lambda: second.value.clusters == 6)


async def test_a_subscription_can_be_ended(fake: FakeNacos, nacos: Nacos) -> None:
    """After `stop()` nothing is told any more; ending it twice is no error."""
    watched = nacos.watch("models", Settings)
    await watched.start()
    told: list[Settings] = []
    stop = watched.subscribe(told.append)
    stop()
    stop()
    fake.publish("models", "clusters: 4")
    await eventually(lambda: watched.value.clusters == 4)
    assert told == []


async def test_a_model_without_defaults_needs_a_document(fake: FakeNacos, nacos: Nacos) -> None:
    """Without one the start fails and names what is missing; a later deletion changes nothing."""
    with pytest.raises(BadDocument, match="clusters: Field required"):
        await nacos.watch("models", Required).start()

    fake.publish("models", "clusters: 4")
    watched = nacos.watch("models", Required)
    await watched.start()
    fake.remove("models")
    await eventually(lambda: watched.state.source == "last_good")
    assert watched.value.clusters == 4
    assert watched.state.rejection is None


@pytest.mark.parametrize(
    ("model", "absent", "left"),
    [
        (Settings, "default", ("default", 3)),
        (Settings, "last_good", ("last_good", 4)),
        (Required, "default", ("last_good", 4)),
        (Required, "last_good", ("last_good", 4)),
    ],
)
async def test_a_refused_document_that_is_deleted_is_no_longer_told(
    fake: FakeNacos,
    nacos: Nacos,
    model: type[Settings | Required],
    absent: Literal["default", "last_good"],
    left: tuple[str, int],
) -> None:
    """Nothing is kept out once the document is gone, whatever is in force without it."""
    fake.publish("models", "clusters: 4")
    watched = nacos.watch("models", model, absent=absent)
    await watched.start()
    fake.publish("models", "clusters: many")
    await eventually(lambda: watched.plain_state["rejected"] is not None)
    fake.remove("models")
    await eventually(lambda: (watched.state.source, watched.value.clusters) == left)
    await eventually(lambda: watched.plain_state["rejected"] is None)


async def test_a_document_refused_at_the_start_is_forgotten_with_its_deletion(
    fake: FakeNacos,
) -> None:
    """So it is too where the value in force came from the disk."""
    fake.publish("models", "clusters: 4")
    async with fake.client() as first:
        await first.watch("models", Settings).start()
    fake.publish("models", "clusters: many")
    async with fake.client() as second:
        watched = second.watch("models", Settings)
        await watched.start()
        assert (watched.value.clusters, watched.state.source) == (4, "last_good")
        assert watched.state.rejection is not None
        fake.remove("models")
        await eventually(lambda: watched.state.source == "default")
        assert watched.value.clusters == 3
        assert watched.state.rejection is None


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        *product(["yaml", "json", "toml", "properties"], ["", " \n"]),
        *product(["yaml", "toml", "properties"], ["# only a comment\n"]),
    ],
)
async def test_a_document_that_says_nothing_is_not_a_deleted_one(
    fake: FakeNacos, nacos: Nacos, ending: str, content: str
) -> None:
    """The values are the defaults with either; the state tells them apart by source and version."""
    data_id = f"models.{ending}"
    fake.publish(data_id, content)
    watched = nacos.watch(data_id, Settings)
    await watched.start()
    assert (watched.value, watched.state.source) == (Settings(), "nacos")
    assert watched.state.version
    fake.remove(data_id)
    await eventually(lambda: watched.state.source == "default")
    assert watched.state.version == ""
    assert watched.state.rejection is None
    fake.publish(data_id, content)
    await eventually(lambda: watched.state.source == "nacos")


async def test_a_start_that_failed_can_be_repeated(fake: FakeNacos, nacos: Nacos) -> None:
    """It fails again while there is nothing acceptable, and never returns without a value."""
    watched = nacos.watch("models", Required)
    for _ in range(2):
        with pytest.raises(BadDocument, match="clusters: Field required"):
            await watched.start()
    fake.publish("models", "clusters: 4")
    async with asyncio.timeout(30):
        while not watched.state.applied_at:  # the document is on its way from another thread
            with suppress(BadDocument):
                await asyncio.gather(watched.start(), watched.start())
    assert watched.value.clusters == 4
    fake.publish("models", "clusters: 5")
    await eventually(lambda: watched.value.clusters == 5)


async def test_the_last_good_document_outlives_the_process(fake: FakeNacos) -> None:
    """Started while Nacos is down, a process has the last good document, and says so."""
    fake.publish("models", "clusters: 4")
    async with fake.client() as first:
        watched = first.watch("models", Settings)
        await watched.start()
        fake.publish("models", "clusters: nonsense")
        await eventually(lambda: watched.state.rejection is not None)
    fake.stop()

    async with fake.client() as second:
        watched = second.watch("models", Settings)
        await watched.start(wait=0.1)
        assert (watched.value.clusters, watched.state.source) == (4, "last_good")
        assert watched.trouble is not None
        fake.start()
        await eventually(lambda: watched.state.rejection is not None)
        assert watched.value.clusters == 4


async def test_a_change_during_an_outage_arrives_afterwards(fake: FakeNacos, nacos: Nacos) -> None:
    """What was published while the connection was gone is in force once it is back."""
    watched = nacos.watch("models", Settings)
    await watched.start()
    fake.stop()
    fake.publish("models", "clusters: 4")
    fake.start()
    await eventually(lambda: watched.value.clusters == 4)


async def test_the_newest_of_many_changes_wins(fake: FakeNacos, nacos: Nacos) -> None:
    """A storm of changes ends with the last one in force, however many were skipped."""
    watched = nacos.watch("models", Settings)
    await watched.start()
    for clusters in range(4, 204):
        fake.publish("models", f"clusters: {clusters}")
    await eventually(lambda: watched.value.clusters == 203)


class Connection:
    """One document on a connection, and what was asked of it."""

    def __init__(self) -> None:
        self.connection: str | None = "first"
        self.trouble: str | None = None
        self.listening: list[str | None] = []
        self.notice = lambda: None

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        """Wake nobody."""
        return lambda: None

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:  # noqa: ARG002
        """Keep on which connection."""
        self.listening.append(self.connection)
        self.notice = changed
        return md5 != "md5"

    async def fetch(self, key: DocumentKey) -> Document:  # noqa: ARG002
        """Answer always the same."""
        return Document("clusters: 4", "md5")


@asynccontextmanager
async def running(sync: DocumentSync) -> AsyncIterator[DocumentSync]:
    """Let a synchronisation run on this event loop."""
    task = asyncio.create_task(sync.run())
    yield sync
    task.cancel()


async def test_a_notice_before_a_reconnect_leaves_nobody_deaf() -> None:
    """A new connection is listened on at once, even if a change was announced on the old one."""
    documents = Connection()
    async with running(DocumentSync(documents, [DocumentKey("models", "G")], lambda _: None)):
        await eventually(lambda: documents.listening == ["first"])
        documents.notice()
        documents.connection = "second"
        await eventually(lambda: documents.listening == ["first", "second"])


async def test_a_lost_notice_is_made_up_for(fake: FakeNacos) -> None:
    """A change of which Nacos told nobody, and a deletion, are found by comparing the MD5s."""
    fake.publish("models", "clusters: 4")
    found: list[str | None] = []

    def deliver(documents: tuple[Document | None, ...]) -> None:
        found.extend(document.content if document else None for document in documents)

    key = DocumentKey("models", "DEFAULT_GROUP")
    session = fake.connect(NacosSettings(), "models")
    session.start()
    async with running(DocumentSync(session, [key], deliver, period=0.05)):
        await eventually(lambda: found == ["clusters: 4"])
        fake.forget()  # on the loop of the synchronisation, which asks nothing before the change
        fake.publish("models", "clusters: 5")
        await eventually(lambda: found[-1] == "clusters: 5")
        fake.forget()
        fake.remove("models")
        await eventually(lambda: found[-1] is None)
    await session.close()
    assert found == ["clusters: 4", "clusters: 5", None]


async def test_documents_are_compared_every_thirty_seconds() -> None:
    """As long as at most a change stays unknown of which the notice was lost."""
    sync = DocumentSync(Connection(), [DocumentKey("models", "G")], lambda _: None)
    async with running(sync):
        await eventually(lambda: sync.loop.patience)
        assert sync.loop.patience == 30
