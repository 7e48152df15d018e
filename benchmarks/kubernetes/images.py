"""The images that the cluster runs: those of the stack, and the service that counts executions."""

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
HERE = Path(__file__).parent


def tag() -> str:
    """Return the tag that the images of this checkout have."""
    return version("modelserve-gateway")


def obstacle() -> str | None:
    """Return why the images cannot be made on this machine; None if they can."""
    return DockerStack(Plan()).obstacle()


def nacos() -> str:
    """Return the image of Nacos that the stack uses on this machine."""
    return DockerStack(Plan()).images()["nacos"]


def build(programs: Path) -> None:
    """Build every image that is not this machine's own."""
    DockerStack(Plan()).compose("build", "--quiet")
    given = f"--build-arg=GATEWAY={_named('gateway')}"
    file = ("--file", HERE / "Dockerfile", "--tag", _named(COUNTED))
    command = ["docker", "buildx", "build", "--load", "--quiet", given, *file, HERE.parent]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    _pause(programs)


def names() -> list[str]:
    """Return the name of each image that the cluster runs."""
    services = [_named(each.package) for each in found()]
    return [_named("gateway"), *services, _named(COUNTED), nacos(), PAUSE]


def archives(folder: Path) -> list[Path]:
    """Return an archive of each image, which is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_archive(name, folder) for name in names()]


def _named(package: str) -> str:
    return f"modelserve/{package}:{tag()}"


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


def _archive(name: str, folder: Path) -> Path:
    """Return the archive of an image; one that is there already is used again."""
    digest = run("docker", "image", "inspect", "--format={{.Id}}", name).strip()
    archive = folder / f"{name.replace('/', '-').replace(':', '-')}-{digest[7:19]}.tar"
    if not archive.exists():
        partial = archive.with_suffix(".partial")
        run("docker", "save", "--output", partial, name)
        partial.rename(archive)
    return archive
