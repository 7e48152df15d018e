# ruff: noqa: INP001 - a script
"""Releases the distributions of this checkout: a version, its wheels, the checks, the index.

    release.py version 0.2.0           writes the version everywhere, and the changelog's section
    release.py check WHEELS            what a stranger would find out about the built wheels
    release.py publish WHEELS          publishes them to INDEX_URL: a version, once there, stays

All distributions have one version, and each requires its siblings in exactly that version: they are
tested together and released together. The model is apart: its versions are models.
"""

import argparse
import datetime as dt
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
CHANGELOG = ROOT / "CHANGELOG.md"
SIBLING = "modelserve-"
EXAMPLE_SECONDS = 60.0
"""Seconds for the example of a README: until it ends, or serves."""
FIRST_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPENING = "## Unreleased\n"
ALONE = """\
import sys
from importlib.metadata import packages_distributions
givers = sorted(set(packages_distributions()[sys.argv[1]]))
sys.exit(f"is given by {', '.join(givers)}: one hides the other" if len(givers) > 1 else 0)
"""
"""The program that fails where two installed distributions give a package of the same name."""


class ReleaseError(Exception):
    """The release is refused; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A member of the workspace that is published.

    Attributes:
        folder: of its project file.
        name: on the index.
        package: the package to import.
        version: of the release.
        beside: what the README's example uses besides: the dependency group `example`.
    """

    folder: Path
    name: str
    package: str
    version: str
    beside: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """The program that shows it at work: the README's first, or else the package's own."""
        found = FIRST_EXAMPLE.search((self.folder / "README.md").read_text(encoding="utf-8"))
        return (
            found[1]
            if found
            else f"import runpy; runpy.run_module('{self.package}', {{}}, '__main__')"
        )


def distributions(root: Path = ROOT) -> list[Distribution]:
    """Return what is published together: libraries and services with a version in their project."""
    found = []
    for file in sorted(root.glob("libs/*/pyproject.toml")) + sorted(
        root.glob("services/*/pyproject.toml")
    ):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        project, groups = content["project"], content.get("dependency-groups", {})
        if "version" in project:
            (package,) = (path.parent.name for path in file.parent.glob("src/*/__init__.py"))
            beside = tuple(groups.get("example", ()))
            name, version = project["name"], project["version"]
            found.append(Distribution(file.parent, name, package, version, beside))
    return found


def set_version(version: str, today: dt.date, root: Path = ROOT) -> None:
    """Write a version into all project files, and what is unreleased into its section.

    Raises:
        ReleaseError: it is no version, or the changelog has it already.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        raise ReleaseError(f"{version} is no version: write it as 1.2.0 or 1.2.0rc1")
    changelog = root / CHANGELOG.name
    text = changelog.read_text(encoding="utf-8")
    if f"\n## {version} - " in text:
        raise ReleaseError(f"{changelog.name} has a section {version} already: take another number")
    if OPENING not in text:
        raise ReleaseError(f"{changelog.name} has no section Unreleased")
    changelog.write_text(text.replace(OPENING, f"{OPENING}\n## {version} - {today}\n", 1))
    for file in [*root.glob("libs/*/pyproject.toml"), *root.glob("services/*/pyproject.toml"),
                 root / "deploy" / "pyproject.toml", root / "pyproject.toml"]:  # fmt: skip
        project = file.read_text(encoding="utf-8")
        project = re.sub(r'^version = ".*"$', f'version = "{version}"', project, flags=re.MULTILINE)
        project = re.sub(rf'"({SIBLING}[a-z-]+)==[^"]*"', rf'"\1=={version}"', project)
        file.write_text(project, encoding="utf-8")


def check_named(members: Iterable[Distribution], root: Path = ROOT) -> str:
    """Return the version of all members, once the changelog names it and a tag is what is here.

    Raises:
        ReleaseError: members differ, the changelog has no section, or the checkout is not the tag.
    """
    versions = {member.version for member in members}
    if len(versions) != 1:
        raise ReleaseError(f"members have {', '.join(sorted(versions))}: set one, `make version`")
    version = versions.pop()
    if f"\n## {version} - " not in (root / CHANGELOG.name).read_text(encoding="utf-8"):
        raise ReleaseError(
            f"{CHANGELOG.name} has no section {version}: `make version VERSION={version}`, commit"
        )
    if _git(root, "status", "--porcelain"):
        raise ReleaseError("the checkout has changes: commit them first")
    if f"v{version}" not in _git(root, "tag", "--points-at", "HEAD").split():
        raise ReleaseError(f"this is not the tag v{version}: `git tag v{version}`, or check it out")
    return version


def _git(root: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=root, text=True).strip()


def check(wheels: Path, members: Iterable[Distribution]) -> None:
    """Check the wheels as a stranger meets them, and say of each what was found.

    Raises:
        ReleaseError: metadata are incomplete, an environment of its own cannot have or import one,
            or the example of its README does not work there.
    """
    paths = sorted(wheels.glob("*.whl"))
    twine = [sys.executable, "-m", "twine", "check", "--strict", *map(str, paths)]
    done = subprocess.run(twine, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"twine refuses: {done.stdout}{done.stderr}")
    for path in paths:
        if lacking := missing(path):
            raise ReleaseError(f"{path.name} has no {', '.join(lacking)}")
    for member in members:
        with TemporaryDirectory(prefix="release-") as folder:
            python = install(member, wheels, Path(folder))
            try_example(member, python, Path(folder))
        sys.stdout.write(f"{member.name} {member.version}: installs, imports, its example works\n")
        sys.stdout.flush()


def missing(wheel: Path) -> list[str]:
    """Return what a wheel's metadata lack of all that a stranger looks for."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    head, _, body = text.partition("\n\n")
    lacking = [
        field
        for field in ("Author", "License-Expression", "License-File", "Summary", "Requires-Python")
        if f"\n{field}: " not in head
    ]
    if not any(name.endswith("licenses/LICENSE") for name in names):
        lacking.append("text of its licence")
    if not body.strip():
        lacking.append("readme")
    return lacking


def install(member: Distribution, wheels: Path, folder: Path) -> Path:
    """Install a distribution by its name alone; return the Python of its new environment.

    Raises:
        ReleaseError: it cannot be installed, or imported, or another distribution has its name.
    """
    python = folder / "environment" / "bin" / "python"
    _run(
        "a new environment",
        UV,
        "venv",
        "--quiet",
        "--python",
        sys.executable,
        folder / "environment",
    )
    wanted = f"{member.name}=={member.version}"
    what = f"{wanted} in an empty environment"
    # Wheels of an earlier build, under the same names, may be in uv's cache.
    names = {path.name.partition("-")[0].replace("_", "-") for path in wheels.glob("*.whl")}
    fresh = [f"--refresh-package={name}" for name in sorted(names)]
    install = (UV, "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    _run(what, *install, *fresh, wanted)
    _run(what, UV, "pip", "check", "--quiet", "--python", python)
    _run(f"import of {member.package}", python, "-I", "-c", f"import {member.package}")
    _run(f"the name {member.package}", python, "-I", "-c", ALONE, member.package)
    if member.beside:
        _run(f"what the example of {member.name} uses", *install, *fresh, *member.beside)
    return python


def _run(what: str, *command: str | Path) -> None:
    argv = [str(word) for word in command]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT / "deploy")
    if done.returncode != 0:
        raise ReleaseError(f"{what}: {done.stdout}{done.stderr}")


def try_example(member: Distribution, python: Path, folder: Path) -> None:
    """Run the example until it ends, or serves: then it is told to stop, and has to end well.

    Raises:
        ReleaseError: it fails, or does neither in time.
    """
    program, log = folder / "example.py", folder / "example.log"
    program.write_text(member.example, encoding="utf-8")
    ports = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NACOS_")},
        "SERVICE_NAME": "example", "PORT": str(ports[0]), "GATEWAY_ADMIN_PORT": str(ports[1]),
        "HOST": "127.0.0.1", "DRAIN_SECONDS": "0.1", "NACOS_SERVER_ADDR": "127.0.0.1:1",
        "NACOS_CACHE_DIR": str(folder / "cache"),
    }  # fmt: skip
    deadline = time.monotonic() + EXAMPLE_SECONDS
    with (
        log.open("w") as output,
        subprocess.Popen(
            [python, program], env=environment, cwd=folder, stdout=output, stderr=output
        ) as process,
    ):
        try:
            told = False
            while process.poll() is None and time.monotonic() < deadline:
                if not told and any(map(lives, ports)):
                    process.send_signal(signal.SIGTERM)
                    told = True
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            ended = process.poll()
            process.kill()
    if ended != 0:
        how = "did not end" if ended is None else f"ended with {ended}"
        raise ReleaseError(f"the example of {member.name} {how}: {log.read_text()[-2000:]}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def lives(port: int) -> bool:
    """Return whether a service at this port says that it lives."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (URLError, OSError):
        return False


def publish(wheels: Path, environ: Mapping[str, str]) -> None:
    """Upload the wheels; what the index has with the same bytes is left, with others is refused.

    Raises:
        ReleaseError: no index or login is named, or it refuses.
    """
    needed = ("INDEX_URL", "INDEX_USERNAME", "INDEX_PASSWORD")
    if lacking := [name for name in needed if not environ.get(name)]:
        raise ReleaseError(f"set {', '.join(lacking)}: where to publish, and the login there")
    url, name, secret = (environ[each] for each in needed)
    scheme, _, host = url.rstrip("/").partition("://")
    login = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    variables = {
        "UV_PUBLISH_USERNAME": name,
        "UV_PUBLISH_PASSWORD": secret,
        "UV_PUBLISH_CHECK_URL": f"{scheme}://{login}@{host}/simple/",
    }
    command = [UV, "publish", "--quiet", "--trusted-publishing", "never", "--publish-url", url]
    argv = [str(word) for word in [*command, *sorted(wheels.glob("*.whl"))]]
    if subprocess.run(argv, check=False, env={**environ, **variables}).returncode != 0:
        raise ReleaseError("not everything was published; uv said why")


def main() -> int:
    """Do what is asked; return the exit code."""
    parser = argparse.ArgumentParser()
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("version").add_argument("version")
    actions.add_parser("named")
    for name in ("check", "publish"):
        actions.add_parser(name).add_argument("wheels", type=Path)
    given = parser.parse_args()
    try:
        if given.action == "version":
            set_version(given.version, dt.datetime.now(dt.UTC).date())
            sys.stdout.write(f"next: commit, `git tag v{given.version}`, `make release`\n")
        elif given.action == "named":
            sys.stdout.write(f"releasing {check_named(distributions())}\n")
        elif given.action == "check":
            check(given.wheels.resolve(), distributions())
        else:
            publish(given.wheels.resolve(), os.environ)
    except ReleaseError as error:
        sys.stderr.write(f"release refused: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
