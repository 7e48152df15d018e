"""A Nacos server as its operator uses it, over its admin API: documents, instances, namespaces."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

GROUP = "DEFAULT_GROUP"


@dataclass(frozen=True, slots=True)
class NacosAccess:
    """The address of a Nacos server, a login to it, and a namespace.

    `ca` names the authority of a server that speaks TLS (a PEM file); None: plain text.
    """

    server_addr: str
    username: str
    password: str = field(repr=False)
    namespace: str = "public"
    ca: Path | None = None

    @property
    def url(self) -> str:
        """Base address of the HTTP API."""
        return f"{'https' if self.ca else 'http'}://{self.server_addr.split(',')[0]}/nacos"

    def http(self, *, timeout: float = 10) -> httpx.Client:
        """Make a client of the HTTP API that is not logged in; `timeout` in seconds."""
        trust = ssl.create_default_context(cafile=self.ca) if self.ca else False
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, verify=trust)

    @property
    def environment(self) -> Mapping[str, str]:
        """The NACOS_* variables that a service needs to use this server."""
        tls = {"NACOS_TLS": "true", "NACOS_TLS_CA": str(self.ca)} if self.ca else {}
        return {
            **tls,
            "NACOS_SERVER_ADDR": self.server_addr,
            "NACOS_USERNAME": self.username,
            "NACOS_PASSWORD": self.password,
            "NACOS_NAMESPACE": self.namespace,
        }

    def publish(self, data_id: str, content: str) -> None:
        """Publish a YAML document; it is in force at once."""
        document = {"dataId": data_id, "groupName": GROUP, "content": content, "type": "yaml"}
        with self._session() as http:
            form = {**document, "namespaceId": self.namespace}
            http.post("/v3/admin/cs/config", data=form).raise_for_status()

    def withdraw(self, data_id: str) -> None:
        """Delete a document; nothing happens where it is absent."""
        document = {"dataId": data_id, "groupName": GROUP, "namespaceId": self.namespace}
        with self._session() as http:
            http.delete("/v3/admin/cs/config", params=document).raise_for_status()

    def instances(self, service: str) -> list[dict[str, Any]]:
        """Return the instances that the server shows of a service; it may know none."""
        query = {"serviceName": service, "groupName": GROUP, "namespaceId": self.namespace}
        with self._session() as http:
            answer = http.get("/v3/admin/ns/instance/list", params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        return list(answer.json()["data"])

    def new_namespace(self, name: str) -> "NacosAccess":
        """Create a namespace; return the same access with that namespace."""
        form = {"namespaceId": name, "namespaceName": name}
        with self._session() as http:
            http.post("/v3/admin/core/namespace", data=form).raise_for_status()
        return replace(self, namespace=name)

    @contextmanager
    def _session(self) -> Iterator[httpx.Client]:
        with self.http() as http:
            login = {"username": self.username, "password": self.password}
            answer = http.post("/v3/auth/user/login", data=login)
            answer.raise_for_status()
            http.headers["accessToken"] = answer.json()["accessToken"]
            yield http
