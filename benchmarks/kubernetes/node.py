"""A node: a machine with a containerd, a kubelet and a kube-proxy of its own."""

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from stack.waiting import wait_until

from benchmarks.kubernetes.machines import BRIDGE_ADDRESS, POD_NETWORK, Machine, run
from benchmarks.kubernetes.programs import CGROUPS

PAUSE = "modelserve/pause:local"
"""The image of the first process of each pod."""
SHARES = {"cpu.shares": "8192", "cpu.weight": "800"}
"""A node's share of the processors, in each version of cgroups: that of eight processes. A group
without one counts as a single process, so that a busy machine starves a whole node."""
CONTAINERD = """version = 2
root = "{work}/root"
state = "{work}/state"
[grpc]
  address = "{work}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A user without CAP_SYS_RESOURCE may not lower the score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs}/cni"
    conf_dir = "{work}/net.d"
"""


class Node:
    """One node of the cluster; `zone` is the label by which callers prefer near instances."""

    def __init__(self, machine: Machine, zone: str, programs: Path, kubeconfig: Path) -> None:
        self.machine = machine
        self.name = machine.name
        self.pods_logs = machine.work / "pods"
        self._zone = zone
        self._programs = programs
        self._kubeconfig = kubeconfig
        self._socket = machine.work / "containerd.sock"

    def start_runtime(self) -> None:
        """Start the program that runs containers."""
        work, network = self.machine.work, self.machine.work / "net.d"
        network.mkdir()
        (network / "pods.conflist").write_text(json.dumps(self._network()))
        text = CONTAINERD.format(work=work, pause=PAUSE, programs=self._programs)
        (work / "containerd.toml").write_text(text)
        containerd = self.machine.start("containerd", "--config", work / "containerd.toml")
        wait_until(self._socket.exists, seconds=60, what=f"containerd of {self.name} listens")
        assert containerd.returncode is None, containerd.log_tail()

    def take(self, images: Path) -> None:
        """Take in the images of an archive."""
        self._ctr("images", "import", images)

    def join(self) -> None:
        """Start what joins the cluster."""
        work = self.machine.work
        for file, settings in (("kubelet", self._kubelet()), ("kube-proxy", self._proxy())):
            (work / f"{file}.json").write_text(json.dumps(settings))
        for cgroup in self._cgroups():
            cgroup.mkdir(exist_ok=True)
            for file, share in SHARES.items():
                if (cgroup / file).exists():
                    (cgroup / file).write_text(share)
        self.machine.start(
            self._programs / "kubelet",
            f"--config={work}/kubelet.json",
            f"--kubeconfig={self._kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.machine.address}",
            f"--root-dir={work}/kubelet",
            f"--cert-dir={work}/certificates",
            f"--node-labels=topology.kubernetes.io/zone={self._zone}",
        )
        self.machine.start(self._programs / "kube-proxy", f"--config={work}/kube-proxy.json")

    def remove_cgroups(self) -> None:
        """Take away the groups of processes that have ended."""
        for cgroup in self._cgroups():
            with suppress(TimeoutError):  # an empty group costs nothing
                what = f"the kernel lets go of {cgroup}"
                wait_until(partial(_removed, cgroup), seconds=10, what=what)

    def tag(self, image: str, other: str) -> None:
        """Give an image of the node another name, too."""
        self._ctr("images", "tag", f"docker.io/{image}", f"docker.io/{other}")

    def _cgroups(self) -> list[Path]:
        """Return the root of the node's groups, in each hierarchy."""
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS / self.name]
        return [each / self.name for each in CGROUPS.iterdir() if (each / "tasks").exists()]

    def _ctr(self, *argv: str | Path) -> None:
        run("ctr", "--address", self._socket, "--namespace", "k8s.io", *argv)

    def _network(self) -> object:
        """Return the network of the pods: each has a cable to the node, which routes."""
        store = {"type": "host-local", "dataDir": str(self.machine.work / "addresses")}
        ranges = [[{"subnet": self.machine.pods}]]
        ipam = {**store, "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        plugins = [
            {"type": "ptp", "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        return {"cniVersion": "0.4.0", "name": self.name, "plugins": plugins}

    def _kubelet(self) -> object:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
                "imagefs.inodesFree": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": [BRIDGE_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "podLogsDir": str(self.pods_logs),
            # Executions are counted in the logs: none is cut off.
            "containerLogMaxSize": "10Gi",
            "volumePluginDir": str(self.machine.work / "volume-plugins"),
        }

    def _proxy(self) -> object:
        # A namespace may not change how many connections the machine tracks.
        tracked = {"maxPerCore": 0, "min": 0}
        unchanged = {"tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._kubeconfig)},
            "hostnameOverride": self.name,
            "mode": "iptables",
            "clusterCIDR": POD_NETWORK,
            "conntrack": {**tracked, **unchanged},
        }


def _removed(cgroup: Path) -> bool:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):  # a process in it has not quite ended
            Path(folder).rmdir()
    return not cgroup.exists()
