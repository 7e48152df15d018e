"""The example's model in service: with a Nacos in memory, and as a process without Nacos."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_service import ModelService, Running, settings_of, started
from nacos_client import Announcement
from nacos_client.testing import FakeNacos
from stack.ports import free_port
from stack.process import clean_environment

EXAMPLE = Path(__file__).with_name("iris.py")
SECONDS = 90.0


@dataclass
class Served:
    """A service that a test calls."""

    nacos: FakeNacos
    running: Running
    announcement: Announcement
    http: httpx.AsyncClient

    async def until(self, condition: Callable[[], Awaitable[object]]) -> None:
        """Wait until it holds, at most 20 s."""
        async with asyncio.timeout(20):
            while not await condition():  # noqa: ASYNC110 - a state that HTTP or a thread tells
                await asyncio.sleep(0.005)

    async def checks(self) -> dict[str, Any]:
        """Return the states that /readyz tells."""
        return (await self.http.get("/readyz")).json()["checks"]

    async def queued(self) -> float:
        """Return how many rows wait for the model."""
        lines = (await self.http.get("/metrics")).text.splitlines()
        (line,) = (each for each in lines if each.startswith("model_queued_rows "))
        return float(line.split()[1])


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def iris():
    """The module of the example."""
    spec = importlib.util.spec_from_file_location("iris", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["iris"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model(iris):
    """The example's model, loaded once."""
    return iris.Iris()


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Return the way to put a model into service within a context."""

    @asynccontextmanager
    async def served(
        model: ModelService, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[Served]:
        settings = settings_of(type(model)).model_validate(environment or {})
        fake = FakeNacos()
        async with fake.client() as nacos, started(model, settings, nacos) as running:
            transport = httpx.ASGITransport(running.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                announcement = nacos.announcement(settings.service_name, port=settings.port)
                running.follow(announcement)
                yield Served(fake, running, announcement, client)

    return served


@pytest.fixture
async def served(serve, model) -> AsyncIterator[Served]:
    """The example in service."""
    async with serve(model) as one:
        yield one


@dataclass
class Process:
    """A process of the example."""

    url: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def is_ready(self) -> bool:
        """Return whether it wants requests."""
        try:
            return httpx.get(self.url + "/readyz", timeout=5).is_success
        except httpx.TransportError:
            time.sleep(0.05)  # noqa: TID251 - the test's own thread, which polls
            return False


class Program:
    """The example as a program, with no Nacos to reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _environment(self, port: int, more: Mapping[str, str]) -> dict[str, str]:
        own = {
            "HOME": str(self.folder),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DRAIN_SECONDS": "0",
            "NACOS_SERVER_ADDR": "127.0.0.1:9",
            "NACOS_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONPATH": str(EXAMPLE.parent),
        }
        return {**clean_environment(), **own, **more}

    @contextmanager
    def serves(self, **environment: str) -> Iterator[Process]:
        """Start it; ready within the context."""
        port, log = free_port(), self.folder / "log"
        env = self._environment(port, environment)
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, str(EXAMPLE)], env=env, stdout=out, stderr=out
            )
        process = Process(f"http://127.0.0.1:{port}", log, popen)
        deadline = time.monotonic() + SECONDS
        try:
            while not process.is_ready():
                assert popen.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            yield process
        finally:
            popen.terminate()
            popen.wait(SECONDS)

    def ends(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run other code, which is expected to end by itself."""
        command = [sys.executable, "-c", code]
        env = self._environment(free_port(), environment)
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )


@pytest.fixture(scope="session")
def program_of_example(tmp_path_factory) -> Program:
    """The example as a program."""
    return Program(tmp_path_factory.mktemp("iris"))
