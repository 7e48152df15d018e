"""The incidents of docs/operations.md, made to happen: what the console says, and what helps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from nacos_client import Nacos, NacosSettings

from tests.docs.operations import sections

pytestmark = [pytest.mark.nacos, pytest.mark.anyio, pytest.mark.timeout(240)]
SERVICE = "car-evaluation"
TOKEN = "correct-horse-battery"  # noqa: S105 - of these tests alone
ROUTES = """
defaults: {{timeout: 30, per_try_timeout: 3, hedge: false}}
routes:
  - path: /cars
    service: {service}
    split: [{{metadata: {{model_version: "1.1.0"}}, weight: {weight}}}]
"""
GOOD = ROUTES.format(service=SERVICE, weight=0)
PATIENCE_SECONDS = 60.0
WORK_SECONDS = 0.03
"""Seconds of an instance's work for an answer: so many callers at once are at all instances."""


@dataclass
class Provider:
    """An instance that answers with a status by the number of the request, while it runs.

    Attributes:
        status: of the answer to the n-th request.
        runs: cleared, the instance hangs.
        asked: how many requests arrived.
    """

    status: Callable[[int], int] = lambda number: 200  # noqa: ARG005
    runs: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    port: int = 0

    @property
    def address(self) -> str:
        """As Nacos has it."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                await self.runs.wait()
                await asyncio.sleep(WORK_SECONDS)
                status = self.status(self.asked)
                writer.write(b"HTTP/1.1 %d -\r\nContent-Length: 2\r\n\r\nok" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass
class Night:
    """A gateway, its operator's browser, and a caller."""

    nacos: Nacos
    console: httpx.AsyncClient
    caller: httpx.AsyncClient
    stack: AsyncExitStack

    async def instance(self, provider: Provider, **labels: str) -> Provider:
        """Start an instance and announce it."""
        provider.runs.set()
        server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
        self.stack.callback(server.close)
        provider.port = server.sockets[0].getsockname()[1]
        announcement = self.nacos.announcement(SERVICE, port=provider.port, metadata=labels)
        await announcement.announce()
        self.stack.push_async_callback(announcement.withdraw)
        return provider

    async def call(self, times: int) -> list[int]:
        """Call the service, one call after the other."""
        return [(await self.caller.get("/cars/x")).status_code for _ in range(times)]

    async def crowd(self, size: int) -> list[int]:
        """Call the service as so many callers at once."""
        answers = await asyncio.gather(*(self.caller.get("/cars/x") for _ in range(size)))
        return [one.status_code for one in answers]

    async def page(self) -> str:
        """What the operator sees, with the service opened."""
        answer = await self.console.get("/", params={"service": SERVICE, "lang": "en"})
        return answer.text

    async def until_shown(self, *texts: str, without: str = "\0") -> str:
        """Look until the page has all of these texts, and not the other one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                page = await self.page()
                if without not in page and all(text in page for text in texts):
                    return page
                await asyncio.sleep(0.1)

    async def order(self, do: str, provider: Provider) -> None:
        """Say yes to what the console asks."""
        form = {"do": do, "of": SERVICE, "instance": provider.address}
        answer = await self.console.post("/console/order", data=form)
        assert answer.status_code == httpx.codes.SEE_OTHER
        assert answer.headers["location"].endswith("notice=done")


@pytest.fixture
def anyio_backend() -> str:
    """The gateway's own kind of loop."""
    return "asyncio"


@pytest.fixture(name="night")
async def _night(nacos, service) -> AsyncIterator[Night]:
    """A gateway of two workers with a token, two instances, and an operator who is signed in."""
    env = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_WORKERS": "2"}
    gateway = await asyncio.to_thread(service, "gateway", nacos, env=env)
    settings = NacosSettings.from_env({**nacos.environment, "ADVERTISE_IP": "127.0.0.1"})
    origin = {"origin": gateway.admin_url}
    async with (
        Nacos(settings) as client,
        httpx.AsyncClient(base_url=gateway.admin_url, headers=origin, trust_env=False) as console,
        httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as caller,
        AsyncExitStack() as stack,
    ):
        night = Night(client, console, caller, stack)
        await console.post("/console/sign-in", data={"token": TOKEN})
        await client.publish("gateway", GOOD)
        yield night


def test_the_page_walks_through_them():
    """The document has the three incidents, in the words that the console shows."""
    text = sections()["Three incidents"]

    for words in (
        "### An instance hangs",
        "5 failures in a row",
        "### A bad document",
        "The newest document was refused",
        "### A canary that is worse",
        "Worse: it fails more often than chance explains",
    ):
        assert words in text


async def test_an_instance_hangs(night):
    """No call fails; the console names the instance, the reason and the next probe.

    Drained, it is asked no more, not even by a probe; let back, it serves.
    """
    stuck = await night.instance(Provider())
    well = await night.instance(Provider())
    await night.until_shown("2 of 2 in traffic")
    assert set(await night.call(20)) == {200}

    stuck.runs.clear()
    assert set(await night.crowd(60)) == {200}
    page = await night.until_shown(
        "5 failures in a row", "out of traffic", f"{stuck.address} of {SERVICE} was ejected"
    )
    assert "next probe in" in page or "may probe it" in page

    await night.order("drain", stuck)
    await night.until_shown("drained by an operator", f"{stuck.address} of {SERVICE} was drained")
    asked = stuck.asked
    assert set(await night.call(40)) == {200}
    assert stuck.asked == asked

    stuck.runs.set()
    await night.order("undrain", stuck)
    await night.order("restore", stuck)
    await night.until_shown("2 of 2 in traffic", "was let back")
    before = well.asked
    async with asyncio.timeout(PATIENCE_SECONDS):
        while stuck.asked == asked:
            assert set(await night.crowd(20)) == {200}
    assert well.asked > before


async def test_a_bad_document(night):
    """Calls go on by the routes before; the console has the line and the reason, and is told."""
    await night.instance(Provider())
    await night.until_shown("1 of 1 in traffic")
    assert await night.call(1) == [200]

    await night.nacos.publish("gateway", GOOD.replace("service:", "servise:"))
    page = await night.until_shown("The newest document was refused:")
    assert "did you mean service" in page
    assert "Line 5 of it:" in page
    assert "servise: car-evaluation" in page
    assert set(await night.call(5)) == {200}

    await night.nacos.publish("gateway", GOOD + "\n# mended\n")
    await night.until_shown("was refused", without="The newest document was refused:")
    assert set(await night.call(5)) == {200}


async def test_a_canary_that_is_worse(night):
    """The console says so, with the figures; at weight 0 the canary is asked no more."""
    await night.instance(Provider(), model_version="1.0.0")
    canary = await night.instance(
        Provider(lambda number: 500 if number % 3 == 0 else 200),
        **{"model_version": "1.1.0", "gateway.canary": "true"},
    )
    await night.nacos.publish("gateway", ROUTES.format(service=SERVICE, weight=50))
    await night.until_shown("model_version=1.1.0 gets 50 %", "1 of 2 in traffic, 1 canary")

    statuses = [status for _ in range(10) for status in await night.crowd(30)]
    assert 500 in statuses
    page = await night.until_shown("Worse: it fails more often than chance explains. Take it back.")
    assert "attempts failed" in page

    await night.nacos.publish("gateway", ROUTES.format(service=SERVICE, weight=0))
    await night.until_shown("model_version=1.1.0 gets 0 %")
    asked = canary.asked
    assert set(await night.call(50)) == {200}
    assert canary.asked == asked
