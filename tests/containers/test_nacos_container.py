"""A service meets Nacos as most people run it: in a container."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stack.access import NacosAccess
from stack.docker import DockerStack
from stack.nacos import NacosServer
from stack.plan import Plan
from stack.waiting import wait_until
from testcontainers.core.container import DockerContainer

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture
def contained_nacos(_engine: None, tmp_path: Path) -> Iterator[NacosAccess]:
    """A Nacos in a container of this test's own, its login set.

    A client finds the gRPC port 1000 above the other, so both are bound to chosen ports.
    """
    outside = NacosServer(tmp_path)
    container = DockerContainer(DockerStack(Plan()).images()["nacos"])
    container.with_envs(
        MODE="standalone",
        NACOS_AUTH_ENABLE="true",
        NACOS_AUTH_TOKEN=outside.secrets.token_key,
        NACOS_AUTH_IDENTITY_KEY="stack",
        NACOS_AUTH_IDENTITY_VALUE=outside.secrets.identity,
    )
    container.with_bind_ports(8848, outside.ports.http)
    container.with_bind_ports(9848, outside.ports.http + 1000)
    with container:
        outside.wait_ready()
        yield outside.access


def test_a_service_registers_and_follows_its_document(
    contained_nacos: NacosAccess, service: Callable[..., object]
) -> None:
    """Announced, shown healthy, reconfigured by push, gone after SIGTERM."""
    kmeans = service("kmeans", contained_nacos)
    wait_until(
        lambda: [each["port"] for each in contained_nacos.instances("skl-kmeans")] == [kmeans.port],
        seconds=30,
        what="the instance is shown",
    )
    contained_nacos.publish("skl-kmeans", "clusters: 5")
    wait_until(
        lambda: kmeans.readyz()[1]["checks"]["config skl-kmeans"]["source"] == "nacos",
        seconds=30,
        what="the document is in force",
    )
    kmeans.terminate()
    wait_until(
        lambda: contained_nacos.instances("skl-kmeans") == [],
        seconds=30,
        what="the instance is gone",
    )
