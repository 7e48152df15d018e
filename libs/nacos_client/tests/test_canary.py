"""Canaries: what they are in Nacos, how a document turns them, and the command that writes it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from failover import Instance
from hypothesis import given, strategies as st
from nacos_client import Nacos, NacosSettings
from nacos_client.canary import has, is_canary, published, serves
from nacos_client.promote import alike, parser, run
from nacos_client.testing import FakeNacos
from nacos_client.transport import AsyncNacosTransport

pytestmark = pytest.mark.anyio

OLD, NEW = {"model_version": "1.0.0"}, {"model_version": "1.2.0"}


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def instance(
    fake: FakeNacos, port: int, metadata: dict[str, str], *, canary: bool | None
) -> AsyncIterator[Nacos]:
    """An announced instance of `models`."""
    settings = NacosSettings(advertise_ip="127.0.0.1", canary=canary)
    async with fake.client(settings) as nacos:
        announcement = nacos.announcement("models", port=port, metadata=metadata)
        await announcement.announce()
        await eventually(lambda: any(one.port == port for one in fake.instances("models")))
        yield nacos


def roles(fake: FakeNacos) -> dict[int, tuple[bool, float]]:
    """Whether each instance is a canary, and its weight, by port."""
    return {one.port: (one.canary, one.weight) for one in fake.instances("models")}


NORMAL, CANARY = (False, 1.0), (True, 0.0)


async def test_a_canary_has_a_label_and_no_weight(fake: FakeNacos):
    """By the label our callers leave it out, by the weight those in Java do; others are normal."""
    async with (
        instance(fake, 1, OLD, canary=None),
        instance(fake, 2, OLD, canary=False),
        instance(fake, 3, NEW, canary=True),
    ):
        assert roles(fake) == {1: NORMAL, 2: NORMAL, 3: CANARY}
        (new,) = (one for one in fake.instances("models") if one.port == 3)
        assert new.metadata["model_version"] == "1.2.0"


async def test_an_instance_follows_nothing_that_was_started_without_the_variable(fake: FakeNacos):
    """Who does not use canaries reads no further document and follows no further service."""
    async with instance(fake, 1, OLD, canary=None) as plain:
        assert plain.states.keys() == {"nacos", "announcement models"}


async def test_one_document_turns_all_instances_and_turns_them_back(fake: FakeNacos):
    """Promoted, the new one serves alone; without the document all are as they were started."""
    async with instance(fake, 1, OLD, canary=False), instance(fake, 3, NEW, canary=True):
        fake.publish("models.canary", json.dumps({"serving": NEW}))
        await eventually(lambda: roles(fake) == {1: CANARY, 3: NORMAL})

        fake.remove("models.canary")
        await eventually(lambda: roles(fake) == {1: NORMAL, 3: CANARY})


async def test_at_no_moment_of_a_promotion_a_service_lacks_an_instance(fake: FakeNacos):
    """The old one steps back once the new one is seen to serve, and so on the way back."""
    moments: list[int] = []
    async with (
        instance(fake, 1, OLD, canary=False),
        instance(fake, 3, NEW, canary=True),
        fake.client() as caller,
    ):
        stop = caller.discover("models").subscribe(
            lambda _: moments.append(sum(map(serves, fake.instances("models"))))
        )
        there, back = {1: CANARY, 3: NORMAL}, {1: NORMAL, 3: CANARY}
        for serving, wanted in ((NEW, there), (OLD, back), (NEW, there), (None, back)):
            if serving:
                fake.publish("models.canary", json.dumps({"serving": serving}))
            else:
                fake.remove("models.canary")
            await eventually(lambda wanted=wanted: roles(fake) == wanted)
        stop()

    assert len(moments) > 2
    assert 0 not in moments


async def test_a_document_that_names_nobody_takes_nobody_out(fake: FakeNacos):
    """A version that is not there yet, or misspelt: those that serve go on, canaries stay so."""
    async with (
        instance(fake, 1, OLD, canary=False) as one,
        instance(fake, 3, NEW, canary=True) as other,
    ):
        fake.publish("models.canary", json.dumps({"serving": {"model_version": "9.9.9"}}))
        for nacos in (one, other):
            await eventually(
                lambda nacos=nacos: nacos.states["config models.canary"]["source"] == "nacos"
            )
        assert roles(fake) == {1: NORMAL, 3: CANARY}


async def test_a_bad_document_changes_nothing(fake: FakeNacos):
    """It is kept out, and the readiness answer says why."""
    async with instance(fake, 3, NEW, canary=True) as nacos:
        fake.publish("models.canary", "servng: {}")
        await eventually(lambda: nacos.states["config models.canary"]["rejected"])
        assert "did you mean serving" in nacos.states["config models.canary"]["rejected"]
        assert roles(fake) == {3: CANARY}


async def test_an_instance_that_stepped_back_returns_when_the_promoted_ones_are_gone(
    fake: FakeNacos,
):
    """The promoted version crashes away: the one before serves again by itself."""
    async with instance(fake, 1, OLD, canary=False):
        async with instance(fake, 3, NEW, canary=True):
            fake.publish("models.canary", json.dumps({"serving": NEW}))
            await eventually(lambda: roles(fake) == {1: CANARY, 3: NORMAL})
        await eventually(lambda: roles(fake) == {1: NORMAL})


async def test_an_instance_that_starts_after_a_promotion_starts_as_a_canary(fake: FakeNacos):
    """A restarted old one is never published as one that serves."""
    fake.publish("models.canary", json.dumps({"serving": NEW}))
    async with instance(fake, 3, NEW, canary=True):
        seen = []
        async with fake.client() as caller:
            caller.discover("models").subscribe(
                lambda snapshot: seen.extend(
                    one.canary for one in getattr(snapshot, "instances", ()) if one.port == 1
                )
            )
            async with instance(fake, 1, OLD, canary=False):
                await eventually(lambda: seen)
            assert set(seen) == {True}


async def test_calls_by_name_never_meet_a_canary(fake: FakeNacos):
    """`AsyncNacosTransport` leaves it out, and meets it once it is promoted."""
    met: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        met.append(request.url.port or 0)
        return httpx.Response(200)

    async with (
        instance(fake, 1, OLD, canary=False),
        instance(fake, 3, NEW, canary=True),
        fake.client() as caller,
        httpx.AsyncClient(
            transport=AsyncNacosTransport(caller, inner=httpx.MockTransport(answer))
        ) as client,
    ):
        for _ in range(30):
            await client.get("http://models/")
        assert set(met) == {1}

        fake.publish("models.canary", json.dumps({"serving": NEW}))
        known = caller.discover("models")
        await eventually(
            lambda: {one.port for one in known.snapshot.instances if serves(one)} == {3}
        )
        met.clear()
        for _ in range(30):
            await client.get("http://models/")
        assert set(met) == {3}


labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)
listed = st.lists(
    st.builds(
        Instance,
        ip=st.just("10.0.0.1"),
        port=st.integers(1, 5),
        weight=st.sampled_from([0.0, 1.0]),
        healthy=st.booleans(),
        metadata=labels,
    ),
    max_size=4,
)


@given(labels, labels, listed, st.booleans(), st.booleans())
def test_who_steps_back_leaves_somebody_who_serves(own, serving, instances, started_as, was):
    """An instance becomes a canary only beside another one that serves, and that is meant to."""
    canary = is_canary(own, serving, instances, started_as=started_as, was=was)
    named = has(own, serving) if serving else not started_as

    assert not (named and canary)
    if canary and not (started_as and was):
        able = [one for one in instances if serves(one)]
        assert any(has(one.metadata, serving) if serving else one.metadata != own for one in able)
    if started_as and was and not named:
        assert canary, "a canary stays one until it is named, or all promotions are gone"


@given(labels, labels, st.booleans(), st.booleans())
def test_while_nothing_is_known_only_who_is_meant_to_serve_serves(own, serving, started_as, was):
    """A process that starts while Nacos is silent has the document on its disk, or none."""
    canary = is_canary(own, serving, None, started_as=started_as, was=was)
    assert canary is not (has(own, serving) if serving else not started_as)


@given(listed.filter(bool))
def test_a_canary_is_told_from_its_entry(instances):
    """By our library and by weight; what is published as no canary stays as it is."""
    for one in instances:
        assert published(one, canary=True).canary
        assert published(one, canary=True).weight == 0
        assert published(one, canary=False) == one


@pytest.mark.parametrize(
    ("versions", "found"),
    [([], {}), (["1"], {"v": "1"}), (["1", "1"], {"v": "1"}), (["1", "2"], {})],
)
def test_what_served_before_is_known_if_it_was_one_thing(versions: list[str], found):
    """Two versions side by side have no common label to return to."""
    instances = [Instance("10.0.0.1", 1, metadata={"v": each}) for each in versions]
    assert alike(instances, {"v": "3"}) == found


async def command(fake: FakeNacos, *words: str) -> tuple[int, str, str]:
    """Run `nacos-canary` with these words; return its status, output and complaints."""
    out, err = io.StringIO(), io.StringIO()

    def work() -> int:
        environ = {"NACOS_CACHE_DIR": str(fake.cache_dir)}
        return run(parser().parse_args(words), environ, out, err, connect=fake.connect)

    return await asyncio.to_thread(work), out.getvalue(), err.getvalue()


async def test_one_command_promotes_and_one_takes_back(fake: FakeNacos):
    """Each returns when every instance follows, and lists them."""
    async with instance(fake, 1, OLD, canary=False), instance(fake, 3, NEW, canary=True):
        status, out, err = await command(fake, "promote", "models", "model_version=1.2.0")
        assert (status, err) == (0, "")
        assert out == "127.0.0.1:1 canary 1.0.0\n127.0.0.1:3 serves 1.2.0\n"
        assert roles(fake) == {1: CANARY, 3: NORMAL}
        assert (await command(fake, "promote", "models", "model_version=1.2.0"))[0] == 0

        status, out, err = await command(fake, "take-back", "models")
        assert (status, err) == (0, "")
        assert out == "127.0.0.1:1 serves 1.0.0\n127.0.0.1:3 canary 1.2.0\n"
        assert roles(fake) == {1: NORMAL, 3: CANARY}

        status, _, err = await command(fake, "take-back", "models")
        assert status == 1
        assert "models.canary knows no promotion to take back" in err
        assert (await command(fake, "show", "models"))[1] == out


async def test_nothing_is_promoted_that_is_not_there(fake: FakeNacos):
    """No instance has the version, or none that is healthy: the document stays as it was."""
    sick = Instance("127.0.0.1", 3, healthy=False, metadata=NEW)
    async with instance(fake, 1, OLD, canary=False) as nacos:
        for put in (False, True):
            if put:
                fake.put_instance("models", sick)
            status, _, err = await command(fake, "promote", "models", "model_version=1.2.0")
            assert status == 1
            assert "no healthy instance of models has model_version=1.2.0" in err
        assert await nacos.fetch("models.canary") is None


@pytest.mark.parametrize("words", [["promote", "models"], ["promote", "models", "1.2.0"], []])
def test_wrong_use_is_told(words: list[str], capsys: pytest.CaptureFixture[str]):
    """Exit status 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 2
    assert "nacos-canary" in capsys.readouterr().err


def test_the_label_is_the_one_that_the_balancer_knows():
    """What is published as a canary is one for `failover` too, with the weight of its peers."""
    one = published(Instance("10.0.0.1", 1, weight=3.0), canary=True)
    assert (one.canary, one.share) == (True, 1.0)
    assert replace(one, metadata={}).share == 0
