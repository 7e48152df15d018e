"""The Nacos server of a benchmark: the server that the environment names, or one of its own."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from stack.nacos import NacosServer


@dataclass(frozen=True, slots=True)
class Account:
    """The address of a Nacos server and a login there; `namespace` is the benchmark's own."""

    server_addr: str
    username: str
    password: str
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that tell a service of this account."""
        return {
            "NACOS_SERVER_ADDR": self.server_addr,
            "NACOS_USERNAME": self.username,
            "NACOS_PASSWORD": self.password,
            "NACOS_NAMESPACE": self.namespace,
        }

    def prepare(self) -> None:
        """Make the namespace unless it exists."""
        names = {"customNamespaceId": self.namespace, "namespaceName": self.namespace}
        self._call("POST", "/v3/admin/core/namespace", **names)

    def register(self, service: str, host: str, port: int, metadata: Mapping[str, str]) -> None:
        """Register a persistent instance: Nacos itself checks whether its port accepts."""
        self.register_all(service, [(host, port)], metadata)

    def register_all(
        self, service: str, places: Iterable[tuple[str, int]], metadata: Mapping[str, str]
    ) -> None:
        """Register a persistent instance at each host and port, with one login for all."""
        with self._session() as session:
            for host, port in places:
                self._send(
                    session,
                    "POST",
                    "/v3/admin/ns/instance",
                    serviceName=service,
                    ip=host,
                    port=str(port),
                    ephemeral="false",
                    metadata=json.dumps(metadata),
                )

    def clear(self, service: str) -> None:
        """Take out the persistent instances that an earlier run left."""
        for instance in self._instances(service):
            address = {"ip": instance["ip"], "port": str(instance["port"])}
            self._call("DELETE", "/v3/admin/ns/instance", serviceName=service, **address)

    def publish(self, data_id: str, content: str) -> None:
        """Publish a YAML document in the default group."""
        self._call(
            "POST",
            "/v3/admin/cs/config",
            dataId=data_id,
            groupName="DEFAULT_GROUP",
            type="yaml",
            content=content,
        )

    def addresses(self, service: str) -> set[str]:
        """Return the IP addresses of the service's instances that Nacos holds for healthy."""
        return {one["ip"] for one in self._instances(service) if one["healthy"]}

    def healthy(self, service: str) -> int:
        """Return the number of the service's instances that Nacos would hand out."""
        return sum(one["healthy"] for one in self._instances(service))

    def _instances(self, service: str) -> list[dict[str, Any]]:
        found = self._call("GET", "/v3/client/ns/instance/list", serviceName=service)
        return list(found or ())

    def _call(self, method: str, path: str, **parameters: str) -> Any:
        with self._session() as session:
            return self._send(session, method, path, **parameters)

    def _send(self, session: httpx.Client, method: str, path: str, **parameters: str) -> Any:
        parameters["namespaceId"] = self.namespace
        form = parameters if method == "POST" else None
        query = None if form else parameters
        answer = session.request(method, path, data=form, params=query).json()
        if answer["code"] != 0 and "already exist" not in str(answer):
            raise RuntimeError(f"Nacos refused {method} {path}: {answer}")
        return answer["data"]

    @contextmanager
    def _session(self) -> Iterator[httpx.Client]:
        credentials = {"username": self.username, "password": self.password}
        with httpx.Client(base_url=f"http://{self.server_addr}/nacos", trust_env=False) as session:
            login = session.post("/v3/auth/user/login", data=credentials).raise_for_status()
            session.headers["accessToken"] = login.json()["accessToken"]
            yield session


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
