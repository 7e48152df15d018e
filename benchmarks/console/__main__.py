"""Measures the console with 200 services of 50 instances each. `make bench-console` runs this.

One server stands for all instances: each has an address of its own in 127.0.0.0/8. A gateway of
two workers knows them from disk, and its Nacos is down. A caller asks each service in turn, so
that every row of the page has figures. Costs are read from the clocks of the processes, which a
busy machine does not change.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import httpx
from failover import Instance
from gateway.control.form import form
from gateway.routing.document import DATA_ID, RoutesDocument
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos
from stack.ports import free_port

from benchmarks.measure import report
from benchmarks.measure.process import Process, end_in_order_on_sigterm, family, usage

SERVICES, INSTANCES = 200, 50
READY_SECONDS = 60.0
WARM_SECONDS = 25.0
"""Seconds of calls before anything is measured: two periods of the console's history."""
CALLS_PER_SECOND = 200
TEXT = """# What the console costs

{facts}
- form: {form}

{services} services with {instances} instances each, a route for every service, two workers, up to
{calls} calls a second over all services. `make bench-console` measures this.

## The page

{pages}

## CPU while calls are answered

In parts of one core, over {seconds:g} s each, from the clocks of the processes. The workers are the
data path; the supervisor makes the page.

{costs}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: the median of its time to answer in milliseconds, and its bytes."""

    what: str
    milliseconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The parts of a core that a worker and the supervisor use, and bytes that readers got."""

    what: str
    calls_per_second: float
    worker: float
    supervisor: float
    supervisor_mib: float
    bytes_per_second: float


def name_of(number: int) -> str:
    """Return the name of a service."""
    return f"service-{number:03}"


async def remember(cache: Path, port: int) -> None:
    """Leave on disk what an earlier gateway saw of Nacos."""
    fake = FakeNacos()
    for service in range(SERVICES):
        for instance in range(INSTANCES):
            address = f"127.1.{service}.{instance + 1}"
            labels = {"model_version": "1.0.0", "zone": "abc"[instance % 3]}
            fake.put_instance(name_of(service), Instance(address, port, metadata=labels))
    routes = [f"- {{path: /{name_of(n)}, service: {name_of(n)}}}" for n in range(SERVICES)]
    fake.publish(DATA_ID, "\n".join(("routes:", *routes)))
    settings = NacosSettings(server_addr="127.0.0.1:1", cache_dir=cache)
    async with fake.client(settings) as nacos:
        for service in range(SERVICES):
            await nacos.discover(name_of(service)).known()
        await nacos.watch(DATA_ID, RoutesDocument).start()
        await asyncio.sleep(2)  # the copies are written behind


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def call(port: int, answered: list[int]) -> None:
    """Ask each service in turn, for ever, and keep the status of each answer."""
    number = 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        while True:
            began = time.monotonic()
            for _ in range(CALLS_PER_SECOND // 10):
                with suppress(httpx.TransportError):  # the machine may be busy
                    answer = await http.get(f"/{name_of(number % SERVICES)}/x")
                    answered.append(answer.status_code)
                number += 1
            await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))


@asynccontextmanager
async def readers(url: str, count: int) -> AsyncIterator[list[int]]:
    """Open pages that are kept up to date; yields the bytes of each piece they got."""
    got: list[int] = []

    async def read(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/console/events") as stream:
            async for piece in stream.aiter_bytes():
                got.append(len(piece))  # noqa: PERF401 - seen while it grows

    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        tasks = [asyncio.create_task(read(client)) for _ in range(count)]
        try:
            yield got
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def page(http: httpx.AsyncClient, what: str, path: str) -> Page:
    """Ask for a page some times, each time in another second."""
    took = []
    for _ in range(7):
        await asyncio.sleep(1.1)
        began = time.perf_counter()
        answered = await http.get(path)
        took.append((time.perf_counter() - began) * 1000)
        size = len(answered.raise_for_status().content)
    return Page(what, round(median(took), 1), size)


async def cost(gateway: Process, url: str, count: int, seconds: float, answered: list[int]) -> Cost:
    """Measure for some seconds while so many pages are open."""
    supervisor, *workers = family(gateway.pid)
    async with readers(url, count) as got:
        await asyncio.sleep(5)
        got.clear()
        answered.clear()
        before = [own_seconds(pid) for pid in (supervisor, *workers)]
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        parts = [
            (own_seconds(pid) - spent) / took
            for pid, spent in zip((supervisor, *workers), before, strict=True)
        ]
        taken, calls = sum(got) / took, answered.count(httpx.codes.OK) / took
    memory = resident(supervisor) / 2**20
    what = "nobody looks" if not count else f"{count} page{'s' if count > 1 else ''}"
    return Cost(what, calls, max(parts[1:]), parts[0], memory, taken)


def own_seconds(pid: int) -> float:
    """Read the CPU seconds of one process, without its children."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Read the resident bytes of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measured(folder: Path, seconds: float) -> tuple[list[Page], list[Cost]]:
    """Start everything and measure."""
    backend = await asyncio.start_server(answer, "0.0.0.0", 0, backlog=1024)  # noqa: S104 - 127/8
    await remember(folder / "cache", backend.sockets[0].getsockname()[1])
    port, admin = free_port(), free_port()
    environment = {
        "NACOS_SERVER_ADDR": "127.0.0.1:1", "NACOS_CACHE_DIR": str(folder / "cache"),
        "HOST": "127.0.0.1", "PORT": str(port), "GATEWAY_ADMIN_PORT": str(admin),
        "GATEWAY_WORKERS": "2", "GATEWAY_ACCESS_LOG": "false", "DRAIN_SECONDS": "0",
    }  # fmt: skip
    url = f"http://127.0.0.1:{admin}"
    argv = [sys.executable, "-m", "gateway"]
    with Process(argv, log=folder / "gateway.log", env=environment) as gateway:
        await asyncio.to_thread(gateway.listening, "127.0.0.1", admin, READY_SECONDS)
        answered: list[int] = []
        calling = asyncio.create_task(call(port, answered))
        await asyncio.sleep(WARM_SECONDS)
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            pages = [
                await page(http, "all services", "/"),
                await page(http, "and the instances of one", f"/?service={name_of(0)}"),
                await page(http, "one service found by name", f"/?find={name_of(0)}"),
            ]
        costs = [await cost(gateway, url, count, seconds, answered) for count in (0, 1, 16)]
        calling.cancel()
        print(f"all processes: {usage(gateway.pid).rss_bytes / 2**20:.0f} MiB")
    backend.close()
    return pages, costs


def main() -> None:
    """Measure and write the results."""
    end_in_order_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    machine = report.machine()
    with tempfile.TemporaryDirectory() as folder:
        pages, costs = asyncio.run(measured(Path(folder), seconds))
    text = TEXT.format(
        facts=report.facts(machine),
        form=form(),
        services=SERVICES,
        instances=INSTANCES,
        calls=CALLS_PER_SECOND,
        seconds=seconds,
        pages=report.table(
            ("page", "milliseconds", "KiB"),
            [(one.what, one.milliseconds, f"{one.size / 1024:.0f}") for one in pages],
        ),
        costs=report.table(
            (
                "pages open",
                "calls/s",
                "a worker",
                "supervisor",
                "supervisor, MiB",
                "KiB/s to the readers",
            ),
            [
                (
                    one.what,
                    f"{one.calls_per_second:.0f}",
                    f"{one.worker:.1%}",
                    f"{one.supervisor:.1%}",
                    f"{one.supervisor_mib:.0f}",
                    f"{one.bytes_per_second / 1024:.0f}",
                )
                for one in costs
            ],
        ),
    )
    print(text)
    data = {
        "machine": machine,
        "form": form(),
        "pages": [asdict(one) for one in pages],
        "costs": [asdict(one) for one in costs],
    }
    report.write("console", markdown=text, data=data)


if __name__ == "__main__":
    main()
