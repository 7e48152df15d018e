"""The stack in containers, through Docker Compose."""

import json
import shutil
import subprocess

from stack import ROOT
from stack.credentials import read_or_make

COMPOSE = ("docker", "compose", "-f", str(ROOT / "deploy" / "docker-compose.yml"))


def why_not() -> str | None:
    """Return why containers cannot be used here, or None when they can.

    An image that is neither here nor obtainable is a reason; obtaining it may take minutes.
    """
    if shutil.which("docker") is None:
        return "there is no docker command"
    for what, probe in (
        ("no Docker engine answers", ("docker", "info")),
        ("Docker has no Compose plugin", ("docker", "compose", "version")),
        ("Docker has no buildx plugin", ("docker", "buildx", "version")),
    ):
        if not _succeeds(*probe):
            return what
    for image in _base_images():
        if not _succeeds("docker", "image", "inspect", image):
            print(f"docker: obtaining {image}", flush=True)
            if not _succeeds("docker", "pull", "--quiet", image):
                return f"the image {image} is not here and cannot be pulled"
    return None


def compose(*arguments: str) -> None:
    """Run Compose on the stack's file.

    Raises:
        subprocess.CalledProcessError: it failed; it has said why on the terminal.
    """
    read_or_make()
    subprocess.run([*COMPOSE, *arguments], cwd=ROOT, check=True)


def is_up() -> bool:
    """Whether containers of the stack exist on an engine that answers."""
    if shutil.which("docker") is None:
        return False
    found = subprocess.run(
        [*COMPOSE, "ps", "--all", "--quiet"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    return found.returncode == 0 and bool(found.stdout.strip())


def _base_images() -> set[str]:
    """Return the images that the Compose file builds on or runs as they are."""
    read_or_make()
    shown = subprocess.run(
        [*COMPOSE, "config", "--format", "json"], cwd=ROOT, check=True, capture_output=True
    )
    services = json.loads(shown.stdout)["services"].values()
    return {
        service["build"]["args"]["PYTHON_IMAGE"] if "build" in service else service["image"]
        for service in services
    }


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, cwd=ROOT, check=False, capture_output=True).returncode == 0
