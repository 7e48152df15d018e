"""What a client makes of a Nacos that stops, freezes, refuses or is not there."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nacos_client import Denied, Known, Nacos, NacosSettings, Shown, Unreachable
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.either import EitherSession
from pydantic import BaseModel
from stack.access import NacosAccess
from stack.nacos import NacosSecrets, NacosServer

from tests.client_settings import settings_of

WRONG = "not-the-one"
pytestmark = [pytest.mark.nacos, pytest.mark.anyio, pytest.mark.timeout(300)]


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


async def eventually(condition: Callable[[], object], seconds: float) -> float:
    """Wait until the condition holds; returns how long that took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def started(server: NacosServer) -> NacosServer:
    """Start a server and wait until it serves."""
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.wait_ready)
    return server


def count(nacos: Nacos, service: str) -> int:
    """Return how many instances are known; -1 while nothing is."""
    snapshot = nacos.discover(service).snapshot
    return len(snapshot.instances) if isinstance(snapshot, Known) else -1


@pytest.fixture
async def server(own_nacos: NacosServer) -> NacosServer:
    """A running server of the test's own."""
    return await started(own_nacos)


@pytest.mark.feature("a lost connection is made again")
@pytest.mark.outage
async def test_everything_survives_a_restart(server: NacosServer, tmp_path: Path) -> None:
    """Three seconds after Nacos is back the instance is; callers never saw it missing.

    Configuration stays in force meanwhile, and the next change arrives as before.
    """
    server.access.publish("models", "clusters: 4")
    async with Nacos(settings_of(server.access, tmp_path)) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        watched = nacos.watch("models", Settings)
        await watched.start()
        await eventually(lambda: count(nacos, "models") == 1, 10)
        counts: list[int] = []
        nacos.discover("models").subscribe(
            lambda snapshot: counts.append(len(getattr(snapshot, "instances", ())))
        )

        await asyncio.to_thread(server.stop)
        await eventually(lambda: not nacos.states["nacos"]["ok"], 10)
        assert watched.value.clusters == 4
        assert announcement.state.shown is Shown.UNKNOWN
        await started(server)
        back = await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 30)

        assert back < 3
        assert [i["port"] for i in server.access.instances("models")] == [8001]
        server.access.publish("models", "clusters: 5")
        await eventually(lambda: watched.value.clusters == 5, 5)
        assert set(counts) == {1}


@pytest.mark.outage
async def test_nacos_down_at_start(own_nacos: NacosServer, tmp_path: Path) -> None:
    """Started without Nacos, a client routes and configures from disk, says so, and recovers."""
    cache = tmp_path / "cache"
    server = await started(own_nacos)
    server.access.publish("models", "clusters: 4")
    async with Nacos(settings_of(server.access, cache)) as first:
        await first.announcement("models", port=8001).announce()
        await first.watch("models", Settings).start()
        await eventually(lambda: count(first, "models") == 1, 10)
        await eventually(lambda: len(list(cache.rglob("*.json"))) == 2, 5)
    await asyncio.to_thread(server.stop)

    async with Nacos(settings_of(server.access, cache)) as nacos:
        snapshot = nacos.discover("models").snapshot
        assert isinstance(snapshot, Known)
        assert (len(snapshot.instances), snapshot.source, snapshot.stale) == (1, "disk", True)
        assert snapshot.age > 0
        watched = nacos.watch("models", Settings)
        began = time.monotonic()
        await watched.start(wait=1.0)
        assert time.monotonic() - began < 3
        assert (watched.value.clusters, watched.state.source) == (4, "last_good")
        announcement = nacos.announcement("models", port=8002)
        await announcement.announce()
        with pytest.raises(Unreachable):
            await nacos.fetch("models")

        await started(server)
        assert await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 30) < 3
        await eventually(lambda: watched.state.source == "nacos", 10)
        known = nacos.discover("models")
        await eventually(lambda: known.snapshot.source == "nacos", 45)
        assert not known.snapshot.stale


@pytest.mark.outage
@pytest.mark.parametrize("seconds", [12.0, pytest.param(60.0, marks=pytest.mark.slow)])
async def test_a_frozen_nacos(server: NacosServer, tmp_path: Path, seconds: float) -> None:
    """While Nacos is frozen every call ends in time and what is known stays; then all is back."""
    server.access.publish("models", "clusters: 4")
    async with Nacos(settings_of(server.access, tmp_path)) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        watched = nacos.watch("models", Settings)
        await watched.start()
        await eventually(lambda: count(nacos, "models") == 1, 10)
        counts: list[int] = []
        nacos.discover("models").subscribe(
            lambda snapshot: counts.append(len(getattr(snapshot, "instances", ())))
        )

        server.pause()
        frozen_at = time.monotonic()
        with pytest.raises(Unreachable):
            await nacos.fetch("models")
        assert time.monotonic() - frozen_at < 6
        await eventually(lambda: not nacos.states["nacos"]["ok"], 12)
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - frozen_at)))
        assert count(nacos, "models") == 1
        server.resume()

        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 10)
        await asyncio.to_thread(server.access.publish, "models", "clusters: 5")
        await eventually(lambda: watched.value.clusters == 5, 5)
        assert set(counts) == {1}


@pytest.mark.outage
async def test_a_client_closes_in_time_while_nacos_is_frozen(
    server: NacosServer, tmp_path: Path
) -> None:
    """Shutdown takes five seconds at most, whatever Nacos does."""
    async with Nacos(settings_of(server.access, tmp_path)) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 10)
        server.pause()
        began = time.monotonic()
    assert time.monotonic() - began < 5
    server.resume()


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Spell out everything that was logged, of every logger and level, tracebacks too."""
    spell = logging.Formatter().format
    return "\n".join(f"{spell(record)} {record.__dict__}" for record in caplog.records)


@pytest.mark.feature("a wrong password is told as one")
async def test_a_wrong_password(
    nacos: NacosAccess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named as the reason, quickly and everywhere, and is nowhere repeated."""
    caplog.set_level(logging.DEBUG)
    settings = settings_of(replace(nacos, password=WRONG), tmp_path)
    async with Nacos(settings) as client:
        announcement = client.announcement("models", port=8001)
        await announcement.announce()
        began = time.monotonic()
        with pytest.raises(Denied, match="refused the user 'nacos'"):
            await client.fetch("models")
        assert time.monotonic() - began < 5
        await eventually(lambda: "refused the user" in announcement.state.detail, 5)

        assert not client.states["nacos"]["ok"]
        assert WRONG not in f"{client.states} {settings!r} {announcement.state}"
    assert nacos.instances("models") == []
    assert "refused the user" in caplog.text
    assert WRONG not in logged(caplog)


async def test_a_password_and_its_token_are_not_logged(
    nacos: NacosAccess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Announcing, reading and writing with them leaves no trace of them in any record."""
    caplog.set_level(logging.DEBUG)
    settings = settings_of(nacos, tmp_path)
    administration = Administration(settings)

    def connect(given: NacosSettings, label: str) -> EitherSession:
        return EitherSession(given, label, administration)

    async with Nacos(settings, connect=connect) as client:
        announcement = client.announcement("models", port=8001)
        await announcement.announce()
        await client.publish("models", "clusters: 4")
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 10)
    token = (await administration.credentials.headers())["accessToken"]
    assert token
    assert "withdrawn" in caplog.text
    assert not [secret for secret in (nacos.password, token) if secret in logged(caplog)]


@pytest.mark.outage
async def test_another_token_secret(own_nacos: NacosServer, tmp_path: Path) -> None:
    """When tokens are no longer accepted, one new login repairs everything."""
    secrets = NacosSecrets()
    home, ports = own_nacos.home, own_nacos.ports
    old = NacosServer(home, port=ports.http, console_port=ports.console, shared=secrets)
    other = replace(secrets, token_key=NacosSecrets().token_key)
    new = NacosServer(home, port=ports.http, console_port=ports.console, shared=other)
    try:
        await started(old)
        async with Nacos(settings_of(old.access, tmp_path)) as nacos:
            announcement = nacos.announcement("models", port=8001)
            await announcement.announce()
            await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 10)
            await asyncio.to_thread(old.stop)
            await started(new)
            await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 15)
            await nacos.publish("models", "clusters: 4")
            assert nacos.states["nacos"]["trouble"] is None
    finally:
        old.kill()
        new.kill()
