"""The stream of one page, whatever its browser does."""

import asyncio

import pytest
from gateway.console.page import View
from gateway.console.situation import ServiceSituation, Situation
from gateway.console.stream import PartStream
from gateway.console.words import ENGLISH

pytestmark = pytest.mark.anyio


def situation(**rates: float) -> Situation:
    """Services with so many requests per second."""
    return Situation(
        [
            ServiceSituation(
                name,
                known=True,
                instances=1,
                serving=1,
                canaries=0,
                ejected=0,
                in_flight=0,
                queued=0,
                budget=100.0,
                age=1.0,
                rate=rate,
            )
            for name, rate in rates.items()
        ]
    )


class Asked:
    """A look at a situation that a test changes, and whether the stream has ended."""

    def __init__(self) -> None:
        self.now = situation(cars=1.0, points=1.0)
        self.looks = 0
        self.ended = asyncio.Event()

    async def look(self) -> Situation:
        """Return the situation."""
        self.looks += 1
        return self.now

    def stream(self, **times: float) -> PartStream:
        """Make a stream of it."""
        return PartStream(
            self.look, View(ENGLISH), goes_on=lambda: True, ended=self.ended.set, **times
        )


async def never() -> dict[str, str]:
    """A browser that stays."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def test_only_what_changed_is_sent():
    """A busier service is one row; another service is the whole table."""
    asked = Asked()
    stream = asked.stream()
    assert {"services", "alerts"} <= dict(stream.changes(asked.now)).keys()
    assert stream.changes(asked.now) == []

    ((name, row),) = stream.changes(situation(cars=2.0, points=1.0))
    assert name == "service-cars"
    assert ">2.0<" in row

    assert "services" in dict(stream.changes(situation(cars=2.0, points=1.0, more=0.0)))


async def test_a_browser_that_does_not_read_is_dropped():
    """It costs one look, and nothing is kept for it."""
    asked, begun = Asked(), asyncio.Event()

    async def send(message) -> None:
        if message["type"] == "http.response.body":
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        await asked.stream(tick_seconds=0.01, send_seconds=0.05)({}, never, send)

    assert begun.is_set()
    assert asked.ended.is_set()
    assert asked.looks <= 1


async def test_a_slow_browser_gets_the_newest_parts_alone():
    """While it takes one message, many changes pass; the next message has the last of them."""
    asked, free, sent = Asked(), asyncio.Event(), asyncio.Queue()

    async def send(message) -> None:
        if b"data: " in message.get("body", b""):
            sent.put_nowait(message["body"])
            await free.wait()

    running = asyncio.create_task(asked.stream(tick_seconds=0.001)({}, never, send))
    async with asyncio.timeout(10):
        await sent.get()
        for rate in range(2, 50):
            asked.now = situation(cars=float(rate), points=1.0)
            await asyncio.sleep(0)
        free.set()
        second = await sent.get()
    running.cancel()
    await asyncio.wait([running])

    assert b">49.0<" in second
    assert asked.ended.is_set()


async def test_a_closed_page_ends_its_stream():
    """The browser goes: the stream ends at once."""
    asked, gone = Asked(), asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        del message
        gone.set()

    async with asyncio.timeout(10):
        await asked.stream(tick_seconds=60.0)({}, receive, send)
    assert asked.ended.is_set()
