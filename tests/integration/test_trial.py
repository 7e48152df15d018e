"""A new document is tried on one instance of a service first."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = pytest.mark.nacos

DATA_ID = "skl-kmeans"
POINTS = [[x, y] for x in range(4) for y in range(4)]


def clusters(instance: Any) -> int:
    """Return how many clusters an instance finds in the points."""
    url = f"{instance.url}/api/skl-kmeans"
    answer = httpx.post(url, json={"points": POINTS}, timeout=30, trust_env=False)
    return len(set(answer.raise_for_status().json()["results"]))


def document(instance: Any) -> str:
    """Return what an instance says of its document."""
    return str(instance.readyz()[1]["checks"][f"config {DATA_ID}"]["document"])


@pytest.mark.feature("documents for a beta or a tag")
@pytest.mark.timeout(180)
def test_one_of_two_instances_has_the_new_number_of_clusters(
    service: Callable[..., Any], nacos: NacosAccess
) -> None:
    """The instance in the beta has it, the other has not; promoted, both have; ended, none has."""
    nacos.publish(DATA_ID, "clusters: 4")
    elsewhere = {"HOST": "0.0.0.0", "ADVERTISE_IP": "127.0.0.2"}  # noqa: S104
    both = service("kmeans", nacos), service("kmeans", nacos, env=elsewhere)

    def until(one: int, other: int, *, told: str) -> None:
        wait_until(
            lambda: (
                [clusters(each) for each in both] == [one, other]
                and [document(each) for each in both] == ["found", told]
            ),
            seconds=30,
            what=f"{one} and {other} clusters, the latter document being {told}",
        )

    until(4, 4, told="found")
    nacos.publish(DATA_ID, "clusters: 5", ips="127.0.0.2")
    until(4, 5, told="found (beta)")
    nacos.end_beta(DATA_ID)
    until(4, 4, told="found")

    nacos.publish(DATA_ID, "clusters: 6", ips="127.0.0.2")
    until(4, 6, told="found (beta)")
    nacos.publish(DATA_ID, "clusters: 6")
    until(6, 6, told="found (beta)")
    nacos.end_beta(DATA_ID)
    until(6, 6, told="found")
