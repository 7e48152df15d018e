"""Container tests need a Docker engine: in CI there must be one, elsewhere they say so and pass."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from stack import ROOT
from stack.credentials import read_or_make
from stack.docker import DockerStack
from stack.plan import Plan

# The reaper of testcontainers is an image that has to be pulled; our tests remove what they start.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip with one line where no engine can run the stack; fail where CI promised one."""
    read_or_make()
    reason = DockerStack(Plan()).obstacle()
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI without containers: {reason}")
    pytest.skip(f"CONTAINER TESTS SKIPPED: {reason} (`make engine` installs one)")


@pytest.fixture(scope="session")
def docker_stack(_engine: None, docker_plan: Plan) -> Iterator[DockerStack]:
    """The whole stack as `make up` starts it where an engine answers, for the whole run."""
    stack = DockerStack(docker_plan)
    moved = {**os.environ, "STACK_OFFSET": str(docker_plan.offset)}
    try:
        up = subprocess.run(
            ["make", "--silent", "up"],
            cwd=ROOT,
            env=moved,
            capture_output=True,
            text=True,
            check=False,
        )
        assert up.returncode == 0, up.stdout + up.stderr
        assert "up: containers" in up.stdout
        yield stack
    finally:
        stack.compose("logs", "--tail", "50")
        stack.compose("down", "--volumes", "--timeout", "20")
