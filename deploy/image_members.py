"""In an image's build: selects the workspace members that a service needs, by their project files.

    usage: image_members.py services/SERVICE

Each of them is copied twice: to /projects without its code, which is enough to install what it
requires, with the hook that builds its wheel, and to /members whole.
"""  # noqa: INP001 - copied alone into the build

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any


def needed(service: Path, projects: dict[Path, dict[str, Any]]) -> set[Path]:
    """Return the folders of a service and of all members it depends on, directly or not."""
    folders = {file["project"]["name"]: folder for folder, file in projects.items()}
    found: set[Path] = set()
    waiting = [service]
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found.add(folder)
            requirements = projects[folder]["project"]["dependencies"]
            names = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
            waiting += [folders[name] for name in names & folders.keys()]
    return found


def build_hook(settings: dict[str, Any]) -> str | None:
    """Return the path of the hook that builds a member's wheel, from the member's folder."""
    wheel = settings["build"]["targets"]["wheel"]
    path: str | None = wheel.get("hooks", {}).get("custom", {}).get("path")
    return path


def main(service: Path) -> None:
    """Copy the project files and the code of the service and its members."""
    projects = {
        file.parent: tomllib.loads(file.read_text()) for file in Path().glob("*/*/pyproject.toml")
    }
    for folder in needed(service, projects):
        settings = projects[folder]["tool"]["hatch"]
        readme = projects[folder]["project"].get("readme")
        # A project file may take its version from a file of the package.
        version_file = settings.get("version", {}).get("path")
        for name in filter(None, ("pyproject.toml", version_file, build_hook(settings))):
            copy = Path(os.path.normpath(Path("/projects") / folder / name))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, copy)
        if readme:  # it has to be there; a change of its text installs no library again
            (Path("/projects") / folder / readme).touch()
        whole = Path("/members") / folder
        shutil.copytree(folder / "src", whole / "src")
        for name in filter(None, ("pyproject.toml", readme)):
            shutil.copy(folder / name, whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
