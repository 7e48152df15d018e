"""The Nacos server of a benchmark: the server that the environment names, or one of its own."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from stack.access import GROUP, NacosAccess
from stack.nacos import NacosServer


@dataclass(frozen=True, slots=True)
class Account(NacosAccess):
    """The address of a Nacos server and a login there; `namespace` is the benchmark's own."""

    def prepare(self) -> None:
        """Make the namespace unless it exists."""
        try:
            self.new_namespace(self.namespace)
        except httpx.HTTPStatusError as error:
            if "already exist" not in error.response.text:
                raise

    def register(self, service: str, host: str, port: int, metadata: Mapping[str, str]) -> None:
        """Register a persistent instance: Nacos itself checks whether its port accepts."""
        self.register_all(service, [(host, port)], metadata)

    def register_all(
        self, service: str, places: Iterable[tuple[str, int]], metadata: Mapping[str, str]
    ) -> None:
        """Register a persistent instance at each host and port, with one login for all."""
        with self.operator() as operator:
            for host, port in places:
                address = {"ip": host, "port": str(port), "metadata": json.dumps(metadata)}
                operator.request("POST", "instance", **self._persistent(service), **address)

    def clear(self, service: str) -> None:
        """Take out the persistent instances that an earlier run left."""
        found = self.instances(service)
        with self.operator() as operator:
            for instance in found:
                address = {"ip": instance["ip"], "port": str(instance["port"])}
                operator.request("DELETE", "instance", **self._persistent(service), **address)

    def addresses(self, service: str) -> set[str]:
        """Return the IP addresses of the service's instances that Nacos holds for healthy."""
        return {one["ip"] for one in self._healthy(service)}

    def healthy(self, service: str) -> int:
        """Return the number of the service's instances that Nacos holds for healthy."""
        return len(self._healthy(service))

    def _healthy(self, service: str) -> list[dict[str, Any]]:
        return [one for one in self.instances(service) if one["healthy"]]

    def _persistent(self, service: str) -> dict[str, str]:
        place = {"serviceName": service, "groupName": GROUP, "namespaceId": self.namespace}
        return {**place, "ephemeral": "false"}


@contextmanager
def own_or_given(home: Path, namespace: str) -> Iterator[Account]:
    """Yield the server named by NACOS_SERVER_ADDR, else a new one that ends with the block."""
    if address := os.environ.get("NACOS_SERVER_ADDR"):
        account = Account(
            address, os.environ["NACOS_USERNAME"], os.environ["NACOS_PASSWORD"], namespace
        )
        account.prepare()
        yield account
        return
    server = NacosServer(home)
    server.start()
    try:
        server.wait_ready()
        account = Account(server.server_addr, server.username, server.password, namespace)
        account.prepare()
        yield account
    finally:
        server.stop()
