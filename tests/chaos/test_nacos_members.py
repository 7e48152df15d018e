"""`make up CLUSTER=3`: members of Nacos are lost and come back, and no caller notices."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from stack.local import LocalStack
from stack.plan import HOST, Plan
from stack.ports import is_free
from stack.releases import NEWEST, chosen
from stack.waiting import wait_until

from tests.chaos.callers import AUDIT, callers, executions
from tests.cluster_members import wait_for_leader, wait_shown

pytestmark = [
    pytest.mark.skipif(chosen().version != NEWEST, reason="a cluster of 2.x was not tried"),
    pytest.mark.nacos,
    pytest.mark.outage,
    pytest.mark.timeout(900),
]

CALLS = 200
"""Calls that must have been answered after each loss."""


@pytest.fixture
def stack(tmp_path: Path, plan_of_three: Plan) -> Iterator[LocalStack]:
    """The whole stack with three Nacos servers, none of which outlives it."""
    stack = LocalStack(plan_of_three, tmp_path)
    stack.up()
    yield stack
    stack.down()
    assert all(is_free(ports.http) for ports in plan_of_three.nacos.values())


def test_two_of_three_members_lost_cost_no_call(stack: LocalStack) -> None:
    """The leader killed, then one more, then both back: every call answered 200, by an instance.

    The classifier's log has every request of its callers by its id. With one member left, services
    are still found; in the end each member shows every instance.
    """
    stack.nacos.access.publish("car-evaluation", AUDIT)
    wait_until(lambda: has_audit(stack.plan), seconds=30, what="the document is in force")
    with callers(f"http://{HOST}:{stack.plan.gateway.port}", stack.plan.calls) as calling:
        leader = wait_for_leader(stack.nacos.access)
        lost = name_of(stack, leader)
        left = [name for name in stack.servers if name != lost]
        stack.processes()[lost].kill()
        calling.wait_for(CALLS)
        wait_for_leader(stack.servers[left[0]].access, but=leader)
        for name in left:
            wait_shown(stack.servers[name].access, 2)
        stack.processes()[left[0]].kill()
        calling.wait_for(CALLS)
        wait_shown(stack.servers[left[1]].access, 2)
        calling.wait_for(CALLS)
        stack.up()
        for server in stack.servers.values():
            wait_shown(server.access, 2)
        calling.wait_for(CALLS)

    logs = [stack.log_of(part.name) for part in stack.plan.models if part.package == "classifier"]
    ran = executions(line for log in logs for line in log.read_text().splitlines())
    asked = [each for each in calling.ids if "car-evaluation" in each]
    assert not calling.failures
    assert len(asked) > CALLS
    assert set(asked) - ran.keys() == set()


def name_of(stack: LocalStack, address: str) -> str:
    """Return the name of the member at an address."""
    return next(name for name, each in stack.servers.items() if each.server_addr == address)


def has_audit(plan: Plan) -> bool:
    """Return whether every classifier follows the document."""
    ports = [part.port for part in plan.models if part.package == "classifier"]
    answers = [httpx.get(f"http://{HOST}:{port}/readyz", trust_env=False).json() for port in ports]
    return all(each["checks"]["config car-evaluation"]["source"] == "nacos" for each in answers)
