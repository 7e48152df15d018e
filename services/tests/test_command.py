"""The command line of each service: nothing is served, and nobody announced, by a question."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stack import ROOT

PACKAGES = ("classifier", "kmeans", "gateway")
PAGE = (ROOT / "docs" / "environment.md").read_text()


def run(package: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a service that ends by itself, in an environment that names no Nacos that answers."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "NACOS_SERVER_ADDR": "127.0.0.1:9",
        "NACOS_USERNAM": "models",
    }
    command = [sys.executable, "-m", package, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("package", PACKAGES)
def test_help_has_the_variables_of_the_page(package: str, tmp_path: Path) -> None:
    """Those of every service, of Nacos, and of this service; each is in docs/environment.md."""
    done = run(package, tmp_path, "--help")
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.endswith(")")]

    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: python -m {package} " in done.stdout
    assert {"SERVICE_NAME", "PORT", "DRAIN_SECONDS", "NACOS_PASSWORD", "ADVERTISE_IP"} <= {*listed}
    assert [name for name in listed if f"| `{name}` |" not in PAGE] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_argument_is_wrong_use(package: str, tmp_path: Path) -> None:
    """Exit code 2, with the argument named, before anything is read or served."""
    done = run(package, tmp_path, "--port=8001")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--port=8001" in done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_a_check_without_nacos_fails(package: str, tmp_path: Path) -> None:
    """Exit code 5, the reason, and the variable whose name has a letter too few."""
    done = run(package, tmp_path, "--check")

    assert (done.returncode, done.stdout) == (5, "")
    reason, hint = done.stderr.splitlines()
    assert reason.startswith("Nacos at 127.0.0.1:9: ")
    assert hint.endswith("NACOS_USERNAM is not read by this process; did you mean NACOS_USERNAME?")
