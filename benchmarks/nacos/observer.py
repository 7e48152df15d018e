"""An observer that changes Nacos and reads it over HTTP, without a Nacos library."""

import json
import time
from typing import Any

import httpx

GROUP = "DEFAULT_GROUP"
CLUSTERS = "DEFAULT,None"
"""Clusters in which instances are looked for: nacosx registers in one that is called `None`."""
LOOK_SECONDS = 0.01
"""Seconds between two looks while waiting; a waiting time errs by at most that and one call."""


class Observer:
    """One connection to the HTTP API of a server, in one namespace."""

    def __init__(self, server_addr: str, username: str, password: str, namespace: str) -> None:
        self._login = {"username": username, "password": password}
        self._namespace = namespace
        self._http = httpx.Client(
            base_url=f"http://{server_addr}/nacos", timeout=10, trust_env=False
        )

    def change(self, service: str, port: int, seq: int) -> float:
        """Give an instance of `service` the label `seq`; return the time of sending."""
        form = {
            **self._of(service),
            "ip": "127.0.0.1",
            "port": str(port),
            "metadata": json.dumps({"seq": str(seq)}),
        }
        sent = time.monotonic()
        self._call("POST", "/v3/client/ns/instance", data=form)
        return sent

    def publish(self, data_id: str, seq: int) -> float:
        """Publish a document that carries `seq`; return the time of sending."""
        form = {
            "dataId": data_id,
            "groupName": GROUP,
            "namespaceId": self._namespace,
            "type": "yaml",
            "content": f"seq: {seq}\n",
        }
        sent = time.monotonic()
        self._call("POST", "/v3/admin/cs/config", data=form)
        return sent

    def visible(self, service: str) -> bool:
        """Return whether the server now hands out an instance of `service` as healthy."""
        return any(each["healthy"] for each in self._instances(service) or ())

    def answers(self) -> bool:
        """Return whether the server takes requests now."""
        return self._instances("none") is not None

    def wait_visible(self, service: str, seconds: float) -> float | None:
        """Return the time at which the server first hands out an instance; None after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.visible(service):
                return time.monotonic()
            time.sleep(LOOK_SECONDS)
        return None

    def _instances(self, service: str) -> list[dict[str, Any]] | None:
        """Return the instances that the server hands out; None if it does not answer."""
        query = {**self._of(service), "clusterName": CLUSTERS}
        try:
            return self._call("GET", "/v3/client/ns/instance/list", params=query)
        except (httpx.HTTPError, RuntimeError):
            return None

    def _of(self, service: str) -> dict[str, str]:
        return {"serviceName": service, "groupName": GROUP, "namespaceId": self._namespace}

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._http.request(method, path, **arguments)
        if answer.status_code == httpx.codes.FORBIDDEN:
            login = self._http.post("/v3/auth/user/login", data=self._login)
            if login.status_code == httpx.codes.OK:
                self._http.headers["accessToken"] = login.json()["accessToken"]
                answer = self._http.request(method, path, **arguments)
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"Nacos: {method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()["data"]
