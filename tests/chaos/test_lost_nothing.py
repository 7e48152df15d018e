"""Instances and Nacos itself go away while calls run, and no caller notices."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest
from stack.access import NacosAccess
from stack.local import LocalStack
from stack.nacos import NacosServer
from stack.plan import HOST, Plan
from stack.waiting import wait_until

from tests.chaos.callers import Callers, callers as call_all_the_time

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]

CALLS_AFTER = 200
"""Calls that must have been answered after the last disturbance."""


def callers(plan: Plan) -> AbstractContextManager[Callers]:
    """Call both models through the gateway all the time, two callers each."""
    return call_all_the_time(f"http://{HOST}:{plan.gateway.port}", plan.calls)


def test_a_crash_of_one_instance_of_each_service_costs_no_call(local_stack: LocalStack) -> None:
    """`kill -9` of one classifier and one clusterer during calls: every call answered 200."""
    with callers(local_stack.plan) as calling:
        for name in ("kmeans-1", "classifier-2"):
            local_stack.processes()[name].kill()
            calling.wait_for(CALLS_AFTER)
    local_stack.up()

    assert not calling.failures


@pytest.mark.outage
def test_a_rolling_restart_costs_no_call(local_stack: LocalStack) -> None:
    """Every model instance ended by SIGTERM and started again, in turn: every call answered 200."""
    with callers(local_stack.plan) as calling:
        for part in local_stack.plan.models:
            local_stack.processes()[part.name].stop(grace=45)
            calling.wait_for(20)
            local_stack.up()
        calling.wait_for(CALLS_AFTER)

    assert not calling.failures


def test_a_frozen_instance_costs_no_call(local_stack: LocalStack) -> None:
    """An instance that takes connections and answers nothing: every call answered 200."""
    frozen = local_stack.processes()["classifier-1"]
    with callers(local_stack.plan) as calling:
        frozen.pause()
        try:
            calling.wait_for(CALLS_AFTER)
        finally:
            frozen.resume()
    local_stack.up()

    assert not calling.failures


@pytest.mark.outage
def test_calls_go_on_while_nacos_is_gone(local_stack: LocalStack) -> None:
    """Nacos killed: calls are answered from what is known; back again, everything is registered."""
    with callers(local_stack.plan) as calling:
        local_stack.processes()["nacos"].kill()
        calling.wait_for(CALLS_AFTER)
        local_stack.up()
        calling.wait_for(CALLS_AFTER)

    assert not calling.failures


@pytest.mark.outage
def test_services_start_without_nacos_and_register_when_it_comes(
    own_nacos: NacosServer, service: Callable[..., object]
) -> None:
    """Nacos down at start: a service answers direct calls, and registers once Nacos is there."""
    access: NacosAccess = own_nacos.access
    kmeans = service("kmeans", access, ready=False)
    wait_until(lambda: clusters(kmeans.url) == 3, seconds=90, what="direct calls are answered")
    own_nacos.start()
    own_nacos.wait_ready()

    wait_until(
        lambda: [each["port"] for each in access.instances("skl-kmeans")] == [kmeans.port],
        seconds=60,
        what="the service is in Nacos",
    )


def clusters(url: str) -> int:
    """Ask the clusterer itself; 0 when nothing answers."""
    body = {"points": [[1, 2], [3, 4], [9, 9], [8, 8]]}
    try:
        answer = httpx.post(f"{url}/api/skl-kmeans", json=body, timeout=30, trust_env=False)
    except httpx.HTTPError:
        return 0
    return int(answer.json()["clusters"])
