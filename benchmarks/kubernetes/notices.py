"""What an operator sees where something is missing: each is told in words that say what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from stack.kubernetes_secrets import manifests
from stack.waiting import wait_until

from benchmarks.kubernetes.installation import READY_SECONDS, Installation, model

ELSEWHERE = "elsewhere"
"""A namespace that has nothing at first."""
NOWHERE = "nacos-0.nowhere:8848"
NAME, PACKAGE, PORT = "skl-kmeans", "kmeans", 9999
DESCRIBE = "kubectl describe pod"


@dataclass(frozen=True, slots=True)
class Notice:
    """Where something is missing, where that is told, and a part of what is told."""

    missing: str
    where: str
    told: str


class Elsewhere:
    """A model in a namespace where it misses one thing after the other."""

    def __init__(self, product: Installation) -> None:
        self._product = product
        self._cluster = product.cluster

    def notices(self) -> list[Notice]:
        """Return what is told where each thing is missing.

        Raises:
            TimeoutError: it is not told; the message has what was awaited, and what was told.
        """
        (namespace, *secrets) = manifests(ELSEWHERE, {})
        address = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "nacos"},
            "data": {"NACOS_SERVER_ADDR": NOWHERE},
        }
        self._cluster.apply([namespace], ELSEWHERE)
        self._cluster.apply([address, *model(NAME, PACKAGE, PORT, self._product.tag)], ELSEWHERE)
        secret = Notice("the Secrets", DESCRIBE, 'secret "nacos-login" not found')
        found = [self._awaited(secret, self._described)]
        self._cluster.apply(secrets, ELSEWHERE)
        nacos = Notice("Nacos", "/readyz of the pod", NOWHERE)
        found.append(self._awaited(nacos, self._readyz))
        change = ("set", "image", f"deployment/{NAME}", "model=modelserve/absent:none")
        self._cluster.kubectl(f"--namespace={ELSEWHERE}", *change)
        image = Notice("an image", DESCRIBE, 'Failed to pull image "modelserve/absent:none"')
        found.append(self._awaited(image, self._described))
        self._cluster.kubectl("delete", "namespace", ELSEWHERE)
        return found

    def _awaited(self, notice: Notice, said: Callable[[], str]) -> Notice:
        what = f"{notice.where} tells that {notice.missing} is missing: {notice.told}"
        try:
            wait_until(lambda: notice.told in said(), seconds=READY_SECONDS, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{said()}") from error
        return notice

    def _described(self) -> str:
        # One by one: of several pods at once no events are shown.
        here = f"--namespace={ELSEWHERE}"
        pods = self._cluster.kubectl(here, "get", "pods", "--output=name").split()
        return "\n".join(self._cluster.kubectl(here, "describe", pod) for pod in pods)

    def _readyz(self) -> str:
        pods: list[dict[str, Any]] = self._cluster.read(f"--namespace={ELSEWHERE}", "get", "pods")[
            "items"
        ]
        addresses = [each["status"].get("podIP") for each in pods]
        for address in filter(None, addresses):
            try:
                answer = httpx.get(f"http://{address}:{PORT}/readyz", trust_env=False)
            except httpx.HTTPError:
                continue
            return answer.text
        return ""


def without_metrics(product: Installation) -> Notice:
    """Return what is told of an autoscaler where there is no metrics-server."""
    notice = Notice("metrics-server", "kubectl describe hpa", "unable to get metrics")
    wait_until(
        lambda: "unable to get metrics" in product.kubectl("describe", "hpa", "gateway"),
        seconds=READY_SECONDS,
        what="an autoscaler tells that there are no metrics",
    )
    return notice
