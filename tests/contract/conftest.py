# ruff: noqa: D102  (the methods of both worlds are described once, in `World`)
"""The same questions for two Nacos servers: the one in memory and a real one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from failover import Instance
from nacos_client import Nacos, NacosSettings
from nacos_client.testing import FakeNacos
from stack.access import NacosAccess

from tests.client_settings import settings_of
from tests.nacos_wire import WireNacos


class World(Protocol):
    """A Nacos server, with what its operator can do by hand."""

    def client(self, **other: Any) -> Nacos:
        """Make a client that is not started, in the test's namespace; `other` are settings."""

    def publish(self, data_id: str, content: str) -> None:
        """Write a document."""

    def remove(self, data_id: str) -> None:
        """Delete a document."""

    def shown(self, service: str) -> list[tuple[str, float, bool, dict[str, str]]]:
        """List address, weight, enabled and metadata of every instance."""

    def change(self, service: str, instance: Instance, *, ephemeral: bool = True) -> None:
        """Set weight, enabled and metadata of an instance by hand."""

    def put(self, service: str, instance: Instance) -> None:
        """Add an instance that some other process announced, with the health it reports."""

    def protect(self, service: str, threshold: float) -> None:
        """Set the share of healthy instances at which all count as healthy; some are there."""

    def in_public(self) -> "World":
        """Return the same server for the namespace `public`, which all tests share."""


class FakeWorld:
    """The server in memory."""

    def __init__(self, cache: Path) -> None:
        self._fake = FakeNacos()
        self._settings = NacosSettings(cache_dir=cache)

    def client(self, **other: Any) -> Nacos:
        return self._fake.client(self._settings.model_copy(update=other))

    def publish(self, data_id: str, content: str) -> None:
        self._fake.publish(data_id, content)

    def remove(self, data_id: str) -> None:
        self._fake.remove(data_id)

    def shown(self, service: str) -> list[tuple[str, float, bool, dict[str, str]]]:
        found = self._fake.instances(service)
        return [(i.address, i.weight, i.enabled, dict(i.metadata)) for i in found]

    def change(
        self,
        service: str,
        instance: Instance,
        *,
        ephemeral: bool = True,  # noqa: ARG002  (the fake finds an instance by its address)
    ) -> None:
        self._fake.override(
            service,
            instance.address,
            weight=instance.weight,
            enabled=instance.enabled,
            metadata=instance.metadata,
        )

    def put(self, service: str, instance: Instance) -> None:
        self._fake.put_instance(service, instance)

    def protect(self, service: str, threshold: float) -> None:
        self._fake.protect(service, threshold)

    def in_public(self) -> "FakeWorld":
        return self  # its clients are in no other


class RealWorld:
    """A real server, in a namespace of the test's own.

    Attributes:
        access: its address, a login and the namespace.
        cache: the folder of the clients' cache.
    """

    def __init__(self, access: NacosAccess, cache: Path) -> None:
        self.access = access
        self.cache = cache
        self._settings = settings_of(access, cache)

    def client(self, **other: Any) -> Nacos:
        return Nacos(self._settings.model_copy(update=other))

    def publish(self, data_id: str, content: str) -> None:
        self.access.publish(data_id, content)

    def remove(self, data_id: str) -> None:
        self.access.withdraw(data_id)

    def try_out(self, data_id: str, content: str, *, ips: str = "", tag: str = "") -> None:
        """Publish a document for a beta, the clients of these IP addresses, or for a tag."""
        self.access.publish(data_id, content, ips=ips, tag=tag)

    def end_beta(self, data_id: str) -> None:
        """Give the clients of a beta the document for all again."""
        self.access.end_beta(data_id)

    def end_tag(self, data_id: str, tag: str) -> None:
        """Give the clients of a tag the document for all again; since 2.5 it is `tag_blue`."""
        self.access.withdraw(data_id, tag=tag)

    def connections(self) -> list[dict[str, Any]]:
        """List the connections of a real server, as it knows their clients."""
        with self.access.operator() as operator:
            path = {"v3": "/v3/admin/core/loader/current", "v1": "/v2/core/loader/current"}
            answer = operator.http.get(path[operator.dialect]).raise_for_status().json()
        return [each["metaInfo"] for each in answer.get("data", answer).values()]

    def shown(self, service: str) -> list[tuple[str, float, bool, dict[str, str]]]:
        return [
            (f"{i['ip']}:{i['port']}", i["weight"], i["enabled"], i["metadata"])
            for i in self.access.instances(service)
        ]

    def change(self, service: str, instance: Instance, *, ephemeral: bool = True) -> None:
        form = _form(instance) | {"ephemeral": str(ephemeral).lower()}
        self._admin("PUT", "instance", service, **form)

    def put(self, service: str, instance: Instance) -> None:
        with self.access.operator() as operator:
            path = {"v3": "/v3/client/ns/instance", "v1": "/v1/ns/instance"}[operator.dialect]
            form = self._place(service) | _form(instance)
            operator.http.post(path, data=form).raise_for_status()

    def protect(self, service: str, threshold: float) -> None:
        self._admin("PUT", "service", service, protectThreshold=threshold)

    def in_public(self) -> "RealWorld":
        return RealWorld(replace(self.access, namespace="public"), self.cache)

    def _place(self, service: str) -> dict[str, str]:
        return {
            "namespaceId": self.access.namespace,
            "groupName": "DEFAULT_GROUP",
            "serviceName": service,
            "ephemeral": "true",
        }

    def _admin(self, method: str, thing: str, service: str, **form: Any) -> None:
        with self.access.operator() as operator:
            operator.request(method, thing, **(self._place(service) | form))


def _form(instance: Instance) -> dict[str, Any]:
    return {
        "ip": instance.ip,
        "port": instance.port,
        "clusterName": instance.cluster,
        "weight": instance.weight,
        "healthy": str(instance.healthy).lower(),
        "enabled": str(instance.enabled).lower(),
        "metadata": json.dumps(dict(instance.metadata)),
    }


@contextmanager
def server_of(request: pytest.FixtureRequest) -> Iterator[NacosAccess]:
    """Yield the server of a parameter, `real` or a version in memory; its namespace is new."""
    namespace = f"contract-{os.urandom(6).hex()}"
    if request.param == "real":
        access: NacosAccess = request.getfixturevalue("nacos_server")
        yield access.new_namespace(namespace)
        return
    with WireNacos(request.param, auth=True) as nacos:
        yield nacos.access.new_namespace(namespace)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.nacos)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Both servers, one after the other."""
    if request.param == "fake":
        yield FakeWorld(tmp_path)
        return
    with server_of(request) as access:
        yield RealWorld(access, tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"
