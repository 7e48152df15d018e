"""Machines that are network namespaces of this one, joined by a bridge.

All runs in namespaces of its own, so that nothing reaches the machine's other processes and nothing
is left behind: with the program end its processes, and with them their mounts and networks.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stack.waiting import wait_until

from benchmarks.measure.process import Process

MARK = "CLUSTER_NAMESPACES"
BRIDGE_ADDRESS = "10.250.0.1"
"""The address at which the machines reach what this program itself runs."""
SERVICES = "10.96.0.0/16"
"""The network of the Services' addresses."""
POD_NETWORK = "10.244.0.0/16"
HIDDEN = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/containers",
)
"""Folders whose names are fixed in the programs of a node; each is an empty one here."""


def inside() -> bool:
    """Return whether this program runs in namespaces of its own already."""
    return MARK in os.environ


def enter() -> None:
    """Run this program again, as the first process in namespaces of network, mounts and pids."""
    os.environ[MARK] = "1"
    flags = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    argv = ["unshare", *flags, "--", sys.executable, *sys.orig_argv[1:]]
    os.execvp("unshare", argv)  # noqa: S606 - no shell is wanted


def settle() -> None:
    """Make the bridge, and hide the folders of the machine that a node would write to."""
    for folder in HIDDEN:
        Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", folder)
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "machines", "type", "bridge")
    run("ip", "address", "add", f"{BRIDGE_ADDRESS}/24", "dev", "machines")
    run("ip", "link", "set", "machines", "up")


def end_all() -> None:
    """End every other process in the namespace of pids, which has none but those started here."""
    if os.getpid() != 1:
        raise RuntimeError("end_all ends every process: it is for a namespace of pids of its own")
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def unmount(folder: Path) -> None:
    """Take away every mount below a folder, so that the folder can be removed and nothing else."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    for path in reversed([line.split()[4] for line in mounts]):
        if Path(path).is_relative_to(folder):
            run("umount", "--lazy", path)


class Machine:
    """A network namespace with an address on the bridge and a network for its pods."""

    def __init__(self, number: int, work: Path) -> None:
        self.name = f"node-{number}"
        self.address = f"10.250.0.{10 + number}"
        self.pods = f"10.244.{number}.0/24"
        self.gateway = f"10.244.{number}.1"
        self.work = work / self.name
        self.work.mkdir()
        here = Path("/proc/self/ns/net").readlink()
        log = self.work / "namespace.log"
        self._holder = Process(("unshare", "--net", "sleep", "infinity"), log=log)
        self._namespace = f"/proc/{self._holder.pid}/ns/net"
        wait_until(
            lambda: Path(self._namespace).readlink() != here,
            seconds=10,
            what="the namespace is there",
        )
        port = f"to-{self.name}"
        peer = ("peer", "name", "eth0", "netns", str(self._holder.pid))
        run("ip", "link", "add", port, "type", "veth", *peer)
        run("ip", "link", "set", port, "master", "machines", "up")
        run("ip", "route", "add", self.pods, "via", self.address)
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def run(self, *argv: str | Path) -> str:
        """Run a program on this machine and return its output."""
        return run(*self._here, *argv)

    def start(self, *argv: str | Path, **env: str) -> Process:
        """Start a program on this machine; its log is named after it."""
        log = self.work / f"{Path(argv[0]).name}.log"
        return Process((*self._here, *argv), log=log, env=env)

    @property
    def _here(self) -> tuple[str, ...]:
        return ("nsenter", f"--net={self._namespace}", "--")


def route_between(machines: Sequence[Machine]) -> None:
    """Let each machine's pods reach those of the others, and this program the Services."""
    for machine in machines:
        for other in machines:
            if machine is not other:
                machine.run("ip", "route", "add", other.pods, "via", other.address)
    hops = [word for each in machines for word in ("nexthop", "via", each.address)]
    run("ip", "route", "add", SERVICES, *hops)


def run(*argv: str | Path) -> str:
    """Run a program and return its output.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr or done.stdout}")
    return done.stdout
