"""What an operator does in a Nacos server over its admin API: documents, instances, namespaces."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

GROUP = "DEFAULT_GROUP"


@dataclass(frozen=True, slots=True)
class NacosAccess:
    """Where a server is and with which login and namespace it is used."""

    server_addr: str
    username: str
    password: str = field(repr=False)
    namespace: str = "public"

    @property
    def environment(self) -> Mapping[str, str]:
        """The NACOS_* variables that a service needs to use this server."""
        return {
            "NACOS_SERVER_ADDR": self.server_addr,
            "NACOS_USERNAME": self.username,
            "NACOS_PASSWORD": self.password,
            "NACOS_NAMESPACE": self.namespace,
        }

    def publish(self, data_id: str, content: str) -> None:
        """Put a YAML document into force."""
        document = {"dataId": data_id, "groupName": GROUP, "content": content, "type": "yaml"}
        with self._session() as http:
            form = {**document, "namespaceId": self.namespace}
            http.post("/v3/admin/cs/config", data=form).raise_for_status()

    def withdraw(self, data_id: str) -> None:
        """Delete a document; an absent one stays absent."""
        document = {"dataId": data_id, "groupName": GROUP, "namespaceId": self.namespace}
        with self._session() as http:
            http.delete("/v3/admin/cs/config", params=document).raise_for_status()

    def instances(self, service: str) -> list[dict[str, Any]]:
        """Return what the server shows of a service; nothing where it does not know it."""
        query = {"serviceName": service, "groupName": GROUP, "namespaceId": self.namespace}
        with self._session() as http:
            answer = http.get("/v3/admin/ns/instance/list", params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        answer.raise_for_status()
        return list(answer.json()["data"])

    def new_namespace(self, name: str) -> "NacosAccess":
        """Create a namespace and return the access to it."""
        form = {"namespaceId": name, "namespaceName": name}
        with self._session() as http:
            http.post("/v3/admin/core/namespace", data=form).raise_for_status()
        return replace(self, namespace=name)

    @contextmanager
    def _session(self) -> Iterator[httpx.Client]:
        url = f"http://{self.server_addr.split(',')[0]}/nacos"
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            login = {"username": self.username, "password": self.password}
            answer = http.post("/v3/auth/user/login", data=login)
            answer.raise_for_status()
            http.headers["accessToken"] = answer.json()["accessToken"]
            yield http
