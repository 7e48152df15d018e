"""`make up CLUSTER=3` in containers: members of Nacos are lost and come back, unnoticed."""

import json
import os
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.credentials import read_or_make
from stack.docker import DockerStack
from stack.plan import HOST, Plan
from stack.waiting import wait_until

from tests.chaos.callers import AUDIT, callers, executions
from tests.cluster_members import wait_for_leader, wait_shown

pytestmark = [pytest.mark.containers, pytest.mark.outage, pytest.mark.timeout(1500)]

CALLS = 200
"""Calls that must have been answered after each loss."""
MEMBERS = ("nacos", "nacos-2", "nacos-3")


class Stack:
    """The containers of one project, by the names of their services."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.docker = DockerStack(plan)

    def make(self, *words: str) -> str:
        """Run a target of make."""
        done = subprocess.run(
            ["make", "--silent", *words],
            cwd=ROOT,
            env={**os.environ, "STACK_OFFSET": str(self.plan.offset)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"modelserve-{self.plan.offset}-{service}-1"

    def access(self, member: str) -> NacosAccess:
        """Return the administrator's access to a member, at its container's address."""
        shown = json.loads(docker("inspect", self.container(member)))[0]["NetworkSettings"]
        (network,) = shown["Networks"].values()
        password = read_or_make().nacos.password
        return NacosAccess(f"{network['IPAddress']}:8848", "nacos", password)

    def publishes_audit(self) -> bool:
        """Publish the document of the classifier; return whether the first member has taken it.

        A member does not know the logins at once that were made at another.
        """
        try:
            self.access("nacos").publish("car-evaluation", AUDIT)
        except httpx.HTTPError:
            return False
        return True


def docker(*arguments: str) -> str:
    """Run a command of the engine; return what it prints, in either way."""
    return subprocess.run(
        ["docker", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def stack(_engine: None, plan_of_three: Plan) -> Iterator[Stack]:
    """The whole stack with three Nacos servers and one instance of each model."""
    stack = Stack(plan_of_three)
    try:
        told = stack.make("up-docker", "CLUSTER=3", "MODELS=1")
        assert "up: containers" in told
        yield stack
    finally:
        stack.docker.compose("logs", "--tail", "30")
        stack.docker.compose("down", "--volumes", "--timeout", "20")


def test_two_of_three_members_lost_cost_no_call(stack: Stack) -> None:
    """The leader killed, then one more, then both back: every call answered 200, by an instance.

    The classifier's log has every request of its callers by its id. In the end each member shows
    the instances again.
    """
    wait_until(stack.publishes_audit, seconds=60, what="the first member takes a document")
    classifier = stack.container("classifier")
    wait_until(
        lambda: '"source":"nacos"' in docker("logs", classifier),
        seconds=60,
        what="the document is in force",
    )
    with callers(f"http://{HOST}:{stack.plan.gateway.port}", stack.plan.calls) as calling:
        leader = wait_for_leader(stack.access("nacos"))
        lost = leader.partition(":")[0]
        second, third = (name for name in MEMBERS if name != lost)
        docker("kill", stack.container(lost))
        calling.wait_for(CALLS)
        wait_for_leader(stack.access(third), but=leader)
        wait_shown(stack.access(second), 1)
        wait_shown(stack.access(third), 1)
        docker("kill", stack.container(second))
        calling.wait_for(CALLS)
        wait_shown(stack.access(third), 1)
        calling.wait_for(CALLS)
        docker("start", stack.container(lost), stack.container(second))
        for name in MEMBERS:
            wait_shown(stack.access(name), 1)
        calling.wait_for(CALLS)

    ran = executions(docker("logs", classifier).splitlines())
    asked = {each for each in calling.ids if "car-evaluation" in each}
    assert not calling.failures
    assert len(asked) > CALLS
    assert asked - ran.keys() == set()


def test_another_start_names_the_cluster(stack: Stack) -> None:
    """`make up` without CLUSTER=3 leaves the three as they are, and says what to do."""
    before = docker("ps", "--quiet", "--no-trunc")
    with pytest.raises(AssertionError, match=r"it runs with CLUSTER=3.*`make down` first"):
        stack.make("up-docker", "MODELS=1")

    assert docker("ps", "--quiet", "--no-trunc") == before
    assert "nacos-3" in stack.make("status")
