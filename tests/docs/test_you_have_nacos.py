"""docs/you-have-nacos.md tells the truth: its YAML is the example's, its claims are measured."""

import json
import re
from typing import Any

import pytest
from stack import ROOT
from stack.plan import Plan

PAGE = (ROOT / "docs" / "you-have-nacos.md").read_text()
SPRING, OURS = "Spring Cloud Gateway", "this gateway"
STAYS = (
    "instance frozen (SIGSTOP)",
    "one instance slow (1 s)",
    "one instance answers 503",
    "one instance executes, then resets",
)
"""The faults after which Spring goes on sending to the instance that has them."""


def results(name: str) -> Any:
    """Return a committed file of results."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_the_yaml_is_that_of_the_example() -> None:
    """What a reader copies is what `make test-interop` runs."""
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    example = ROOT / "examples" / "spring-gateway" / "src" / "main" / "resources"
    assert shown == (example / "application.yml").read_text()


def test_a_hop_costs_less_than_a_quarter_of_springs() -> None:
    """CPU time of a request at 32 connections, by the committed measurement."""
    cost = {
        each["gateway"]: each["cpu_us"]
        for each in results("gateway")["medians"]
        if each["load"] == "200 B, 32 connections"
    }

    assert cost[OURS] < cost[SPRING] / 4


def test_what_the_third_way_adds_is_measured() -> None:
    """No declared call failed here and some did there, where bad instances keep their share."""
    trials = {(each["gateway"], each["fault"]): each for each in results("failover")["trials"]}
    failed = {
        gateway: [each["declared"]["failures"] for (of, _), each in trials.items() if of == gateway]
        for gateway in (OURS, SPRING)
    }

    assert len(failed[OURS]) == 12
    assert set(failed[OURS]) == {0}
    assert len([count for count in failed[SPRING] if count]) > 2
    for fault in STAYS:
        assert trials[SPRING, fault]["left_after"] is None
        assert trials[OURS, fault]["left_after"] is not None


def test_the_ports_are_those_of_the_stack() -> None:
    """Who opens the ports that the page names has opened all."""
    plan = Plan(instances=1)
    parts = {part.package: part for part in plan.parts}
    text = " ".join(PAGE.partition("**Ports**")[2].split())

    assert f"{parts['classifier'].port} the classifier" in text
    assert f"{parts['kmeans'].port} the clusterer" in text
    assert f"to the gateway's {plan.gateway.port}" in text
    assert f"admin port {plan.gateway.admin_port} " in text
    assert f"Nacos {plan.nacos_port} and {plan.nacos_port + 1000} " in text


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", PAGE))))
def test_a_link_leads_somewhere(link: str) -> None:
    """Every relative link names a file or folder of the repository."""
    assert (ROOT / "docs" / link).exists()
