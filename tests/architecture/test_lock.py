"""requirements.lock is what `make lock` makes of the members' dependencies."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import ROOT


@pytest.fixture
def lock() -> Iterator[Path]:
    """The lock, put back as it was."""
    path = ROOT / "requirements.lock"
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)


@pytest.mark.slow
def test_the_lock_is_up_to_date(lock: Path) -> None:
    """Resolved again it is the same, to the byte: no dependency was forgotten, no pin edited."""
    before = lock.read_bytes()

    subprocess.run(["make", "--silent", "lock"], cwd=ROOT, check=True, timeout=300)

    assert lock.read_bytes() == before
