"""The images that the cluster runs: those of the stack, and the service that counts executions."""

import hashlib
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from stack.docker import DockerStack
from stack.plan import Plan
from stack.services import found

from benchmarks.kubernetes.machines import run
from benchmarks.kubernetes.node import PAUSE

COUNTED: Final = "counted"
SPRING_IMAGE: Final = "modelserve/spring-gateway"
HERE = Path(__file__).parent
SPRING = HERE.parent / "gateway" / "spring"
JRE = "modelserve/base-jre:local"
"""The base image that `make engine` makes where none can be pulled."""


def tag() -> str:
    """Return the tag that the images of this checkout have."""
    return version("modelserve-gateway")


def obstacle() -> str | None:
    """Return why the images cannot be made on this machine; None if they can."""
    reason = DockerStack(Plan()).obstacle()
    return f"{reason} (`make engine` installs an engine and base images)" if reason else None


def nacos() -> str:
    """Return the image of Nacos that the stack uses on this machine."""
    return DockerStack(Plan()).images()["nacos"]


def build(programs: Path) -> None:
    """Build every image that is not this machine's own."""
    DockerStack(Plan()).compose("build", "--quiet")
    _build(HERE / "Dockerfile", _named(COUNTED), f"--build-arg=GATEWAY={_named('gateway')}")
    if not (SPRING / "target" / "spring-gateway.jar").exists():
        run("mvn", "-q", "-B", "-f", SPRING / "pom.xml", "package")
    base = (f"--build-arg=JRE_IMAGE={JRE}",) if _is_there(JRE) else ()
    _build(HERE / "spring" / "Dockerfile", f"{SPRING_IMAGE}:{tag()}", *base)
    if not _is_there(PAUSE):
        _pause(programs)


def names() -> list[str]:
    """Return the name of each image that the cluster runs."""
    services = [_named(each.package) for each in found()]
    spring = f"{SPRING_IMAGE}:{tag()}"
    return [_named("gateway"), *services, _named(COUNTED), spring, nacos(), PAUSE]


def archive(folder: Path) -> Path:
    """Return an archive of all images, in which a layer that they share is once.

    It is in `folder`, and is used again while the images are the same.
    """
    ids = run("docker", "image", "inspect", "--format={{.Id}}", *names())
    file = folder / f"{hashlib.sha256(ids.encode()).hexdigest()[:12]}.tar"
    if not file.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        partial = file.with_suffix(".partial")
        run("docker", "save", "--output", partial, *names())
        partial.rename(file)
    return file


def _named(package: str) -> str:
    return f"modelserve/{package}:{tag()}"


def _build(file: Path, name: str, *given: str) -> None:
    command = ("docker", "buildx", "build", "--load", "--quiet", *given)
    named = ("--file", file, "--tag", name)
    subprocess.run([*command, *named, HERE.parent], check=True, stdout=subprocess.DEVNULL)


def _is_there(name: str) -> bool:
    command = ("docker", "image", "inspect", name)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _pause(programs: Path) -> None:
    context = ("tar", "--create", f"--directory={programs}", "pause")
    with subprocess.Popen(context, stdout=subprocess.PIPE) as tar:
        change = ("--change", 'ENTRYPOINT ["/pause"]')
        subprocess.run(
            ["docker", "import", *change, "-", PAUSE],
            stdin=tar.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
