"""Several gateways, of several workers each, before one service: their limits and their orders.

Nacos is the one in memory that speaks on the wire; `tests/docs/test_operations.py` gives orders on
a real one.
"""

import asyncio
import io
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway.control.orders_command import UNCONFIRMED, parser, run
from nacos_client import Nacos, NacosSettings
from nacos_client.command import DONE
from stack.access import NacosAccess

from tests.nacos_wire.server import WireNacos

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
SERVICE = "shop"
LIMIT = 7
"""Not divisible by two: one gateway has a request more than the other."""
ROUTES = f"""
routes:
  - {{path: /held, service: {SERVICE}, concurrency: {LIMIT}}}
  - {{path: /counted, service: {SERVICE}, rate_limit: {{per_second: 0.0001, burst: {LIMIT}}}}}
  - {{path: /wide, service: {SERVICE}, concurrency: 16}}
"""
PATIENCE = 60.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(name="server")
def _server() -> Iterator[NacosAccess]:
    with WireNacos("3.0.3") as server:
        server.access.publish("gateway", ROUTES)
        yield server.access


class Backend:
    """An instance that counts its requests, and holds those for `/held` and `/wide`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.port = 0
        self.inside = 0
        self.most = 0
        self.answered = 0

    @property
    def address(self) -> str:
        """The place under which Nacos lists it."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.inside += 1
                self.most = max(self.most, self.inside)
                if head.startswith((b"GET /held", b"GET /wide")):
                    await self.go.wait()
                self.inside -= 1
                self.answered += 1
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def backends(access: NacosAccess, count: int, cache: Path) -> AsyncIterator[list[Backend]]:
    """Instances of the service, in Nacos."""
    environ = {**access.environment, "ADVERTISE_IP": "127.0.0.1", "NACOS_CACHE_DIR": str(cache)}
    async with Nacos(NacosSettings.from_env(environ)) as nacos:
        found, servers = [Backend() for _ in range(count)], []
        for one in found:
            server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
            one.port = server.sockets[0].getsockname()[1]
            servers.append(server)
            await nacos.announcement(SERVICE, port=one.port).announce()
        try:
            yield found
        finally:
            for one in found:
                one.go.set()
            for server in servers:
                server.close()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds that is asked in a thread, with a deadline."""
    end = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, f"it did not come true that {what}"
        await asyncio.sleep(0.05)


async def gateways(service: Callable[..., Any], access: NacosAccess, count: int = 2) -> list[Any]:
    """Gateways of two workers each, which know of each other and of the service."""
    env = {"GATEWAY_WORKERS": "2"}
    found = await asyncio.gather(*(
        asyncio.to_thread(service, "gateway", access, env=env) for _ in range(count)
    ))  # fmt: skip
    await divided(found, count)
    for one in found:
        await until(lambda one=one: instances(one) >= 1, "its workers know the service")
    return found


def instances(gateway: Any) -> int:
    """How many instances each worker of a gateway knows at least."""
    answer = httpx.get(f"{gateway.admin_url}/api/services/{SERVICE}", timeout=5, trust_env=False)
    views = answer.json().get("workers", [])
    known = [len(view["instances"]) if view else 0 for view in views]
    return min(known, default=0) if len(known) == 2 else 0


async def divided(found: list[Any], count: int) -> None:
    """Wait until each of the gateways divides its limits among so many."""
    for one in found:
        await until(
            lambda one=one: one.readyz()[1]["checks"]["gateways"]["number"] == count,
            f"limits are divided by {count}",
        )


async def ask(gateway: Any, path: str, count: int) -> list[asyncio.Task[int]]:
    """Begin so many requests, each on a connection of its own, so that all workers get some."""

    async def one() -> int:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            try:
                return (await http.get(gateway.url + path)).status_code
            except httpx.TransportError:
                return 0

    return [asyncio.create_task(one()) for _ in range(count)]


async def test_a_limit_holds_over_all_workers_of_all_gateways(service, server, tmp_path):
    """Exactly as many requests as the limit says, at a time and at once, over four workers.

    When a gateway goes, the other one has the whole.
    """
    async with backends(server, 1, tmp_path) as (backend,):
        one, other = await gateways(service, server)
        held = [task for gateway in (one, other) for task in await ask(gateway, "/held", 20)]
        await until(lambda: sum(task.done() for task in held) == 40 - LIMIT, "the rest is refused")
        assert backend.inside == LIMIT
        assert {task.result() for task in held if task.done()} == {503}
        backend.go.set()
        assert sorted(await asyncio.gather(*held)) == [200] * LIMIT + [503] * (40 - LIMIT)
        assert backend.most == LIMIT

        counted = [
            await asyncio.gather(*await ask(gateway, "/counted", 20)) for gateway in (one, other)
        ]
        granted = [statuses.count(200) for statuses in counted]
        assert sorted(granted) == [LIMIT // 2, LIMIT - LIMIT // 2]
        assert {status for statuses in counted for status in statuses} == {200, 429}

        other.terminate()
        await divided([one], 1)
        more = await asyncio.gather(*await ask(one, "/counted", 20))
        assert granted[0] + more.count(200) == LIMIT
        backend.go.clear()
        held = await ask(one, "/held", 20)
        await until(lambda: sum(task.done() for task in held) == 20 - LIMIT, "the rest is refused")
        assert backend.inside == LIMIT
        backend.go.set()
        await asyncio.gather(*held)


async def test_a_worker_that_is_killed_gives_its_places_back(service, server, tmp_path):
    """What it had under way is over: others may come in its place, and no more than those."""
    async with backends(server, 1, tmp_path) as (backend,):
        (gateway,) = await gateways(service, server, 1)
        held = await ask(gateway, "/wide", 30)
        await until(lambda: sum(task.done() for task in held) == 14, "the rest is refused")
        workers = partial(children, gateway.process.pid)
        lost = 0
        for pid in workers():
            os.kill(pid, signal.SIGKILL)
            await until(
                lambda pid=pid: pid not in workers() and len(workers()) == 2,
                "there is another worker",
            )
            await asyncio.to_thread(gateway.wait_ready)
            lost = sum(task.done() for task in held) - 14
            if lost:  # on a busy machine one worker may have taken all
                break
        assert 0 < lost <= 16
        more = await ask(gateway, "/wide", 30)
        await until(lambda: sum(task.done() for task in more) == 30 - lost, "as many come as went")
        assert {task.result() for task in more if task.done()} == {503}
        assert backend.inside == 16 + lost
        backend.go.set()
        statuses = await asyncio.gather(*held, *more)
        assert statuses.count(200) == 16


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def order(access: NacosAccess, *argv: str) -> tuple[int, str]:
    """Run `gateway-orders`; returns its exit status and all that it wrote."""
    out = io.StringIO()
    environ = {**access.environment, "NACOS_USERNAME": access.username}
    options = parser().parse_args(argv)
    status = await asyncio.to_thread(run, options, environ, out, out)
    return status, out.getvalue()


async def test_an_order_reaches_every_gateway_and_the_command_shows_all(service, server, tmp_path):
    """A drain holds at both, also at one that was killed and started again, until its undo.

    A gateway that does not answer is shown as such.
    """
    async with backends(server, 2, tmp_path) as (kept, drained):
        _, other = found = await gateways(service, server)
        for gateway in found:
            await until(lambda gateway=gateway: instances(gateway) == 2, "both instances are known")

        status, told = await order(
            server, "drain", SERVICE, drained.address, "--reason", "its disk"
        )

        assert status == DONE, told
        assert told.count("follows the orders") == 2, told
        assert told.count(f"{SERVICE} {drained.address}  drained") == 2, told
        assert "its disk" in told
        await called(found)
        assert drained.answered == 0

        other.kill()
        other.start()
        await asyncio.to_thread(other.wait_ready)
        await until(lambda: instances(other) == 2, "both instances are known again")
        await called(found)
        assert drained.answered == 0

        other.pause()
        status, told = await order(server, "show")
        assert told.count("no answer from its admin port") == 1, told
        assert told.count("follows the orders") == 1, told
        status, told = await order(server, "undrain", SERVICE, drained.address)
        assert status == UNCONFIRMED, told
        other.resume()

        async def again() -> int:
            await called(found)
            return drained.answered

        async with asyncio.timeout(PATIENCE):
            while await again() < 10:
                pass
        status, told = await order(server, "show")
        assert (status, drained.address in told) == (DONE, False), told
        assert kept.answered > 0


async def called(found: list[Any]) -> None:
    """Call the service through each gateway, on several connections."""
    for gateway in found:
        tasks = await ask(gateway, f"/{SERVICE}/x", 10)
        assert await asyncio.gather(*tasks) == [200] * 10
