"""The programs of the cluster, and whether this machine can run it."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SCRIPT = Path(__file__).parent / "programs.sh"
NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
}
"""Programs of the machine, and the Debian package of each."""
CGROUPS = Path("/sys/fs/cgroup")


def obstacle() -> str | None:
    """Return why no cluster can be on this machine, with what to do about it; None if it can."""
    wanted = {**NEEDED, **({} if cached() else {"go": "Go of 1.26 or newer, to build Kubernetes"})}
    missing = sorted({package for name, package in wanted.items() if shutil.which(name) is None})
    return hindrance(root=os.geteuid() == 0, missing=missing, cgroups=CGROUPS)


def hindrance(*, root: bool, missing: Sequence[str], cgroups: Path) -> str | None:
    """Return what stands in the way on a machine of this kind, with what to do about it."""
    if not root:
        return "a cluster needs root, for namespaces, mounts and cgroups: run it as root"
    if missing:
        return f"something is missing: install {', '.join(missing)}"
    if not any(each.exists() for each in (cgroups / "cgroup.controllers", cgroups / "memory")):
        return f"there are no cgroups at {cgroups}: mount them, or take a machine that has them"
    if os.statvfs(cgroups).f_flag & os.ST_RDONLY:
        return f"{cgroups} is read-only here: run it outside a container, or in a privileged one"
    return None


def cached() -> bool:
    """Return whether all programs are there already."""
    return subprocess.run([SCRIPT, "--cached"], check=False, capture_output=True).returncode == 0


def made() -> Path:
    """Return the folder of the programs, which are built if they are not there."""
    return Path(subprocess.check_output([SCRIPT], text=True).strip())
