"""The example's model in service, with a Nacos in memory."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_service import ModelService, Running, settings_of, started
from nacos_client.testing import FakeNacos

EXAMPLE = Path(__file__).with_name("iris.py")


@dataclass
class Served:
    """A service that a test calls."""

    nacos: FakeNacos
    running: Running
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
                yield Served(fake, running, client)

    return served


@pytest.fixture
async def served(serve, model) -> AsyncIterator[Served]:
    """The example in service."""
    async with serve(model) as one:
        yield one
