"""A user who lacks a permission: the service says which, and needs no restart once it is given."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from stack.access import NacosAccess
from stack.releases import NEWEST, chosen
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.outage, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class User:
    """A user of a Nacos server, with a role of the same name."""

    admin: NacosAccess
    access: NacosAccess

    def allow(self, resource: str, action: str) -> None:
        """Give a permission in the namespace of the test."""
        self.allow_exactly(f"{self.access.namespace}:{resource}", action)

    def allow_exactly(self, resource: str, action: str) -> None:
        """Give a permission that is of no namespace."""
        wanted = {"role": self.access.username, "resource": resource, "action": action}
        with self.admin.operator() as operator:
            operator.request("POST", "permission", **wanted)


@pytest.fixture
def user(nacos: NacosAccess) -> Iterator[User]:
    """A user who may do nothing yet."""
    name, password = f"user-{os.urandom(4).hex()}", os.urandom(12).hex()
    role = {"username": name, "role": name}
    with nacos.operator() as operator:
        operator.request("POST", "user", username=name, password=password)
        operator.request("POST", "role", **role)
    yield User(nacos, NacosAccess(nacos.server_addr, name, password, nacos.namespace))
    with nacos.operator() as operator:
        operator.request("DELETE", "role", **role)
        operator.request("DELETE", "user", username=name)


@pytest.mark.feature("a permission that is missing is told")
def test_a_missing_permission_is_visible_and_can_be_given(
    service: Callable[..., Any], user: User
) -> None:
    """Who may register and not read the document is told so by /readyz, a metric and the log.

    The service serves with its defaults meanwhile, and follows the document once it may.
    """
    user.admin.publish("skl-kmeans", "clusters: 4")
    user.allow("DEFAULT_GROUP:naming/*", "rw")
    kmeans = service("kmeans", user.access)

    def part(name: str) -> Any:
        return kmeans.readyz()[1]["checks"][name]

    wait_until(
        lambda: "403" in str(part("config skl-kmeans")["trouble"]), seconds=30, what="the refusal"
    )
    wait_until(lambda: part("announcement skl-kmeans")["ok"], seconds=30, what="registration")
    assert part("config skl-kmeans")["ok"] is False
    assert part("config skl-kmeans")["source"] == "default"
    assert part("nacos")["ok"] is True
    assert kmeans.readyz()[0] == 200
    assert 'service_state_ok{part="config skl-kmeans"} 0.0' in kmeans.metrics()
    lines = kmeans.log.read_text().splitlines()
    told = [line for line in lines if "DEFAULT_GROUP/skl-kmeans: " in line and "403" in line]
    assert len(told) == 1, "said once, not at every attempt"
    assert '"level":"WARNING"' in told[0].replace(" ", "").replace("warning", "WARNING")

    user.allow("*:config/*", "r")
    wait_until(lambda: part("config skl-kmeans")["ok"], seconds=60, what="the permission holds")
    assert part("config skl-kmeans")["source"] == "nacos"
    assert part("config skl-kmeans")["trouble"] is None
    assert 'service_state_ok{part="config skl-kmeans"} 1.0' in kmeans.metrics()


@pytest.mark.feature("a namespace that does not exist is told")
@pytest.mark.feature("the server's version is told")
def test_a_namespace_that_is_not_there_is_told(
    service: Callable[..., Any], nacos: NacosAccess
) -> None:
    """/readyz and one line of the log name it, and readiness stays; once it is made, all is well.

    Nacos itself takes registrations in a namespace that nobody made, and callers find nothing.
    """
    missing = replace(nacos, namespace=f"absent-{os.urandom(4).hex()}")
    kmeans = service("kmeans", missing)

    def part() -> Any:
        return kmeans.readyz()[1]["checks"]["nacos"]

    wait_until(lambda: not part()["ok"], seconds=30, what="the trouble")
    assert f"NACOS_NAMESPACE={missing.namespace} does not exist" in part()["trouble"]
    assert kmeans.readyz()[0] == 200
    told = [line for line in kmeans.log.read_text().splitlines() if "does not exist" in line]
    assert len(told) == 1

    nacos.new_namespace(missing.namespace)
    wait_until(lambda: part()["ok"], seconds=60, what="the namespace is seen")
    assert (part()["server"], part()["trouble"]) == (nacos.server_addr, None)
    assert part()["version"]


@pytest.mark.skipif(chosen().version != NEWEST, reason="before 3.0 every user may list namespaces")
def test_who_may_not_see_a_namespace_is_told_that_and_can_be_allowed(
    service: Callable[..., Any], user: User
) -> None:
    """A user without an administrator's rights learns which permission is missing; it suffices."""
    missing = replace(user.access, namespace=f"absent-{os.urandom(4).hex()}")
    kmeans = service("kmeans", missing)

    def part() -> Any:
        return kmeans.readyz()[1]["checks"]["nacos"]

    resource = "/v3/admin/core/namespace"
    wait_until(
        lambda: f"the permission to read {resource}" in str(part()["namespace"]),
        seconds=30,
        what="the missing permission",
    )
    assert (part()["ok"], part()["trouble"]) == (True, None)

    user.allow_exactly(resource, "r")
    wait_until(lambda: not part()["ok"], seconds=120, what="the namespace is judged")
    assert f"NACOS_NAMESPACE={missing.namespace} does not exist" in part()["trouble"]
