"""A Nacos in memory, and waiting for what happens in other threads."""

from collections.abc import AsyncIterator

import pytest
from nacos_client import Nacos
from nacos_client.testing import FakeNacos


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture
def fake() -> FakeNacos:
    """A server in memory."""
    return FakeNacos()


@pytest.fixture
async def nacos(fake: FakeNacos) -> AsyncIterator[Nacos]:
    """A client of that server."""
    async with fake.client() as client:
        yield client
