"""The faults: each is one function, which returns when the cluster is as it was before."""

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.access import GROUP
from stack.waiting import wait_until

from benchmarks.gateway.calls import SERVICE
from benchmarks.kubernetes.cluster import ZONES
from benchmarks.kubernetes.installation import NAMESPACE, READY_SECONDS, Installation
from benchmarks.kubernetes.load import Load

COUNTED = f"deployment/{SERVICE}"
GATEWAY = "deployment/gateway"
NACOS = "statefulset/nacos"
LEAST, MORE = 2, 5
"""Pods of the counted service: as many as `ha` has of a model at least, and when it is scaled."""
KILL_SECONDS = 5.0
"""Seconds from one killed pod of five to the next."""
KILLS, KILLS_OF_TWO = 36, 6
GONE_SECONDS = 60.0
"""Seconds for which most members of Nacos are away."""
HIGH_RATE = 400.0
"""Requests a second, beside the constant load, that the pods of two are too few for."""
BUSY = "50%"
"""Of the processor that a pod asks for: more than two pods use under the constant load."""
CANARY = f"{SERVICE}-canary"
CANARY_RELEASE = "2"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens in a cluster.

    Attributes:
        happen: brings it about and undoes it; it may offer more load.
    """

    name: str
    happen: Callable[[Installation, Load], None]


def restart(*workloads: str) -> Callable[[Installation, Load], None]:
    """Return a fault's course: these workloads, or all, get new pods, one after the other."""

    def happen(product: Installation, _: Load) -> None:
        for workload in workloads or product.workloads():
            product.kubectl("rollout", "restart", workload)
            product.rolled(workload)
            product.wait_ended()

    return happen


def _scale(product: Installation, _: Load) -> None:
    for replicas in (MORE, LEAST):
        product.kubectl("scale", COUNTED, f"--replicas={replicas}")
        product.rolled(COUNTED)
        product.wait_ended()


def _kill_of_five(product: Installation, _: Load) -> None:
    """Kill the oldest of five pods every few seconds, whatever the others do."""
    product.kubectl("scale", COUNTED, f"--replicas={MORE}")
    product.available(SERVICE, MORE)
    begun = time.monotonic()
    for number in range(KILLS):
        _kill(product, product.pods(SERVICE)[0])
        time.sleep(max(0.0, begun + (number + 1) * KILL_SECONDS - time.monotonic()))
    product.available(SERVICE, MORE)
    product.kubectl("scale", COUNTED, f"--replicas={LEAST}")
    product.wait_ended()


def _kill_of_two(product: Installation, _: Load) -> None:
    """Kill the older of two pods, and another one as soon as two are available again."""
    for _number in range(KILLS_OF_TWO):
        _kill(product, product.pods(SERVICE)[0])
        product.available(SERVICE, LEAST)


def _kill(product: Installation, pod: Mapping[str, Any]) -> None:
    """Kill a pod: its processes, then its object, so that no node starts it again in place."""
    kill(pod)
    name = pod["metadata"]["name"]
    product.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")


def kill(pod: Mapping[str, Any]) -> None:
    """End every process of a pod by SIGKILL."""
    mark = f"pod{pod['metadata']['uid']}"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "cgroup").read_text():
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue


def _delete_member(product: Installation, _: Load) -> None:
    _delete_nacos(product, "nacos-2")


def _delete_leader(product: Installation, _: Load) -> None:
    _delete_nacos(product, leader(product))


def _delete_nacos(product: Installation, pod: str) -> None:
    product.kubectl("delete", "pod", pod)
    product.rolled(NACOS)


def leader(product: Installation) -> str:
    """Return the pod of the member that leads the store of Nacos, once the members tell it."""
    found: list[str] = []

    def told() -> bool:
        with product.nacos().operator() as operator:
            members = operator.http.get("/v3/admin/core/cluster/node/list").text
        found.extend(re.findall(r'"leader":"(nacos-\d)\.', members)[:1])
        return bool(found)

    wait_until(told, seconds=READY_SECONDS, what="the members of Nacos tell who leads")
    return found[-1]


def _lose_two(product: Installation, _: Load) -> None:
    product.kubectl("scale", NACOS, "--replicas=1")
    time.sleep(GONE_SECONDS)
    product.kubectl("scale", NACOS, "--replicas=3")
    product.rolled(NACOS)


def _drain(product: Installation, _: Load) -> None:
    node = product.cluster.nodes[-1].name
    wait = f"--timeout={READY_SECONDS:g}s"
    product.cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", wait)
    product.wait()
    product.cluster.kubectl("uncordon", node)


def _autoscale(product: Installation, load: Load) -> None:
    """Have the counted service grow by its use of processors, and shrink when the load is less."""
    product.kubectl("autoscale", COUNTED, f"--min={LEAST}", f"--max={MORE}", f"--cpu={BUSY}")
    load.start(HIGH_RATE)
    wait_until(lambda: _replicas(product) > LEAST, seconds=READY_SECONDS, what="it grows")
    product.rolled(COUNTED)
    load.less()
    wait_until(lambda: _replicas(product) == LEAST, seconds=READY_SECONDS, what="it shrinks")
    product.wait_ended()
    product.kubectl("delete", "hpa", SERVICE)


def _replicas(product: Installation) -> int:
    shown = product.cluster.read(f"--namespace={NAMESPACE}", "get", COUNTED)
    return int(shown["spec"]["replicas"])


def _promote(product: Installation, _: Load) -> None:
    """Have a canary's release serve alone, then the older one again."""
    (counted,) = (each for each in product.counted(product.tag) if each["kind"] == "Deployment")
    pod = counted["spec"]["template"]
    for labels in (
        counted["metadata"]["labels"],
        counted["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"],
    ):
        labels["app.kubernetes.io/name"] = CANARY
    counted["metadata"]["name"] = CANARY
    (container,) = pod["spec"]["containers"]
    container["env"] = [each for each in container["env"] if each["name"] != "NACOS_CANARY"] + [
        {"name": "NACOS_CANARY", "value": "true"},
        {"name": "RELEASE", "value": CANARY_RELEASE},
    ]
    product.cluster.apply([counted], NAMESPACE)
    product.rolled(f"deployment/{CANARY}")
    product.canary("promote", SERVICE, f"release={CANARY_RELEASE}")
    wait_until(lambda: _serving(product) == {CANARY_RELEASE}, seconds=60, what="it serves alone")
    product.canary("take-back", SERVICE)
    wait_until(lambda: _serving(product) == {"1"}, seconds=60, what="the older one serves again")
    product.kubectl("delete", "deployment", CANARY)
    product.wait_ended()


def _serving(product: Installation) -> set[str]:
    """Return the releases that callers meet, in any zone: a pod's zone is its cluster in Nacos."""
    place = {"serviceName": SERVICE, "groupName": GROUP, "namespaceId": "public"}
    with product.nacos().operator() as operator:
        shown = [one for zone in ZONES for one in operator.instances(**place, clusterName=zone)]
    return {each["metadata"]["release"] for each in shown if float(each["weight"]) > 0}


def _upgrade(product: Installation, _: Load) -> None:
    product.upgrade()


SCALED = Fault("scaled 2, 5, 2", _scale)
ALL = (
    Fault("every workload restarted in turn", restart()),
    Fault("the gateway restarted", restart(GATEWAY)),
    SCALED,
    Fault("the counted service restarted", restart(COUNTED)),
    Fault("a pod of five killed every 5 s for 3 minutes", _kill_of_five),
    Fault("a pod of two killed, six times", _kill_of_two),
    Fault("a member of Nacos deleted", _delete_member),
    Fault("the leader of Nacos deleted", _delete_leader),
    Fault("two of three Nacos gone for 60 s", _lose_two),
    Fault("a canary promoted, and taken back", _promote),
    Fault("autoscaled up and down by load", _autoscale),
    Fault("a node drained", _drain),
    Fault("every image upgraded, and back", _upgrade),
)
SHORT = ("the gateway restarted", "scaled 2, 5, 2", "the leader of Nacos deleted")
