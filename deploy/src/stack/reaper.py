"""The reaper: a process that ends every process of a test session once the session has ended.

A test run that is killed cannot clean up. So it marks its environment, which all its descendants
inherit, and holds a pipe to the reaper; when the pipe closes, for whatever reason, the reaper kills
every process that still carries the mark.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MARK = "STACK_SESSION"
"""The variable that marks the processes of a session."""


@contextmanager
def reaped_session() -> Iterator[None]:
    """Have a reaper end all processes started inside this block, even if ours is killed in it."""
    mark = str(uuid.uuid4())
    unmarked = {name: value for name, value in os.environ.items() if name != MARK}
    argv = [sys.executable, "-m", "stack.reaper", mark]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=unmarked, start_new_session=True):
        os.environ[MARK] = mark
        try:
            yield
        finally:
            del os.environ[MARK]


def end_all(mark: str) -> None:
    """Kill every process whose environment carries the mark."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                process.kill()
        except psutil.Error:
            continue


if __name__ == "__main__":
    sys.stdin.read()
    end_all(sys.argv[1])
