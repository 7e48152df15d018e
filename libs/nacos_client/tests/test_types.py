"""The public types hold for those who use them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

USAGE = Path(__file__).with_name("typed_usage.py")


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_usage_is_typed(checker: str, tmp_path: Path) -> None:
    """A user's code passes mypy and pyright, both strict, without a cast or an ignore."""
    if checker == "mypy":
        argv = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(USAGE)]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert answer.returncode == 0, answer.stdout
        return
    argv = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    argv.append(str(USAGE))  # its first line says "strict"
    answer = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    report = json.loads(answer.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    assert report["generalDiagnostics"] == []
