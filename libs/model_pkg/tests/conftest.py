"""A copy of the package, to damage and to train."""

import shutil
from pathlib import Path

import pytest
from car_evaluation_model.config.core import PACKAGE


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's files."""
    copy = tmp_path / "car_evaluation_model"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy
