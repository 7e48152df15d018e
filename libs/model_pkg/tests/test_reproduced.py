"""Code lives on after a release: what it may serve, and what it may not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from car_evaluation_model import load
from car_evaluation_model.errors import TamperedError


def changed_code(package: Path) -> None:
    """Change a module that trains, in a way that changes no byte of an artefact."""
    path = package / "pipeline.py"
    path.write_text(path.read_text() + "# The last line.\n")


def trained(package: Path, *versions: str) -> subprocess.CompletedProcess[str]:
    """Run the command that trains, on the package's copy."""
    return subprocess.run(
        [sys.executable, "-m", "car_evaluation_model.train_pipeline", *versions],
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def contents(package: Path) -> dict[str, bytes]:
    """The files of all releases."""
    return {
        str(file.relative_to(package)): file.read_bytes()
        for file in sorted((package / "models").rglob("*.*"))
        if file.is_file()
    }


def test_later_code_serves_a_release_that_it_reproduces(package: Path):
    """Code lives on: once training again has given the same bytes, releases load, as they were."""
    changed_code(package)
    with pytest.raises(TamperedError, match="prove by `make train-model`"):
        load("1.0.0", package)
    before = contents(package)

    done = trained(package)

    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "1.0.0: released, trained again: the same bytes\n"
        "1.1.0: released, trained again: the same bytes\n"
    )
    assert contents(package) == before
    assert [load(version, package).version for version in ("1.0.0", "1.1.0")] == ["1.0.0", "1.1.0"]
    assert (
        trained(package).stdout == "1.0.0: released, and verified\n1.1.0: released, and verified\n"
    )
    changed_code(package)
    with pytest.raises(TamperedError, match="code of model"):
        load("1.0.0", package)


def test_later_code_that_gives_another_model_serves_no_release(package: Path):
    """A release is never trained into something else: the command refuses, and says the way out."""
    path = package / "pipeline.py"
    path.write_text(path.read_text().replace("recipe.learning_rate", "recipe.learning_rate / 2"))
    before = contents(package)

    done = trained(package)

    assert done.returncode == 1
    assert "1.1.0 is released, and code or lock give another model now" in done.stderr
    assert contents(package) == before
