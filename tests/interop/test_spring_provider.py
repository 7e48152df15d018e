"""A provider in Java is one service among others to the Python side."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from nacos_client import NacosSettings
from nacos_client.transport import NacosTransport
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.nacos]


@pytest.mark.timeout(240)
def test_python_calls_a_spring_provider(
    service: Callable[..., Any], spring: Callable[..., Any], nacos: NacosAccess
) -> None:
    """A Java provider is called by name by httpx and through the gateway, the same as ours."""
    gateway = service("gateway", nacos)
    spring(nacos)
    wait_until(
        lambda: httpx.get(f"{gateway.url}/java-echo/echo", trust_env=False).is_success,
        seconds=20,
        what="the gateway knows java-echo",
    )

    through = httpx.post(f"{gateway.url}/java-echo/echo/a/b", content="hello", trust_env=False)
    settings = NacosSettings.from_env(nacos.environment)
    with httpx.Client(transport=NacosTransport(settings)) as client:
        directly = client.post("http://java-echo/echo/a/b", content="hello")

    for answer in (through, directly):
        said = answer.json()
        assert (said["service"], said["method"], said["body"]) == ("java-echo", "POST", "hello")
        assert said["path"] == "/echo/a/b"
