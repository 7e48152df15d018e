"""The image of Nacos as a member of a cluster, with the environment that Kubernetes gives a pod."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack.docker import DockerStack
from stack.nacos import NacosSecrets, NacosServer
from stack.plan import Plan
from stack.waiting import wait_until
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.kubernetes.objects import objects_of, values_of

pytestmark = [pytest.mark.containers, pytest.mark.nacos, pytest.mark.timeout(600)]

READY_SECONDS = 400.0
"""Seconds until three members answer logins; a busy machine takes many times the usual thirty."""


def environment(pod: str, secrets: NacosSecrets) -> dict[str, str]:
    """Return the variables of a pod of the StatefulSet of `ha`, as the kubelet fills them in."""
    objects = {
        (each["kind"], each["metadata"]["name"]): each for each in objects_of(values_of("ha"))
    }
    container = objects["StatefulSet", "nacos"]["spec"]["template"]["spec"]["containers"][0]
    filled = {
        "POD_NAME": pod,
        "MEMBER_LIST": objects["ConfigMap", "nacos"]["data"]["NACOS_SERVER_ADDR"],
        "NACOS_AUTH_TOKEN": secrets.token_key,
        "NACOS_AUTH_IDENTITY_VALUE": secrets.identity,
    }
    given: list[dict[str, Any]] = container["env"]
    written = {each["name"]: each["value"] for each in given if "value" in each}
    return filled | {name: text.replace("$(POD_NAME)", pod) for name, text in written.items()}


@pytest.fixture
def members(_engine: None, tmp_path: Path) -> Iterator[list[NacosServer]]:
    """Three members that answer logins; nothing can be written but where the pods have volumes."""
    image = DockerStack(Plan()).images()["nacos"]
    shared = NacosSecrets()
    found = []
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        for pod in ("nacos-0", "nacos-1", "nacos-2"):
            container = DockerContainer(image).with_envs(**environment(pod, shared))
            container.with_network(network).with_network_aliases(f"{pod}.nacos")
            # A member that finds no leader while it starts ends, and the kubelet starts it again.
            again = {"Name": "on-failure", "MaximumRetryCount": 5}
            container.with_kwargs(read_only=True, cap_drop=["ALL"], restart_policy=again)
            container.with_tmpfs_mount("/tmp", "exec")  # noqa: S108
            container.with_tmpfs_mount("/home/nacos/logs", "uid=10002")
            container.with_tmpfs_mount("/home/nacos/data", "uid=10002")
            stack.enter_context(container)
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            ip = wrapped.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
            found.append(NacosServer(tmp_path / pod, port=8848, address=ip, shared=shared))
        wait_until(
            lambda: all(member.is_ready() for member in found),
            seconds=READY_SECONDS,
            what="all members answer logins",
        )
        yield found


def test_the_image_is_a_member_of_a_cluster(members: list[NacosServer]) -> None:
    """Three containers find each other by name, and a document of one is read from every one."""

    def written() -> bool:
        try:
            members[0].access.publish("models", "clusters: 4")
        except httpx.HTTPError:  # the members have no leader yet
            return False
        return True

    def read(member: NacosServer) -> str:
        place = {"dataId": "models", "groupName": "DEFAULT_GROUP", "namespaceId": "public"}
        with member.access.operator() as operator:
            return operator.http.get("/v3/admin/cs/config", params=place).text

    with members[0].access.operator() as operator:
        listed = operator.http.get("/v3/admin/core/cluster/node/list").json()["data"]
    wait_until(written, seconds=60, what="the document is written")
    for member in members:
        wait_until(lambda at=member: "clusters: 4" in read(at), seconds=30, what="it is there")

    assert {each["address"] for each in listed} == {f"nacos-{n}.nacos:8848" for n in range(3)}
