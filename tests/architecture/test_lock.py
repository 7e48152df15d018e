"""requirements.lock is what `make lock` makes of the members' dependencies."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import ROOT


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Path]:
    """The lock, put back as it was, its time too: make would set the environment up again."""
    path, kept = ROOT / "requirements.lock", tmp_path / "requirements.lock"
    shutil.copy2(path, kept)
    yield path
    shutil.copy2(kept, path)


def pins(lock: Path) -> set[str]:
    """Names, versions and markers of what a lock pins."""
    return {line.strip(" \\") for line in lock.read_text().splitlines() if "==" in line}


@pytest.mark.slow
def test_the_lock_is_up_to_date(lock: Path) -> None:
    """Resolved again it pins the same: no dependency was forgotten, no pin edited by hand.

    Hashes are left out: an index may get another file of a version at any time.
    """
    before = pins(lock)

    subprocess.run(["make", "--silent", "lock"], cwd=ROOT, check=True, timeout=300)

    assert pins(lock) == before
    assert before
