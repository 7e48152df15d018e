"""The product in the cluster: installed as docs/deploy.md says, and a counted service beside it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from stack.access import GROUP
from stack.helm import fill
from stack.kubernetes import CHART, preset_values
from stack.waiting import wait_until

from benchmarks.gateway.calls import SERVICE
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.kubernetes.images import COUNTED
from benchmarks.kubernetes.page import INSTALL, UPGRADE, Operator
from benchmarks.measure.nacos import Account

NAMESPACE = "modelserve"
READY_SECONDS = 600.0
CPU = "50m"
"""The processor that a pod asks for: little, for both nodes are the same few processors."""
NEXT = "next"
"""The tag to which all images are upgraded: the same images by another name."""

Object = dict[str, Any]


class Installation:
    """The product and the counted service, as they are in a cluster.

    Args:
        tag: the tag of the images.
        operator: types the commands of docs/deploy.md.
    """

    def __init__(self, cluster: Cluster, tag: str, operator: Operator) -> None:
        self.cluster = cluster
        self.tag = tag
        self._operator = operator
        self._read = (f"--namespace={NAMESPACE}", "get")

    def install(self) -> None:
        """Follow the page, then add the counted service; return when every workload is ready."""
        self.cluster.apply([self._disk(number) for number in range(3)], NAMESPACE)
        try:
            self._operator.types(INSTALL)
        except AssertionError as error:
            raise RuntimeError(f"{error}\n{self.why()}") from error
        self.cluster.apply(self.counted(self.tag), NAMESPACE)
        self.wait()

    def upgrade(self) -> None:
        """Give every workload images of another tag, then the first one again, as the page does."""
        self.cluster.apply(self.counted(NEXT), NAMESPACE)
        self._operator.types(UPGRADE)
        self.cluster.apply(self.counted(self.tag), NAMESPACE)
        self.wait()

    def counted(self, tag: str) -> list[Object]:
        """Return the objects of the counted service: those that the chart makes of a model."""
        return model(SERVICE, COUNTED, 9000, tag)

    def wait(self) -> None:
        """Return when every workload has the pods that it should have, and none else is left.

        Raises:
            RuntimeError: a workload is not ready in time; the message has what its pods say.
        """
        for workload in self.workloads():
            self.rolled(workload)
        self.wait_ended()

    def wait_ended(self) -> None:
        """Return when no pod is on its way out."""
        wait_until(self._none_ends, seconds=READY_SECONDS, what="pods that end have ended")

    def rolled(self, workload: str) -> None:
        """Return when the pods of a workload are those that it should have."""
        try:
            self.kubectl("rollout", "status", workload, f"--timeout={READY_SECONDS:g}s")
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.why()}") from error

    def available(self, name: str, count: int) -> None:
        """Return when so many pods of a Deployment are available, as Kubernetes means it.

        They are ready, and have been for its `minReadySeconds`. `rolled` may tell of a killed pod
        as if it were there.
        """
        asked = self.cluster.read(*self._read, "deployment", name)["spec"].get("minReadySeconds", 0)

        def enough() -> bool:
            now = datetime.now(UTC)
            found = [each for each in self.pods(name) if is_available(each, asked, now)]
            return len(found) >= count

        wait_until(enough, seconds=READY_SECONDS, what=f"{count} pods of {name} are available")

    def why(self) -> str:
        """Return what Kubernetes and the pods say of themselves."""
        said = [self.kubectl("get", "pods", "--output=wide")]
        for pod in self.cluster.read(*self._read, "pods")["items"]:
            if not is_ready(pod):
                name = pod["metadata"]["name"]
                said.append(self.kubectl("describe", "pod", name)[-1500:])
                with suppress(RuntimeError):
                    said.append(self.kubectl("logs", name, "--tail=30"))
        return "\n".join(said)

    def workloads(self) -> list[str]:
        """Return each Deployment and StatefulSet by its name, such as `deployment.apps/gateway`."""
        return self.kubectl("get", "deployments,statefulsets", "--output=name").split()

    def kubectl(self, *argv: str) -> str:
        """Run kubectl in the product's namespace."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *argv)

    def patch(self, workload: str, change: Object) -> None:
        """Change a part of a workload, as `kubectl patch` does."""
        self.kubectl("patch", workload, f"--patch={json.dumps(change)}")

    def pods(self, name: str) -> list[Object]:
        """Return the pods of a workload that are to stay, the oldest first."""
        label = f"--selector=app.kubernetes.io/name={name}"
        shown = self.cluster.read(*self._read, "pods", label)["items"]
        staying = [each for each in shown if "deletionTimestamp" not in each["metadata"]]
        return sorted(staying, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def address(self) -> str:
        """Return the address of the gateway's Service."""
        return str(self.cluster.read(*self._read, "service", "gateway")["spec"]["clusterIP"])

    def nacos(self) -> Account:
        """Return an administrator's access to a member of Nacos that is ready."""
        login = self.cluster.read(*self._read, "secret", "nacos-admin")["data"]
        password = base64.b64decode(login["NACOS_PASSWORD"]).decode()
        ready = [each for each in self.pods("nacos") if is_ready(each)]
        return Account(f"{ready[0]['status']['podIP']}:8848", "nacos", password, "public")

    def has_document(self, data_id: str) -> bool:
        """Return whether Nacos has a document."""
        with self.nacos().operator() as operator:
            asked = {"dataId": data_id, "groupName": GROUP, "namespaceId": "public"}
            answer = operator.http.get("/v3/admin/cs/config", params=asked)
        return answer.is_success and bool(answer.json()["data"])

    def canary(self, *argv: str) -> None:
        """Run `nacos-canary` as an administrator of Nacos, from outside the nodes."""
        command = [str(Path(sys.executable).with_name("nacos-canary")), *argv]
        env = {**os.environ, **self.nacos().environment}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"nacos-canary {' '.join(argv)}: {done.stderr}")

    def _none_ends(self) -> bool:
        shown = self.cluster.read(*self._read, "pods")["items"]
        return not any("deletionTimestamp" in each["metadata"] for each in shown)

    def _disk(self, number: int) -> Object:
        """Return a disk for a member of Nacos, which both nodes reach as they would one afar."""
        folder = self.cluster.work / f"disk-{number}"
        folder.mkdir()
        folder.chmod(0o777)  # Kubernetes gives no folder of a node to the group of a pod.
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": folder.name},
            "spec": {
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(folder)},
            },
        }


def model(name: str, package: str, port: int, tag: str) -> list[Object]:
    """Return the objects that the chart makes of one model."""
    values = preset_values("small", (CHART / "values.yaml").read_text())
    values["images"]["tag"] = tag
    values["model"]["cpu"] = CPU
    values["models"] = {name: {"package": package, "port": port}}
    text = fill((CHART / "templates" / "models.yaml").read_text(), values)
    return [each for each in yaml.safe_load_all(text) if each is not None]


def next_of(image: str) -> str:
    """Return the name of an image with the next tag."""
    return f"{image.rpartition(':')[0]}:{NEXT}"


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod takes requests."""
    return _ready_since(pod) is not None


def is_available(pod: Mapping[str, Any], seconds: int, now: datetime) -> bool:
    """Return whether a pod has taken requests for so many seconds."""
    since = _ready_since(pod)
    # Kubernetes notes the time in whole seconds, less what is left.
    return since is not None and now - since >= timedelta(seconds=seconds + 1)


def _ready_since(pod: Mapping[str, Any]) -> datetime | None:
    conditions: Sequence[Mapping[str, str]] = pod["status"].get("conditions", ())
    ready = (each for each in conditions if (each["type"], each["status"]) == ("Ready", "True"))
    return next((datetime.fromisoformat(each["lastTransitionTime"]) for each in ready), None)
