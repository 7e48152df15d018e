"""The classifier's application without a process around it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from car_evaluation_model import Model, load
from classifier.app import create_app
from classifier.engine import Engine
from classifier.settings import ServingConfig
from service_kit import REQUEST_TIMEOUT_SECONDS, HealthChecks, ThreadPool


@dataclass
class Live:
    """A configuration that a test changes."""

    value: ServingConfig

    def __call__(self) -> ServingConfig:
        """Return what is in force."""
        return self.value


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model() -> Model:
    return load()


@pytest.fixture
def live() -> Live:
    return Live(ServingConfig())


@pytest.fixture
def engine(model: Model, live: Live) -> Iterator[Engine]:
    engine = Engine(model, live)
    yield engine
    engine.close()


@pytest.fixture
def threads() -> Iterator[ThreadPool]:
    """As many as the process has."""
    threads = ThreadPool("test", threads=1, queue_limit=64)
    yield threads
    threads.close()


@pytest.fixture
def timeout_seconds() -> float:
    """How long a request may take; a test may give another."""
    return REQUEST_TIMEOUT_SECONDS


@pytest.fixture
def app(engine: Engine, live: Live, threads: ThreadPool, timeout_seconds: float):
    return create_app(
        engine,
        live,
        HealthChecks("car-evaluation", "0"),
        threads,
        timeout_seconds=timeout_seconds,
        cors_origins=["https://a.example"],
    )


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
