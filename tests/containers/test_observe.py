"""The profile `observe` watches the containers: Prometheus finds and scrapes each of them."""

from collections.abc import Iterator

import httpx
import pytest
from stack.docker import DockerStack
from stack.plan import Plan
from stack.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]


@pytest.fixture
def watched(docker_stack: DockerStack) -> Iterator[Plan]:
    """The plan of the running stack, with Prometheus beside it."""
    plan = docker_stack.plan
    stack = DockerStack(plan, observe=True)
    if (reason := stack.obstacle()) is not None:
        pytest.skip(f"CONTAINER TESTS SKIPPED: {reason}")
    stack.up()
    yield plan
    stack.compose("rm", "--stop", "--force", "--volumes", "prometheus", "grafana")


def test_every_container_is_scraped(watched: Plan) -> None:
    """`up --observe` beside a running stack: each instance is a target, and the rules are there."""
    url = f"http://127.0.0.1:{watched.prometheus_port}/api/v1"
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as prometheus:

        def scraped() -> list[str]:
            targets = prometheus.get("/targets").json()["data"]["activeTargets"]
            return sorted(each["labels"]["job"] for each in targets if each["health"] == "up")

        wanted = sorted(part.service for part in watched.parts)
        wait_until(lambda: scraped() == wanted, seconds=120, what=f"{wanted} are scraped")
        rules = prometheus.get("/rules").json()["data"]["groups"]

    assert [group["name"] for group in rules] == ["modelserve"]
