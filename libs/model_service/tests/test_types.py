"""The declaration's types hold for those who write one."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).with_name("iris.py")
MISUSE = """
from iris import Iris
from model_service import GoldenRow, Out, main

class Other(Iris):
    outputs = {"labels": Out("TEXT")}

golden = GoldenRow({"x": 1})
main(Iris())
"""


def checked(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]
    command += ["--config-file=", "--no-error-summary", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.slow
def test_the_example_is_typed(tmp_path):
    """A user's model passes mypy, strict, without a cast or an ignore."""
    done = checked(EXAMPLE, tmp_path)

    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_misuse_is_told_by_the_types(tmp_path):
    """An unknown datatype, a golden row without an answer, a model for its class are errors."""
    (tmp_path / "iris.py").write_text(EXAMPLE.read_text())
    (tmp_path / "misuse.py").write_text(MISUSE)

    done = checked(Path("misuse.py"), tmp_path)

    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(lines) == 3, done.stdout
