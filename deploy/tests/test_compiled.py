"""The gateway's compiled form in the workspace: where it is, and when there is none."""

import os
import subprocess
import sys

import pytest

WAIT = """
from stack.compiled import in_background
with in_background() as wait:
    print(wait())
"""


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"GATEWAY_COMPILED": "0"}, "GATEWAY_COMPILED=0"),
        ({"CC": "no-such-compiler"}, "there is no C compiler no-such-compiler"),
    ],
)
def test_the_interpreted_form_runs_where_there_is_no_other(
    environment: dict[str, str], reason: str
) -> None:
    """Unwanted, or not to be had: there is no folder for PYTHONPATH, and one line says why."""
    done = subprocess.run(
        [sys.executable, "-c", WAIT],
        env={**os.environ, "GATEWAY_COMPILED": "", **environment},
        capture_output=True,
        text=True,
        check=True,
    )

    *_, line, folder = done.stdout.splitlines()
    assert folder == "None"
    assert line.startswith("gateway: interpreted, because ")
    assert reason in line
    assert done.stderr == ""
