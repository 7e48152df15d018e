"""A Kubernetes of two nodes, its control plane and its DNS as processes of this program."""

import json
import secrets
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from stack.waiting import wait_until

from benchmarks.kubernetes.machines import (
    BRIDGE_ADDRESS,
    SERVICES,
    Machine,
    end_all,
    route_between,
    run,
    unmount,
)
from benchmarks.kubernetes.node import Node
from benchmarks.measure.process import Process

READY_SECONDS = 180.0
SERVER = f"https://{BRIDGE_ADDRESS}:6443"
ZONES = ("zone-a", "zone-b")
METRICS_PORT = 4443
COREDNS = """cluster.local:53 {{
    bind {address}
    errors
    kubernetes cluster.local {{
        kubeconfig {kubeconfig}
    }}
}}
"""
METRICS: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": METRICS_PORT}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "metrics-server",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "metrics-server"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": METRICS_PORT}],
        "endpoints": [{"addresses": [BRIDGE_ADDRESS], "conditions": {"ready": True}}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "metrics"},
        "rules": [
            {
                "apiGroups": ["metrics.k8s.io"],
                "resources": ["nodes", "pods"],
                "verbs": ["get", "list"],
            },
            {"nonResourceURLs": ["/apis/metrics.k8s.io/*", "/openapi/*"], "verbs": ["get"]},
        ],
    },
    # The API server has no certificate by which metrics-server would know it.
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "metrics"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "metrics",
        },
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "User",
                "name": "system:anonymous",
            }
        ],
    },
    {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics-server", "namespace": "kube-system"},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    },
)
"""Objects by which the API server finds metrics-server, which is a process of this program."""


class Cluster:
    """The control plane, and a node in each zone.

    Args:
        programs: the folder that programs.sh made.
        work: folder for all that the programs write; its path is short, for sockets are in it.
    """

    def __init__(self, programs: Path, work: Path) -> None:
        self.work = work
        self.kubeconfig = work / "kubeconfig"
        self._programs = programs
        self._token = secrets.token_hex(16)
        machines = [Machine(number, work) for number, _ in enumerate(ZONES, 1)]
        self.nodes = [
            Node(machine, zone, programs, self.kubeconfig)
            for machine, zone in zip(machines, ZONES, strict=True)
        ]
        route_between(machines)

    def start(self, images: Path) -> None:
        """Start everything; return when both nodes are ready."""
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        self._start_control_plane()
        for node in self.nodes:
            node.start_runtime()
        with ThreadPoolExecutor() as both:
            for taken in [both.submit(node.take, images) for node in self.nodes]:
                taken.result()
        for node in self.nodes:
            node.join()
        for node in self.nodes:
            wait_until(partial(self._is_ready, node), seconds=READY_SECONDS, what=node.name)

    def end(self) -> None:
        """End every process, and take away what they leave on the machine."""
        end_all()
        for node in self.nodes:
            node.remove_cgroups()
        unmount(self.work)

    def kubectl(self, *argv: str | Path, given: str | None = None) -> str:
        """Run kubectl and return its output; `given` is its input.

        Raises:
            RuntimeError: it failed; the message has what it said.
        """
        command = [self._programs / "kubectl", f"--kubeconfig={self.kubeconfig}", *argv]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, argv))}: {done.stderr or done.stdout}")
        return done.stdout

    def read(self, *argv: str) -> Any:
        """Return the object that kubectl shows as JSON."""
        return json.loads(self.kubectl(*argv, "--output=json"))

    def apply(self, objects: Sequence[object], namespace: str) -> None:
        """Make these objects so."""
        listed = {"apiVersion": "v1", "kind": "List", "items": [*objects]}
        self.kubectl("apply", f"--namespace={namespace}", "--filename=-", given=json.dumps(listed))

    def start_metrics(self) -> None:
        """Start metrics-server; return when it tells what a node uses."""
        self._start(
            "metrics-server",
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--authentication-skip-lookup",
            f"--bind-address={BRIDGE_ADDRESS}",
            f"--secure-port={METRICS_PORT}",
            f"--cert-dir={self.work}/metrics",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
            "--metric-resolution=15s",
            "--kubelet-request-timeout=5s",
        )
        self.apply(METRICS, "kube-system")
        wait_until(self._has_metrics, seconds=READY_SECONDS, what="metrics-server tells of nodes")

    def _start(self, program: str, *argv: str) -> Process:
        log = self.work / f"{program}.log"
        return Process((self._programs / program, *argv), log=log, cwd=self.work)

    def _start_control_plane(self) -> None:
        keys = self.work / "accounts.key"
        run("openssl", "genrsa", "-out", keys, "2048")
        tokens = self.work / "tokens.csv"
        tokens.touch(0o600)
        tokens.write_text(f"{self._token},admin,admin,system:masters\n")
        self._start("etcd", f"--data-dir={self.work}/etcd")
        api = self._start(
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={SERVICES}",
            f"--cert-dir={self.work}/certificates",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys}",
            f"--service-account-signing-key-file={keys}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            "--allow-privileged",
            f"--advertise-address={BRIDGE_ADDRESS}",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-aggregator-routing",
        )
        api.listening(BRIDGE_ADDRESS, 6443, READY_SECONDS)
        wait_until(self._answers, seconds=READY_SECONDS, what=f"the API server; {api.log_tail()}")
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={keys}",
            "--leader-elect=false",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=30s",
            "--horizontal-pod-autoscaler-downscale-stabilization=30s",
        )
        self._start("kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false")
        names = self.work / "Corefile"
        names.write_text(COREDNS.format(address=BRIDGE_ADDRESS, kubeconfig=self.kubeconfig))
        self._start("coredns", f"-conf={names}")

    def _kubeconfig(self) -> object:
        server = {"server": SERVER, "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "this", "cluster": server}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "this", "context": {"cluster": "this", "user": "admin"}}],
            "current-context": "this",
        }

    def _answers(self) -> bool:
        try:
            return self.kubectl("get", "--raw=/readyz") == "ok"
        except RuntimeError:
            return False

    def _is_ready(self, node: Node) -> bool:
        try:
            shown = self.read("get", "node", node.name)
        except RuntimeError:
            return False
        found = {each["type"]: each["status"] for each in shown["status"]["conditions"]}
        return found.get("Ready") == "True"

    def _has_metrics(self) -> bool:
        try:
            shown = json.loads(self.kubectl("get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes"))
        except RuntimeError:
            return False
        return len(shown["items"]) == len(self.nodes)
