"""The metrics of models, asked for on real connections, of instances that may tell anything."""

import asyncio
import ssl

import pytest
from gateway.console.fetching import Place
from gateway.console.model_metrics import MAX_SAMPLES
from gateway.console.model_watch import (
    AT_ONCE,
    FORGOTTEN_SECONDS,
    FRESH_SECONDS,
    MAX_BYTES,
    MAX_KEPT,
    ModelWatch,
)
from nacos_client import InstanceTls

pytestmark = pytest.mark.anyio
TEXT = b'model_psi{of="safety"} 0.3\n'


def reply(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def place_of(instance, **more) -> Place:
    return Place("cars", "127.0.0.1", instance.port, **more)


async def shown(world, watch: ModelWatch, places: list[Place]):
    """What is known of the service once its instances were asked; None if that is nothing."""
    watch.ask({"cars": places})
    await world.until(lambda: watch.due(["cars"]) == ["cars"])
    return watch.told(["cars"]).get("cars")


class Clock:
    """A clock that goes on by the time for which nothing is asked again, whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        self.now += FRESH_SECONDS
        return self.now


async def test_instances_are_asked_and_told_together(world):
    """Below the service's own path; one that cannot be read is counted, one without none is not."""
    good = await world.instance(world.answering(reply(TEXT)))
    other = await world.instance(world.answering(reply(TEXT.replace(b"0.3", b"0.4"))))
    spring = await world.instance(world.answering(reply(b"", "404 Not Found")))
    watch = ModelWatch(clock=Clock(), wall=lambda: 7.0)
    instances = [good, other, spring, world.refusing()]

    found = await shown(world, watch, [place_of(one, root="/app") for one in instances])

    assert found is not None
    assert (found.at, found.asked, found.told) == (7.0, 3, 2)
    assert [(line.name, line.whole) for line in found.drift] == [("safety", 0.4)]
    assert good.executed[0].line == "GET /app/metrics HTTP/1.1"


async def test_an_address_that_is_none_hides_no_other_instance(world):
    """Whatever Nacos lists as a port."""
    good = await world.instance(world.answering(reply(TEXT)))
    nowhere = Place("cars", "127.0.0.1", 99999)

    found = await shown(world, ModelWatch(clock=Clock()), [nowhere, place_of(good)])

    assert found is not None
    assert (found.asked, found.told) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", "404 Not Found"),
        reply(b"", "401 Unauthorized"),
        reply(b"", "302 Found", "Location: /x\r\n"),
        reply(b"<html>"),
        reply(b'go_threads 7\nhttp_request_duration_seconds_count{method="POST"} 3\n'),
    ],
)
async def test_a_service_without_such_metrics_shows_nothing(world, answer):
    """Spring's, an nginx's, those of another program."""
    instance = await world.instance(world.answering(answer))

    assert await shown(world, ModelWatch(clock=Clock()), [place_of(instance)]) is None
    assert await shown(world, ModelWatch(clock=Clock()), []) is None


@pytest.mark.parametrize(
    "answer",
    [
        reply(TEXT * (MAX_BYTES // len(TEXT) + 1)),
        reply(TEXT * (MAX_SAMPLES + 1)),
        reply(b'model_psi{of="x} 1\n'),
        reply(TEXT, more="Content-Encoding: gzip\r\n"),
        b"no HTTP\r\n\r\n",
    ],
)
async def test_metrics_that_cannot_be_read_are_told_as_such(world, answer):
    """Too long, too many, in no format, compressed: nothing of them is shown."""
    instance = await world.instance(world.answering(answer))

    found = await shown(world, ModelWatch(clock=Clock()), [place_of(instance)])

    assert found is not None
    assert (found.asked, found.told, found.drift) == (1, 0, ())


async def test_an_instance_that_does_not_answer_is_given_up_and_costs_others_nothing(world):
    """The others are shown when its time is over."""
    slow = await world.instance(world.answering_after(asyncio.Event()))
    good = await world.instance(world.answering(reply(TEXT)))

    found = await shown(world, ModelWatch(clock=Clock()), [place_of(slow), place_of(good)])

    assert found is not None
    assert (found.asked, found.told) == (2, 1)


async def test_a_service_is_asked_again_after_its_time_alone(world):
    """While it is being asked, and for half a minute after, it is not due."""
    go, now = asyncio.Event(), [0.0]

    async def behaviour(instance, wire) -> None:
        await instance.take(wire)
        await go.wait()
        wire.send(reply(TEXT))

    instance = await world.instance(behaviour)
    watch = ModelWatch(clock=lambda: now[0])
    assert watch.due(["cars", "other"]) == ["cars", "other"]
    watch.ask({"cars": [place_of(instance)]})
    now[0] = FRESH_SECONDS
    await world.until(lambda: bool(instance.executed))
    assert watch.due(["cars"]) == []
    now[0] = 0.0
    go.set()
    await world.until(lambda: bool(watch.told(["cars"])))

    now[0] = FRESH_SECONDS - 1
    assert watch.due(["cars"]) == []
    now[0] = FRESH_SECONDS
    assert watch.due(["cars"]) == ["cars"]


async def test_few_instances_are_asked_at_a_time(world):
    """However many services somebody looks at."""
    crowd = world.holding(reply(TEXT))
    instance = await world.instance(crowd)
    watch = ModelWatch()
    names = [f"s{number}" for number in range(AT_ONCE)]
    watch.ask({name: [place_of(instance)] * 2 for name in names})
    await world.until(lambda: crowd.under_way == AT_ONCE)
    crowd.go.set()
    await world.until(lambda: len(watch.told(names)) == len(names))

    assert crowd.most == AT_ONCE


async def test_what_is_kept_is_bounded_and_forgotten(world):
    """The services asked last are kept; what was told long ago is not drawn beside what is new."""
    instance, now = await world.instance(world.answering(reply(TEXT))), [0.0]
    watch = ModelWatch(clock=lambda: now[0])
    names = [f"s{number}" for number in range(MAX_KEPT + 1)]

    async def points(name: str) -> int:
        watch.ask({name: [place_of(instance)]})
        asked = len(instance.executed)
        await world.until(lambda: len(instance.executed) > asked and bool(watch.told([name])))
        return len(watch.told([name])[name].drift[0].course)

    assert [await points(name) for name in names] == [1] * len(names)
    assert len(watch.told(names)) == MAX_KEPT
    now[0] += FRESH_SECONDS
    await points(names[-1])
    await world.until(lambda: len(watch.told([names[-1]])[names[-1]].drift[0].course) == 2)
    now[0] += FORGOTTEN_SECONDS
    assert await points(names[-1]) == 1


async def test_what_is_asked_for_ends_with_the_gateway(world):
    """An instance that never answers keeps nothing from ending."""
    instance = await world.instance(world.answering_after(asyncio.Event()))
    watch = ModelWatch()
    watch.ask({"cars": [place_of(instance)]})
    await world.until(lambda: bool(instance.executed))

    async with asyncio.timeout(2):
        await watch.close()

    assert watch.told(["cars"]) == {}


async def test_an_instance_with_tls_is_trusted_as_the_gateway_trusts_it(world, certificate):
    """The authority and the name are those of the settings; without them nothing is read."""
    cert, key = certificate
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    instance = await world.instance(world.answering(reply(TEXT)), tls=tls)
    places = [place_of(instance, secure=True)]

    found = [
        await shown(world, ModelWatch(trust, clock=Clock()), places)
        for trust in (InstanceTls(ca=cert, name="localhost"), InstanceTls(name="localhost"))
    ]

    assert [one.told for one in found if one is not None] == [1, 0]
