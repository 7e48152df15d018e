"""An observer that changes Nacos and reads it over HTTP, without a Nacos library."""

import json
import time
from typing import Any

import httpx
from stack.access import GROUP, NacosAccess, Operator

CLUSTERS = "DEFAULT,None"
"""Clusters in which instances are looked for: nacosx registers in one that is called `None`."""
LOOK_SECONDS = 0.01
"""Seconds between two looks while waiting; a waiting time errs by at most that and one call."""
INSTANCE = {"v3": "/v3/client/ns/instance", "v1": "/v1/ns/instance"}
"""The path at which clients register over HTTP, in both dialects; `/list` behind it lists."""


class Observer:
    """One connection to the HTTP API of a server, in one namespace and in the server's dialect."""

    def __init__(self, access: NacosAccess) -> None:
        self._access = access
        self._http = access.http()
        self._operator = self._log_in()

    def change(self, service: str, port: int, seq: int) -> float:
        """Give an instance of `service` the label `seq`; return the time of sending."""
        form = {
            **self._of(service),
            "ip": "127.0.0.1",
            "port": str(port),
            "metadata": json.dumps({"seq": str(seq)}),
        }
        path = INSTANCE[self._operator.dialect]
        sent = time.monotonic()
        self._http.post(path, data=form).raise_for_status()
        return sent

    def publish(self, data_id: str, seq: int) -> float:
        """Publish a document that carries `seq`; return the time of sending."""
        document = {"dataId": data_id, "groupName": GROUP, "namespaceId": self._access.namespace}
        sent = time.monotonic()
        self._operator.request("POST", "document", **document, type="yaml", content=f"seq: {seq}\n")
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
        v3 = self._operator.dialect == "v3"
        clusters = {"clusterName" if v3 else "clusters": CLUSTERS}
        path = f"{INSTANCE[self._operator.dialect]}/list"
        try:
            answer = self._http.get(path, params={**self._of(service), **clusters})
            if answer.status_code == httpx.codes.FORBIDDEN:
                self._operator = self._log_in()
                return None
            body = answer.raise_for_status().json()
        except httpx.HTTPError:
            return None
        return list(body["data"] if v3 else body["hosts"])

    def _log_in(self) -> Operator:
        dialect, token = self._access.log_in(self._http)
        self._http.headers.update({"accessToken": token, "Authorization": f"Bearer {token}"})
        return Operator(self._http, dialect)

    def _of(self, service: str) -> dict[str, str]:
        return {
            "serviceName": service,
            "groupName": GROUP,
            "namespaceId": self._access.namespace,
        }
