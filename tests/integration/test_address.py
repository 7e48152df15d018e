"""Where callers find an instance: its address and its names, by the word of a real Nacos."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacos_client import Announcement, Nacos, NacosSettings, Shown
from pydantic import ValidationError
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = pytest.mark.nacos

LONGEST = {
    "NACOS_CLUSTER": "East-9" + "z" * 58,
    "NACOS_GROUP": "Blue_9:a-b.c" + "z" * 116,
}
REFUSED = [
    ("NACOS_CLUSTER", "a b"),
    ("NACOS_CLUSTER", "a_b"),
    ("NACOS_CLUSTER", "\u805a"),
    ("NACOS_CLUSTER", "z" * 65),
    ("NACOS_GROUP", "a b"),
    ("NACOS_GROUP", "a/b"),
    ("NACOS_GROUP", "z" * 129),
    ("NACOS_NAMESPACE", "the test"),
    ("NACOS_NAMESPACE", "z" * 65),
]
FIELDS = {"NACOS_CLUSTER": "cluster", "NACOS_GROUP": "group", "NACOS_NAMESPACE": "namespace"}


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


async def settled(announcement: Announcement, condition: Callable[[], object]) -> None:
    """Announce, and wait until the condition holds."""
    await announcement.announce()
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)


def environment(access: NacosAccess, cache: Path) -> Mapping[str, str]:
    """Return the environment of a client of this server."""
    return {**access.environment, "NACOS_CACHE_DIR": str(cache)}


def test_what_is_announced_is_where_the_instance_listens(
    nacos: NacosAccess, service: Callable[..., Any]
) -> None:
    """HOST is announced, not the address from which Nacos is reached; callers get an answer there.

    The readiness says what is wrong with an address of this host alone, and a metric that there is
    something.
    """
    gateway = service("gateway", nacos, env={"HOST": "127.0.0.2", "ADVERTISE_IP": ""})
    wait_until(lambda: nacos.instances("gateway"), seconds=30, what="the gateway is shown")

    (shown,) = nacos.instances("gateway")
    assert shown["ip"] == "127.0.0.2"
    answer = httpx.get(f"http://{shown['ip']}:{shown['port']}/nosuch/", trust_env=False)
    assert answer.headers["content-type"] == "application/problem+json"
    told = gateway.readyz()[1]["checks"]["announcement gateway"]
    assert "127.0.0.2 is a loopback address" in told["warning"]
    assert 'announcement_warning{part="announcement gateway"} 1.0' in gateway.metrics()


@pytest.mark.anyio
async def test_the_longest_names_are_registered(nacos: NacosAccess, tmp_path: Path) -> None:
    """What the settings allow, the server takes."""
    settings = NacosSettings.from_env({**environment(nacos, tmp_path), **LONGEST})
    async with Nacos(settings) as client:
        announcement = client.announcement("models", port=8001)
        await settled(announcement, lambda: announcement.state.shown is Shown.AS_WANTED)


@pytest.mark.anyio
@pytest.mark.parametrize(("variable", "name"), REFUSED)
async def test_what_the_settings_refuse_the_server_refuses(
    nacos: NacosAccess, tmp_path: Path, variable: str, name: str
) -> None:
    """No name is refused at the start that Nacos would have taken."""
    environ = environment(nacos, tmp_path)
    with pytest.raises(ValidationError, match=variable):
        NacosSettings.from_env({**environ, variable: name})

    unchecked = NacosSettings.from_env(environ).model_copy(update={FIELDS[variable]: name})
    async with Nacos(unchecked) as client:
        announcement = client.announcement("models", port=8001)
        await settled(announcement, lambda: told(client, announcement))


def told(client: Nacos, announcement: Announcement) -> bool:
    """Return whether the server's refusal shows in a state."""
    words = f"{announcement.state.detail} {client.states['nacos']['trouble']}"
    return "illegal" in words or "should be characters" in words
