"""`make new-service` of what its author has, refused, interrupted: in a copy of the checkout."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from stack.ports import free_port

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "loan-scores"
version = "1.2.0+own"
"""
SCORING = '''
"""Risks of loans."""

from typing import Annotated, Literal

from pydantic import Field


def score(age: Annotated[int, Field(ge=18)], area: Literal["n", "s"] = "n") -> float:
    """Tell the risk of a loan."""
    return age / 100 if area == "n" else 1.0


def untyped(age):
    return age
'''


@pytest.fixture
def environment(tmp_path: Path, checkout: Path) -> Path:
    """An environment of this test's own: the copy's stack, and beneath it all that this run has."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    beneath = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (site / "copy.pth").write_text(f"{checkout}/deploy/src\n{beneath}\n")
    for program in ("uv", "ruff"):
        (folder / "bin" / program).symlink_to(Path(sys.executable).with_name(program))
    return folder


def run(environment: Path, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module of the environment."""
    return subprocess.run(
        [environment / "bin" / "python", "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def files(folder: Path) -> dict[Path, bytes]:
    """Return the content of every file of a copy."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture
def loan_scores(tmp_path: Path, environment: Path) -> None:
    """Install a distribution with a function, as from an index: not from a file in the tree."""
    folder = tmp_path / "loan-scores"
    (folder / "loan_scores").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "loan_scores" / "__init__.py").touch()
    (folder / "loan_scores" / "scoring.py").write_text(SCORING)
    uv = (environment / "bin" / "uv", "pip", "install", "--quiet", "--no-deps")
    place = ("--no-build-isolation", "--python", environment / "bin" / "python", folder)
    subprocess.run([*uv, *place], check=True)


@pytest.mark.usefixtures("loan_scores")
def test_a_function_of_an_installed_distribution_is_served(
    environment: Path, checkout: Path
) -> None:
    """Its service imports it, requires its distribution, and takes no copy of it along."""
    asked = ("stack", "new-service", "loan-risk", "--from", "loan_scores.scoring:score")
    made = run(environment, checkout, *asked)
    assert made.returncode == 0, made.stderr
    service = checkout / "services" / "loan_risk"
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    model = (service / "src" / "loan_risk" / "model.py").read_text()
    tested = run(environment, checkout, "pytest", "-q", service / "tests")

    assert "loan-scores>=1.2.0" in project["dependencies"]
    assert "from loan_scores.scoring import score" in model
    assert not (service / "src" / "loan_risk" / "given").exists()
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("name", ["iris", "a-name-of-" + "9" * 53])
def test_what_is_written_passes_the_checks(environment: Path, checkout: Path, name: str) -> None:
    """Lines are in order and short enough, with the longest of names too."""
    made = run(environment, checkout, "stack", "new-service", name)
    assert made.returncode == 0, made.stderr

    for check in (("check",), ("format", "--check")):
        done = run(environment, checkout, "ruff", *check, "services", "--no-cache")
        assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("loan_scores")
def test_a_refusal_is_one_line_before_anything_is_written(
    environment: Path, checkout: Path, tmp_path: Path
) -> None:
    """A name that is taken, a port in use, a function without types, a pickle: nothing is left."""
    joblib, pickled = tmp_path / "model.joblib", tmp_path / "model.bin"
    joblib.touch()
    pickled.write_bytes(pickle.dumps(LogisticRegression()))
    port, before = free_port(), files(checkout)
    refusals = {
        ("Iris",): "NAME='Iris' is no host name",
        ("car-evaluation",): "there is a service car-evaluation already",
        ("iris", "--port", str(port)): f"port {port} or {port + 10}, ",
        ("iris", "--from", "loan_scores.scoring:untyped"): "the argument age has no type",
        ("iris", "--from", "loan_scores.absent:score"): "install it, or start make in its folder",
        ("iris", "--from", str(joblib)): "is a pickle: ",
        ("iris", "--from", str(pickled)): "is a pickle (of scikit-learn ",
    }

    with socket.create_server(("127.0.0.1", port)):
        for words, reason in refusals.items():
            done = run(environment, checkout, "stack", "new-service", *words)

            assert done.returncode == 1
            assert done.stderr.startswith("error: ")
            assert done.stderr.count("\n") == 1
            assert reason in done.stderr
    assert files(checkout) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["halting", "ruff", "hatchling"])
def test_an_interrupted_creation_leaves_nothing(
    environment: Path, checkout: Path, tmp_path: Path, module: str, number: signal.Signals
) -> None:
    """Ended in its middle, by Ctrl-C or SIGTERM, there is no service and no change of a file.

    A module halts the creation where it is imported: the function's own, one that stands for what
    puts the written files in order, or one that stands for what installs the service.
    """
    fifo, stands_for, before = tmp_path / "fifo", tmp_path / "modules", files(checkout)
    os.mkfifo(fifo)
    stands_for.mkdir()
    (stands_for / f"{module}.py").write_text(f"open({str(fifo)!r}).read()\n")
    # A run in the background ignores SIGINT, and what it starts would, too.
    python = ("env", "--default-signal=INT", environment / "bin" / "python")
    given = ("--from", "halting:f") if module == "halting" else ()
    with (
        subprocess.Popen(
            [*python, "-m", "stack", "new-service", "halted", *given],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(stands_for), "PYTHONDONTWRITEBYTECODE": "1"},
            stderr=subprocess.DEVNULL,
        ) as process,
        fifo.open("w"),
    ):
        process.send_signal(number)
        code = process.wait(60)

    assert code == 130
    assert files(checkout) == before
    assert not (checkout / "services" / "halted").exists()
    assert not list((checkout / ".local").glob("new-service-*"))
