"""A Node application finds the Python services with the Nacos client from npm."""

from collections.abc import Callable
from typing import Any

import pytest
from stack.access import NacosAccess

pytestmark = [pytest.mark.interop, pytest.mark.nacos]


@pytest.mark.timeout(180)
def test_node_finds_and_calls_both_services(
    models: Callable[..., Any],
    node: Callable[..., dict[str, Any]],
    nacos: NacosAccess,
    answers: dict[str, Any],
) -> None:
    """It is given every instance as healthy, and each answers the example question."""
    running = models()

    for name, instances in running.instances.items():
        said = node(nacos, name)

        assert set(said["instances"]) == {f"127.0.0.1:{one.port}" for one in instances}
        assert [each["status"] for each in said["answers"]] == [200, 200]
        for each in said["answers"]:
            assert answers[name].items() <= each["body"].items()
