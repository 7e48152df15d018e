"""The declaration's types hold for those who write one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).with_name("iris.py")
DOUBLER = """# pyright: strict
from collections.abc import Mapping
from typing import Any
from model_service import GoldenRow, Live, Out, RowModel, Rows, main
from pydantic import BaseModel

class Doubler(RowModel):
    name, version, port = "doubler", "1.0.0", 8002

    class Row(BaseModel):
        x: float

    class Config(Live):
        factor: float = 2.0

    outputs = {"y": Out("FP64")}
    golden = (GoldenRow({"x": 1}, {"y": 2}),)

    def predict(self, rows: Rows[Row], config: Config) -> Mapping[str, Any]:
        return {"y": [config.factor * row.x for row in rows]}

main(Doubler)
"""
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
def test_a_declaration_is_typed_for_pyright_too(tmp_path):
    """A declaration passes pyright, strict; scikit-learn, which has no types of its own, would not.

    Nested types and plain attributes take the place of the declared ones without a ClassVar.
    """
    (tmp_path / "doubler.py").write_text(DOUBLER)
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]

    done = subprocess.run(
        [*command, "doubler.py"], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    assert report["generalDiagnostics"] == []


@pytest.mark.slow
def test_misuse_is_told_by_the_types(tmp_path):
    """An unknown datatype, a golden row without an answer, a model for its class are errors."""
    (tmp_path / "iris.py").write_text(EXAMPLE.read_text())
    (tmp_path / "misuse.py").write_text(MISUSE)

    done = checked(Path("misuse.py"), tmp_path)

    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(lines) == 3, done.stdout
