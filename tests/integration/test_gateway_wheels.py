"""The gateway's wheels, published to a private index and installed without the workspace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stack import ROOT

from tests.private_index import LOGIN, private_index

pytestmark = pytest.mark.timeout(600)

UV = Path(sys.executable).with_name("uv")
TELL = """
import json
from gateway.control.form import form
from gateway.downstream import connection
from gateway.proxy import exchange
from failover import balancer, peak_ewma
files = [one.__file__ for one in (connection, exchange, balancer, peak_ewma)]
print(json.dumps({"form": form(), "files": files}))
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a private index that is empty at first."""
    with private_index(tmp_path_factory.mktemp("index")) as port:
        yield port


@pytest.fixture(scope="module")
def released(index: int, program: Callable[[str, str], str]) -> str:
    """The address of the index, with the login, when `make release-gateway` has filled it."""
    program("gcc", "gcc")
    release = subprocess.run(
        ["make", "--silent", "release-gateway"],
        cwd=ROOT,
        env=os.environ
        | {
            "INDEX_URL": f"http://127.0.0.1:{index}/",
            "INDEX_USERNAME": LOGIN[0],
            "INDEX_PASSWORD": LOGIN[1],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert release.returncode == 0, release.stdout + release.stderr
    return f"http://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{index}/simple/"


def install(environment: Path, index: str, *arguments: str) -> None:
    """Install into an environment with the versions of the lock; the index is asked first."""
    done = subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", environment, *arguments],
        env=os.environ | {"UV_EXTRA_INDEX_URL": index},
        cwd=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_installation_from_the_index_is_compiled_and_falls_back_elsewhere(
    released: str, tmp_path: Path
) -> None:
    """A fresh environment without compiler or mypyc gets extension modules, of both packages.

    The same command for a platform that no compiled wheel is for gets the pure wheels, which run.
    """
    subprocess.run([UV, "venv", "--quiet", tmp_path / "fresh"], check=True)
    fresh = tmp_path / "fresh" / "bin" / "python"
    lock = f"--constraints={ROOT / 'requirements.lock'}"
    install(tmp_path / "fresh", released, lock, "modelserve-gateway")
    other = ("--target=other", "--no-deps", "--python-platform=aarch64-unknown-linux-gnu")
    install(tmp_path / "fresh", released, *other, "modelserve-gateway", "modelserve-failover")
    elsewhere = {"PYTHONPATH": str(tmp_path / "fresh" / "other")}
    compiled, pure = (
        json.loads(subprocess.check_output([fresh, "-c", TELL], env=environment, text=True))
        for environment in ({}, elsewhere)
    )

    assert compiled["form"] == "compiled"
    assert {Path(file).suffix for file in compiled["files"]} == {".so"}
    assert all(Path(file).is_relative_to(tmp_path) for file in compiled["files"])
    assert pure["form"] == "interpreted"
    assert {Path(file).suffix for file in pure["files"]} == {".py"}
    assert not list((tmp_path / "fresh").rglob("mypyc"))


def test_the_compiled_form_is_built_once(program: Callable[[str, str], str]) -> None:
    """While no source changes, the next `make gateway-compiled` finds what the first has built."""
    program("gcc", "gcc")

    def built() -> dict[Path, int]:
        said = subprocess.check_output(
            ["make", "--silent", "gateway-compiled"], cwd=ROOT, text=True
        )
        return {wheel: wheel.stat().st_mtime_ns for wheel in Path(said.strip()).glob("*.whl")}

    first = built()
    assert len(first) == 2
    assert built() == first
