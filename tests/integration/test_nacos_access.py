"""A user who lacks a permission: the service says which, and needs no restart once it is given."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.outage, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class User:
    """A user of a Nacos server, with a role of the same name."""

    admin: NacosAccess
    access: NacosAccess

    def allow(self, resource: str, action: str) -> None:
        """Give a permission in the namespace of the test."""
        wanted = {
            "role": self.access.username,
            "resource": f"{self.access.namespace}:{resource}",
            "action": action,
        }
        with as_admin(self.admin) as http:
            http.post("/v3/auth/permission", data=wanted).raise_for_status()


@contextmanager
def as_admin(access: NacosAccess) -> Iterator[httpx.Client]:
    """Open a client of the HTTP API with an administrator's token."""
    with access.http() as http:
        login = {"username": access.username, "password": access.password}
        token = http.post("/v3/auth/user/login", data=login).json()["accessToken"]
        http.headers["accessToken"] = token
        yield http


@pytest.fixture
def user(nacos: NacosAccess) -> Iterator[User]:
    """A user who may do nothing yet."""
    name, password = f"user-{os.urandom(4).hex()}", os.urandom(12).hex()
    with as_admin(nacos) as http:
        account = {"username": name, "password": password}
        http.post("/v3/auth/user", data=account).raise_for_status()
        role = {"username": name, "role": name}
        http.post("/v3/auth/role", data=role).raise_for_status()
    yield User(nacos, NacosAccess(nacos.server_addr, name, password, nacos.namespace))
    with as_admin(nacos) as http:
        http.delete("/v3/auth/role", params=role).raise_for_status()
        http.delete("/v3/auth/user", params={"username": name}).raise_for_status()


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
    told = [line for line in kmeans.log.read_text().splitlines() if "403" in line]
    assert len(told) == 1, "said once, not at every attempt"
    assert '"level":"WARNING"' in told[0].replace(" ", "").replace("warning", "WARNING")

    user.allow("*:config/*", "r")
    wait_until(lambda: part("config skl-kmeans")["ok"], seconds=60, what="the permission holds")
    assert part("config skl-kmeans")["source"] == "nacos"
    assert part("config skl-kmeans")["trouble"] is None
    assert 'service_state_ok{part="config skl-kmeans"} 1.0' in kmeans.metrics()
