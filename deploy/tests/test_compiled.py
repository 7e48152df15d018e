"""The gateway's compiled form in the workspace: where it is, and when there is none."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from stack import ROOT
from stack.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

WAIT = """
from stack.compiled import in_background
with in_background() as compilation:
    print(compilation.folder())
"""
LEAVE = """
from stack.compiled import in_background
with in_background():
    input()
"""


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"GATEWAY_COMPILED": "0"}, "GATEWAY_COMPILED=0"),
        ({"CC": "no-such-compiler"}, "there is no C compiler no-such-compiler"),
        ({"CC": "false"}, "cannot be compiled"),
    ],
)
def test_the_interpreted_form_runs_where_there_is_no_other(
    environment: dict[str, str], reason: str
) -> None:
    """Unwanted, without a compiler, with one that fails: no folder, and one line that says why."""
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


def marked(mark: str) -> list[str]:
    """The commands of the processes that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CFLAGS") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_build_that_nobody_waits_for_ends(
    program: Callable[[str, str], str], tmp_path: Path
) -> None:
    """An interrupted `make up` leaves no compiler behind, which would hold up the next build."""
    program("gcc", "gcc")
    endless = tmp_path / "endless-compiler"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o755)
    mark = f"-DTEST_{uuid.uuid4().hex}"
    environment = {**os.environ, "GATEWAY_COMPILED": "", "CC": str(endless), "CFLAGS": mark}
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE], cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True
    ) as up:
        wait_until(lambda: "sleep 600" in marked(mark), seconds=300, what="the compiler has begun")
        up.communicate("\n")

    assert up.returncode == 0
    wait_until(lambda: marked(mark) == [], seconds=60, what="every process of the build has ended")
