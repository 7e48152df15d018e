"""The memory that a gateway keeps between requests."""

import subprocess
import sys

import pytest

TIMES = 1_000
BODIES = """
import resource, sys
from gateway.control.heap import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(int(sys.argv[2])):
    parts = [bytes(64 * 1024) for _ in range(8)]
    parts.clear()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[bool, int]:
    """Return whether memory is kept, and the page faults of bodies that come and go."""
    argv = [sys.executable, "-c", BODIES, how, str(TIMES)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    kept, count = map(int, done.stdout.split())
    return kept == 1, count


def test_bodies_cost_no_page_faults() -> None:
    """Memory of a body that is gone serves the next one; the kernel is not asked for it again."""
    kept, count = faults("keep")
    left = faults("leave")[1]
    if not kept or left < TIMES:
        pytest.skip("the C library has no mallopt, or keeps such memory by itself")
    assert count < TIMES
    assert left > 10 * TIMES
