"""Every distribution works at both ends of the versions it allows, on every Python it names.

Its wheel is installed into an environment of its own, with the lowest versions of what it requires
or with the highest, and its own tests run there, outside the checkout. The lowest are tried on the
oldest Python: newer ones have no wheels of libraries that are older than they are.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ranges, pytest.mark.timeout(2400)]

UV = Path(sys.executable).with_name("uv")
MEMBERS = tuple(
    str(file.parent.relative_to(ROOT))
    for group in ("libs", "services")
    for file in sorted(ROOT.glob(f"{group}/*/pyproject.toml"))
)
TESTED = tuple(member for member in MEMBERS if (ROOT / member / "tests").exists())
"""All but the conformance suite, which is tests itself."""
OLDEST = "3.11"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TOOLS = ("pytest", "hypothesis", "pytest-timeout")
BESIDE = {
    "libs/model_pkg": ("pandas",),
    "libs/service_kit": ("opentelemetry-proto",),
    "libs/nacos_client": ("fastapi", "uvicorn"),
    "libs/model_service": ("scikit-learn", "pandas"),
    "services/gateway": ("modelserve-model-service",),
}
"""Distributions that a member or its tests work with, and the member does not require."""
ELSEWHERE = {
    "test_browser.py", "test_types.py", "test_index.py", "test_training.py", "test_reproduced.py",
    "test_process.py", "test_console_browser.py",
}  # fmt: skip
"""Tests that need a browser, or the checkout: a type checker, scripts, what only trains."""
SETTINGS = """\
[pytest]
addopts = --import-mode=importlib -q --no-header
timeout = 240
markers =
    nacos: needs a server
    slow: the long form
"""
CONFTEST = """\
import shutil
import pytest
from hypothesis import HealthCheck, settings
settings.register_profile(
    "few", deadline=None, max_examples=20, suppress_health_check=list(HealthCheck)
)
settings.load_profile("few")


@pytest.fixture(scope="session")
def program():
    def find(name, package):
        return shutil.which(name) or pytest.skip(f"no {name}")
    return find
"""


def uv(*words: str | Path) -> str:
    """Run uv; return what it prints."""
    done = subprocess.run(
        [str(UV), *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pure wheels of all members, the stack's too, which tests take their ports from."""
    folder = tmp_path_factory.mktemp("wheels")
    for member in (*MEMBERS, "deploy"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            cwd=ROOT / member,
            env={"GATEWAY_COMPILED": "0", "PATH": ""},
            check=True,
            capture_output=True,
        )
    return folder


def interpreter(version: str) -> Path | None:
    """Return a Python of this version that runs, of the search path or of pyenv."""
    places = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for place in (*places, *sorted(pyenv.glob(f"versions/{version}.*/bin"))):
        found = place / f"python{version}"
        runs = found.exists() and subprocess.run(
            [found, "-c", ""], check=False, capture_output=True, timeout=30
        )
        if runs and runs.returncode == 0:
            return found
    return None


def requirements(wheels: Path, name: str) -> tuple[str, list[str]]:
    """Return the wheel of a distribution, and all that it and its siblings require, extras too."""
    found: dict[str, tuple[str, list[str]]] = {}
    for path in wheels.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            (file,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            head = archive.read(file).decode().partition("\n\n")[0]
        needs = [
            need.partition("; extra ==")[0]
            for need in re.findall(r"^Requires-Dist: (.*)$", head, re.MULTILINE)
            if not need.endswith(
                "extra == 'train'"
            )  # exactly one version, and only where it trains
        ]
        named = re.search(r"^Name: (.*)$", head, re.MULTILINE)
        assert named is not None
        found[named[1]] = str(path), needs
    waiting, needed, others = [name], [], []
    while waiting:
        one = waiting.pop()
        needed.append(found[one][0])
        for need in found[one][1]:
            sibling = re.split(r"[^\w-]", need)[0]
            if sibling not in found:
                others.append(need)
            elif found[sibling][0] not in needed:
                waiting.append(sibling)
    return needed[0], [*needed[1:], *others]


def run_own_tests(member: str, python: str, resolution: str, wheels: Path, folder: Path) -> str:
    """Install a member, run its tests; return the versions that were installed."""
    base = interpreter(python)
    if base is None:
        pytest.skip(f"there is no Python {python} here: {member} is not tried on it")
    name = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]["name"]
    wheel, others = requirements(wheels, name)
    environment = folder / "environment"
    own = environment / "bin" / "python"
    uv("venv", "--quiet", "--python", base, environment)
    install = ("pip", "install", "--quiet", "--python", own)
    uv(*install, "--find-links", wheels, "--resolution", resolution, wheel, *others)
    uv("pip", "check", "--quiet", "--python", own)
    versions = uv("pip", "list", "--format=freeze", "--python", own)
    (stack,) = wheels.glob("modelserve_stack-*.whl")
    pinned = folder / "pinned.txt"
    pinned.write_text(re.sub(r"^.* @ .*\n", "", versions, flags=re.MULTILINE))
    siblings = ("--find-links", wheels)
    uv(*install, *siblings, "--constraints", pinned, *TOOLS, *BESIDE.get(member, ()), stack)

    place = folder / "away"
    shutil.copytree(ROOT / member / "tests", place / "tests")
    shutil.copy(ROOT / member / "README.md", place)
    (place / "pytest.ini").write_text(SETTINGS)
    (place / "conftest.py").write_text(CONFTEST)
    ignored = [f"--ignore=tests/{name}" for name in sorted(ELSEWHERE)]
    done = subprocess.run(
        [own, "-m", "pytest", "tests", "-m", "not slow and not nacos", *ignored],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=2000,
    )
    assert done.returncode == 0, f"{versions}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
    return versions


@pytest.mark.parametrize("member", TESTED)
def test_the_lowest_versions_work(member: str, wheels: Path, tmp_path: Path) -> None:
    """Who has the oldest that the metadata allow is not told a lie."""
    versions = run_own_tests(member, OLDEST, "lowest-direct", wheels, tmp_path)

    if "numpy" in versions:
        assert "numpy==1.26" in versions


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("member", TESTED)
def test_the_highest_versions_work(member: str, python: str, wheels: Path, tmp_path: Path) -> None:
    """Who installs today gets what works."""
    run_own_tests(member, python, "highest", wheels, tmp_path)
