"""`make up NACOS=host:port` in containers: beside a Nacos that runs elsewhere, and stays."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
from stack.access import NacosAccess
from stack.own_nacos import OwnNacos
from stack.plan import Plan

from tests.make_command import make as make_as_user

pytestmark = [pytest.mark.containers, pytest.mark.nacos, pytest.mark.timeout(900)]

Make = Callable[..., str]
POINTS = [[1, 2], [2, 3], [8, 8], [10, 11], [20, 1]]


@pytest.fixture
def host() -> str:
    """The address of this host that others use: no container reaches the loopback of the host."""
    return OwnNacos.at("192.0.2.1").address_of_this_host()  # of TEST-NET-1, RFC 5737


@pytest.fixture
def elsewhere(nacos: NacosAccess, host: str) -> NacosAccess:
    """A Nacos that containers reach as they would reach one on another host."""
    return replace(nacos, server_addr=f"{host}:{urlsplit(f'//{nacos.server_addr}').port}")


@pytest.fixture
def make(_engine: None, plan: Plan, elsewhere: NacosAccess) -> Iterator[Make]:
    """Run a target as a user does who has a login to Nacos in the environment, on free ports."""

    def run(*words: str) -> str:
        done = make_as_user(plan, elsewhere, *words)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    yield run
    run("down")


def containers(plan: Plan) -> set[str]:
    """The names of the containers of a plan, without the project's name."""
    project = f"modelserve-{plan.offset}"
    label = f"label=com.docker.compose.project={project}"
    command = ["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"]
    names = subprocess.check_output(command, text=True).split()
    return {name.removeprefix(f"{project}-") for name in names}


def test_containers_join_a_nacos_elsewhere(
    plan: Plan, host: str, elsewhere: NacosAccess, make: Make
) -> None:
    """Models and gateway log in there, are announced at this host's address, and answer.

    The port that is announced is the host's, so that callers elsewhere reach a container. No Nacos
    is started, `make status` names the other one, and `make down` leaves it alone.
    """
    up = make("up-docker", f"NACOS={elsewhere.server_addr}")
    offered = next(line for line in up.splitlines() if "curl" in line and "kmeans" in line)
    through = json.loads(subprocess.check_output(["bash", "-c", offered]))
    shown = [(each["ip"], each["port"]) for each in elsewhere.instances("skl-kmeans")]
    url = f"http://{host}:{9999 + plan.offset}/api/skl-kmeans"
    directly = httpx.post(url, json={"points": POINTS}, timeout=30, trust_env=False)
    running, status = containers(plan), make("status")
    make("down")

    assert through["clusters"] == 3
    assert shown == [(host, 9999 + plan.offset)]
    assert directly.json()["clusters"] == 3
    assert running == {*(f"{each.package}-1" for each in plan.services), "gateway-1"}
    assert f"{elsewhere.server_addr}, namespace {elsewhere.namespace}, yours" in status
    assert elsewhere.password not in up + status
    assert containers(plan) == set()
    assert elsewhere.instances("skl-kmeans") == []  # and the server answers
