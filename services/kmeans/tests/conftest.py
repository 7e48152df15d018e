"""The clusterer's application without a process around it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from kmeans.app import create_app
from kmeans.clustering import InForce, prepare_thread
from kmeans.settings import ClusterConfig
from service_kit import REQUEST_TIMEOUT_SECONDS, HealthChecks, ThreadPool


@dataclass
class Live:
    """A configuration that a test changes."""

    value: ClusterConfig

    def __call__(self) -> InForce:
        """Return what is in force."""
        return InForce(self.value, "v1")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def live() -> Live:
    return Live(ClusterConfig())


@pytest.fixture
def timeout_seconds() -> float:
    """How long a request may take; a test may give another."""
    return REQUEST_TIMEOUT_SECONDS


@pytest.fixture
async def client(live, timeout_seconds) -> AsyncIterator[httpx.AsyncClient]:
    threads = ThreadPool("test", threads=1, queue_limit=8, prepare=prepare_thread)
    health = HealthChecks("skl-kmeans", "0")
    app = create_app(live, health, threads, timeout_seconds=timeout_seconds)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    threads.close()
