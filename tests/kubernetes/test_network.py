"""The policies let through exactly the connections of docs/security.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from stack import ROOT

from tests.kubernetes.objects import Object, objects_of, values_of, workloads


@dataclass(frozen=True)
class Place:
    """Pods, or an address, between which policies decide.

    Attributes:
        name: as the table of docs/security.md has it.
        labels: of the pods.
        namespace: labels of their namespace; None in the namespace of the manifests.
        port: its own port, which the table calls so.
    """

    name: str
    labels: Mapping[str, str]
    namespace: Mapping[str, str] | None = None
    port: int = 0


OUTSIDE = (
    Place("anywhere", {}, {}),
    Place("callers", {}, {"modelserve/callers": "true"}),
    Place("metrics", {}, {"modelserve/metrics": "true"}),
    Place("DNS", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}),
)


def places(objects: list[Object]) -> list[Place]:
    """Return the pods of the manifests, and those of other namespaces."""
    models = values_of("small")["models"]
    inside = []
    for each in workloads(objects):
        labels = each["spec"]["template"]["metadata"]["labels"]
        names = {"model": "each model", "nacos": "Nacos"}
        component = labels["app.kubernetes.io/component"]
        port = models.get(each["metadata"]["name"], {}).get("port", 0)
        inside.append(Place(names.get(component, component), labels, None, port))
    return [*inside, *OUTSIDE]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a selector of labels means these."""
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def is_peer(peer: Mapping[str, Any], place: Place) -> bool:
    """Return whether a peer of a rule means a place; a network means a Nacos that is there."""
    if "ipBlock" in peer:
        return place.name == "Nacos"
    if "namespaceSelector" in peer:
        near = selects(peer["namespaceSelector"], place.namespace or {})
    else:
        near = place.namespace is None
    return near and selects(peer.get("podSelector", {}), place.labels)


def lets(policies: list[Object], way: str, owner: Place, other: Place, port: int) -> bool:
    """Return whether the policies of `owner` let a connection through, in or out."""
    mine = [
        each["spec"]
        for each in policies
        if way in each["spec"]["policyTypes"]
        and owner.namespace is None
        and selects(each["spec"]["podSelector"], owner.labels)
    ]
    peers, rules = ("from", "ingress") if way == "Ingress" else ("to", "egress")
    return not mine or any(
        (peers not in rule or any(is_peer(peer, other) for peer in rule[peers]))
        and port in {each["port"] for each in rule["ports"]}
        for spec in mine
        for rule in spec.get(rules, ())
    )


def connections(objects: list[Object], here: list[Place]) -> set[tuple[str, str, str]]:
    """Return what the policies let through: from, to and port, by the names of the table."""
    policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
    ports = {int(port) for port in re.findall(r"'port': (\d+)", str(policies))} | {
        22,
        443,
        4318,
        8080,
    }
    return {
        (one.name, two.name, "its port" if port == two.port else str(port))
        for one, two, port in product(here, here, ports)
        if one.namespace is None or two.namespace is None
        if lets(policies, "Egress", one, two, port) and lets(policies, "Ingress", two, one, port)
    }


def told() -> set[tuple[str, str, str]]:
    """Return the connections of the table of docs/security.md."""
    table = (ROOT / "docs" / "security.md").read_text().partition("## What is trusted")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE)[1:]
    return {
        (one, two, port)
        for sources, two, ports in rows
        for one in sources.split(", ")
        for port in ports.split(", ")
    }


@pytest.mark.parametrize("preset", ["small", "ha"])
def test_exactly_the_connections_of_the_page_go_through(preset: str) -> None:
    """Pods reach what docs/security.md says, port by port, and nothing else; others likewise.

    Who is let in from anywhere may come from each place.
    """
    objects = objects_of(values_of(preset))
    here = places(objects)
    everywhere = {(one.name, "gateway", "8000") for one in here if one.namespace is not None}

    assert connections(objects, here) == told() | everywhere
    assert len(told()) > 15


def test_with_a_nacos_that_is_there_only_its_network_is_open() -> None:
    """Then gateway and models may go out to that network, and to none else."""
    objects = objects_of(values_of("existing-nacos"))
    here = [*places(objects), Place("Nacos", {}, {})]
    everywhere = {(one.name, "gateway", "8000") for one in here if one.namespace is not None}
    services = {"gateway", "each model"}
    kept = {each for each in told() if each[0] in services or each[1] in services}

    assert connections(objects, here) == kept | everywhere
