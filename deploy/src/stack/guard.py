"""Leaves nothing behind: ends every process of a session when the session itself has ended.

A test run that is killed cannot clean up. So it marks its environment, which all its descendants
inherit, and holds a pipe to this guard; when the pipe closes, for whatever reason, the guard kills
what still carries the mark.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MARK = "STACK_SESSION"


@contextmanager
def guarded_session() -> Iterator[None]:
    """Mark our environment; what we start does not outlive us, whatever happens to us."""
    mark = str(uuid.uuid4())
    unmarked = {name: value for name, value in os.environ.items() if name != MARK}
    argv = [sys.executable, "-m", "stack.guard", mark]
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
