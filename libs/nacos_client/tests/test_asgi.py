"""An application that another program serves is in Nacos while it is served."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from nacos_client import BadAddress, Nacos
from nacos_client.asgi import AsgiApp, NacosApp, Receive, Send
from nacos_client.own_sockets import OwnSocket, announced_place, own_sockets
from nacos_client.testing import FakeNacos
from stack.ports import free_port
from stack.waiting import wait_until

pytestmark = pytest.mark.anyio

SERVED = Path(__file__).with_name("served.py")
START, STOP = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}

hosts = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "10.0.0.7", "fd00::7"])  # noqa: S104
sockets = st.dictionaries(
    st.integers(1, 9), st.builds(OwnSocket, hosts, st.sampled_from([80, 81]), st.booleans())
)


@given(sockets, st.none() | st.sampled_from([80, 81]), st.frozensets(st.integers(1, 9)))
def test_only_a_place_where_the_process_listens_is_announced(
    mine: dict[int, OwnSocket], port: int | None, others: frozenset[int]
) -> None:
    """It has the port that was asked for, or the only one; of several places, the widest.

    Sockets of the application's own use are left out where no port is asked for.
    """
    fit = [
        one
        for inode, one in mine.items()
        if one.listens and (one.port == port if port else inode not in others)
    ]
    if not fit or len({one.port for one in fit}) > 1:
        with pytest.raises(BadAddress, match="this process listens on"):
            announced_place(mine, port, others)
        return
    place = announced_place(mine, port, others)

    assert place in fit
    everywhere = {"0.0.0.0", "::"} & {one.host for one in fit}  # noqa: S104
    assert not everywhere or place.host in everywhere


def test_a_wrong_port_is_named() -> None:
    """Who starts the server on another port than the one to be announced reads both."""
    with pytest.raises(BadAddress, match="listens on 9000, not on 8000"):
        announced_place({1: OwnSocket("127.0.0.1", 9000, listens=True)}, 8000)


def test_own_sockets_are_known() -> None:
    """A process sees its bound sockets, and whether they listen; no other process's."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = {(each.port, each.listens) for each in own_sockets().values()}

        assert (one.getsockname()[1], False) in found
        assert (other.getsockname()[1], True) in found


class Lifespan:
    """A server that runs nothing but the lifespan of an application."""

    def __init__(self, app: AsgiApp) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._running = asyncio.ensure_future(
            app({"type": "lifespan"}, self._heard.get, self._tell)
        )

    async def _tell(self, message: MutableMapping[str, Any]) -> None:
        await self.told.put(message["type"])

    async def start(self) -> str:
        """Start the application; returns its answer."""
        await self._heard.put(START)
        return await asyncio.wait_for(self.told.get(), 10)

    async def stop(self) -> str:
        """End the application; returns its answer."""
        await self._heard.put(STOP)
        answer = await asyncio.wait_for(self.told.get(), 10)
        await asyncio.wait_for(self._running, 10)
        return answer


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


async def raises(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Know no lifespan, as ASGI wants it told."""
    raise NotImplementedError(scope["type"])


async def reads_and_raises(scope: MutableMapping[str, Any], receive: Receive, _: Send) -> None:
    """Find out late that this is no request."""
    await receive()
    raise KeyError(scope["type"])


async def returns(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Know no lifespan, and ignore it."""


async def leaves_early(_: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Have nothing to do at the end."""
    await receive()
    await send({"type": "lifespan.startup.complete"})


@pytest.mark.parametrize("app", [raises, reads_and_raises, returns, leaves_early])
async def test_an_application_need_not_have_a_lifespan(
    fake: FakeNacos, port: int, app: AsgiApp
) -> None:
    """It is announced and withdrawn all the same, and its server told what it waits for."""
    server = Lifespan(NacosApp(app, nacos=fake.client(), name="greeter", port=port))

    assert await server.start() == "lifespan.startup.complete"
    await eventually(lambda: fake.instances("greeter"))
    assert [one.address for one in fake.instances("greeter")] == [f"127.0.0.1:{port}"]
    assert await server.stop() == "lifespan.shutdown.complete"
    assert fake.instances("greeter") == ()


async def test_a_failed_start_is_told_and_nothing_is_announced(fake: FakeNacos, port: int) -> None:
    """The server hears of the failure as if the application stood alone."""

    async def fails(_: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    nacos = fake.client()
    server = Lifespan(NacosApp(fails, nacos=nacos, name="greeter", port=port))

    assert await server.start() == "lifespan.startup.failed"
    assert fake.instances("greeter") == ()
    assert not nacos.states["nacos"]["ok"]


async def test_a_lifespan_may_run_again(fake: FakeNacos, port: int) -> None:
    """A test client of an application starts and ends it as often as there are tests."""
    app = NacosApp(returns, nacos=fake.client(), name="greeter", port=port)
    for _ in range(2):
        server = Lifespan(app)
        await server.start()
        await eventually(lambda: fake.instances("greeter"))
        await server.stop()
        assert fake.instances("greeter") == ()


async def test_no_announcement_before_the_process_listens(
    fake: FakeNacos, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program that answers on the port does not count, and the log says why we wait."""
    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        number = later.getsockname()[1]
        server = Lifespan(NacosApp(returns, nacos=fake.client(), name="greeter", port=number))
        await server.start()
        await eventually(lambda: f"not on {number}" in caplog.text or "no TCP" in caplog.text)
        assert fake.instances("greeter") == ()
        later.listen()
        await eventually(lambda: fake.instances("greeter"))
        await server.stop()
    told = [each.levelname for each in caplog.records if "not announced" in each.message]
    assert told == ["WARNING"]


async def test_a_server_without_lifespan_is_named(
    fake: FakeNacos, caplog: pytest.LogCaptureFixture
) -> None:
    """An application that is served and cannot be announced says so once, and serves."""
    app = NacosApp(returns, nacos=fake.client(), name="greeter")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(_answers(app)), base_url="http://greeter"
    ) as client:
        for _ in range(2):
            assert (await client.get("/")).status_code == 204
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "does not run the application's lifespan" in caplog.text


def _answers(app: AsgiApp) -> Any:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return answering


async def test_an_unreached_nacos_is_told_once(
    fake: FakeNacos, caplog: pytest.LogCaptureFixture
) -> None:
    """One WARNING, however often the attempt fails; the client is usable once Nacos is there."""
    fake.stop()
    async with fake.client() as nacos:
        for _ in range(3):
            fake.stop()
        await eventually(lambda: "is not reached" in caplog.text)
        fake.start()
        await eventually(lambda: nacos.states["nacos"]["ok"])
    assert [each.levelname for each in caplog.records if "reached" in each.message] == ["WARNING"]


class Served:
    """A process of `served.py`."""

    def __init__(self, port: int, drain_seconds: float) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.popen = subprocess.Popen(
            [sys.executable, SERVED, str(port), str(drain_seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def seen(self) -> dict[str, Any]:
        """Return what the process tells; nothing while it does not answer."""
        try:
            answer = httpx.get(self.url + "/seen", timeout=10, trust_env=False)
        except httpx.TransportError:
            return {}
        return {**answer.json(), "connection": answer.headers.get("connection")}

    def wait_for(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Return once what the process tells fulfils a condition; one that ends is a failure."""

        def held() -> bool:
            if self.popen.poll() is not None:
                pytest.fail(f"the process ended:\n{self.popen.communicate()[1]}")
            return holds(self.seen())

        wait_until(held, seconds=30, what="the condition holds")


@pytest.fixture
def served() -> Iterator[Callable[[float], Served]]:
    """Start a process whose drain takes these seconds; it is in Nacos when this returns."""
    running: list[Served] = []

    def start(drain_seconds: float) -> Served:
        one = Served(free_port(), drain_seconds)
        running.append(one)
        one.wait_for(lambda seen: bool(seen.get("instances")))
        return one

    yield start
    for one in running:
        one.popen.kill()
        one.popen.communicate()


def test_uvicorn_withdraws_before_it_closes(served: Callable[[float], Served]) -> None:
    """After SIGTERM the process is out of Nacos and answers on, asking callers to leave.

    Its own lifespan began when the client ran, and ends when Nacos no longer shows the instance. A
    second SIGTERM, as a supervisor's parent sends, cuts nothing short; Ctrl-C does.
    """
    process = served(600)
    before = process.seen()
    process.popen.terminate()
    process.wait_for(lambda seen: seen.get("instances") == [])
    process.popen.terminate()
    process.wait_for(lambda seen: seen["connection"] == "close")
    process.popen.send_signal(signal.SIGINT)
    out, err = process.popen.communicate(timeout=30)

    assert before["instances"] == [process.url.removeprefix("http://")]
    assert before["connection"] is None
    assert before["events"] == ["start, client runs: True"]
    assert out.splitlines() == ["own lifespan ends, in Nacos: ()"]
    assert "Traceback" not in err


def test_a_request_in_flight_ends_well(served: Callable[[float], Served]) -> None:
    """The process ends by itself after the drain, when it has answered what it took."""
    process = served(0.1)

    answer = httpx.get(process.url + "/slow", timeout=30, trust_env=False)

    assert answer.json() == "done"
    out, _ = process.popen.communicate(timeout=30)
    assert out.splitlines() == ["own lifespan ends, in Nacos: ()"]
    assert process.popen.returncode == -signal.SIGTERM


async def test_a_given_client_is_the_application_s(fake: FakeNacos) -> None:
    """Whoever has a client of their own hands it over; it is started, and closed, with the rest."""
    nacos: Nacos = fake.client()
    server = Lifespan(NacosApp(returns, nacos=nacos, name="greeter", port=free_port()))
    await server.start()
    await eventually(lambda: nacos.states["nacos"]["ok"])
    await server.stop()
    assert not nacos.states["nacos"]["ok"]
