"""Docker Swarm runs the Compose file, and loses no call while it is scaled up and down."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from stack import ROOT
from stack.docker import DockerStack
from stack.plan import HOST, Plan
from stack.swarm import stack_file
from stack.waiting import wait_until

from tests.chaos.callers import callers
from tests.docs.operations import blocks

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

CALLS = 300
"""Calls that must have been answered after each change."""
READY_SECONDS = 400.0
DEPLOY, SCALE = blocks("bash", (ROOT / "docs" / "compose.md").read_text())
IPVS = Path("/proc/sys/net/ipv4/vs")
"""There where the kernel can spread the connections to a published port over tasks; a swarm asks
for it when it begins."""


def docker(*arguments: str) -> str:
    """Run a command of the engine; return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def _swarm(_engine: None, pytestconfig: pytest.Config) -> None:
    """An engine that is the only node of a swarm; it leaves the swarm when the run ends.

    An engine that leaves a swarm forgets the names of all containers that run on it then, those of
    other tests too.
    """
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "active":
        docker("swarm", "init", "--advertise-addr", HOST)
        pytestconfig.add_cleanup(lambda: docker("swarm", "leave", "--force"))


class Deployed:
    """A stack in a swarm."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = f"swarm-{plan.offset}"
        self.ports = "ingress" if IPVS.exists() else "host"

    def run(self, command: str) -> None:
        """Run a command of docs/compose.md on this stack."""
        variables = {"STACK_OFFSET": str(self.plan.offset), "PORTS": self.ports, "STACK": self.name}
        # The tests may be run by make: with its variables, a make inside speaks into the pipe.
        shell = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env={**shell, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def answers(self, path: str, body: str) -> bool:
        """Return whether a call through the gateway succeeds."""
        url, headers = (
            f"http://{HOST}:{self.plan.gateway.port}{path}",
            {"content-type": "application/json"},
        )
        try:
            return httpx.post(url, content=body, headers=headers, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def found(self, service: str) -> list[int]:
        """Return how many instances of a service each worker of the gateway has."""
        # The admin port is not published: the gateway is asked inside its container.
        label = f"label=com.docker.swarm.service.name={self.name}_gateway"
        containers = docker("ps", "--quiet", "--filter", label).split()
        if not containers:
            return []
        script = (
            "import os, urllib.request as r;"
            f" q = r.Request('http://127.0.0.1:8010/api/services/{service}',"
            " headers={'authorization': 'Bearer ' + os.environ['GATEWAY_ADMIN_TOKEN']});"
            " print(r.urlopen(q, timeout=5).read().decode())"
        )
        command = ["docker", "exec", containers[0], "python", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        views = json.loads(done.stdout)["workers"] if done.returncode == 0 else []
        return [len(view["instances"]) if view else 0 for view in views]

    def wait_for(self, service: str, count: int) -> None:
        """Return when every worker of the gateway has so many instances of a service."""
        wait_until(
            lambda: set(self.found(service)) == {count},
            seconds=READY_SECONDS,
            what=f"the gateway has {count} instances of {service}",
        )


@pytest.fixture(scope="module")
def deployed(_swarm: None, swarm_plan: Plan) -> Iterator[Deployed]:
    """The stack in a swarm, by `make images` and `make swarm-stack`; the gateway has found it."""
    stack = Deployed(swarm_plan)
    try:
        stack.run(DEPLOY)
        for path, body in stack.plan.calls:  # the gateway follows a service from its first call on
            wait_until(
                lambda path=path, body=body: stack.answers(path, body),
                seconds=READY_SECONDS,
                what=f"the gateway answers {path}",
            )
        for service in stack.plan.services:
            stack.wait_for(service.name, 2)
        yield stack
    finally:
        sys.stderr.write(docker("stack", "ps", "--no-trunc", stack.name))
        docker("stack", "rm", stack.name)
        wait_until(
            lambda: not docker("ps", "--all", "--quiet", "--filter", f"name={stack.name}").strip(),
            seconds=200,
            what="the stack has ended",
        )
        for volume in docker("volume", "ls", "--quiet", "--filter", f"name={stack.name}").split():
            docker("volume", "rm", volume)


def test_scaling_costs_no_call(deployed: Deployed) -> None:
    """The clusterer from 2 to 4 and to 1, then the classifier, while both are called: all 200.

    Where the kernel can spread connections over the tasks of a published port, so is the gateway,
    from 1 to 2 and back.
    """
    plan = deployed.plan
    names = {"kmeans": "skl-kmeans", "classifier": "car-evaluation"}
    scalings = [(package, line) for package in names for line in SCALE.splitlines()]
    with callers(f"http://{HOST}:{plan.gateway.port}", plan.calls) as calling:
        for package, line in scalings:
            deployed.run(line.replace("kmeans", package))
            deployed.wait_for(names[package], int(line[-1]))
            calling.wait_for(CALLS)
        for count in (2, 1) if deployed.ports == "ingress" else ():
            docker("service", "scale", f"{deployed.name}_gateway={count}")
            calling.wait_for(CALLS)

    assert not calling.failures
    assert len(calling.statuses) > 4 * CALLS


def test_no_port_of_loopback_is_published(deployed: Deployed) -> None:
    """Of all ports the swarm has the gateway's for callers, not its admin port or the console."""
    made = stack_file(DockerStack(deployed.plan).config(), deployed.ports)
    published = {
        name: [port["published"] for port in service.get("ports", ())]
        for name, service in made["services"].items()
    }
    for port in (deployed.plan.gateway.admin_port, deployed.plan.console_port):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{HOST}:{port}/", trust_env=False)

    assert {name: ports for name, ports in published.items() if ports} == {
        "gateway": [deployed.plan.gateway.port]
    }
