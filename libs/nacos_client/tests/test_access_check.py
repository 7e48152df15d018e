"""The question behind a service's `--check`: does Nacos let this user in."""

import pytest
from nacos_client import NacosSettings, check_access
from nacos_client.testing import FakeNacos

pytestmark = pytest.mark.anyio
SETTINGS = NacosSettings(username="models", password="hidden-word", namespace="staging")  # noqa: S106


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


async def test_a_nacos_that_answers_passes() -> None:
    """The line names the user, the service and the namespace, and no secret."""
    works, line = await check_access("limits", SETTINGS, connect=FakeNacos().connect)
    assert works
    assert "lets the user models read limits in namespace staging" in line
    assert "hidden-word" not in line


async def test_a_nacos_that_is_down_does_not_pass() -> None:
    """The line names the server and the reason."""
    fake = FakeNacos()
    fake.stop()
    works, line = await check_access("limits", SETTINGS, connect=fake.connect)
    assert not works
    assert line == "Nacos at 127.0.0.1:8848: the fake server is down"


async def test_an_address_where_nobody_listens_is_told() -> None:
    """Within seconds, by the real protocol."""
    works, line = await check_access("limits", NacosSettings(server_addr="127.0.0.1:9"))
    assert (works, "127.0.0.1:9" in line) == (False, True)
