"""Container tests need a Docker engine: in CI there must be one, elsewhere they say so and pass."""

import os
from collections.abc import Iterator

import pytest
from stack.credentials import read_or_make
from stack.docker import DockerStack
from stack.plan import Plan

# Its reaper is an image of its own that has to be pulled; the tests remove what they start.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Skip with one line where no engine can run the stack; fail where CI promised one."""
    read_or_make()
    reason = DockerStack(Plan()).why_not()
    if reason is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI without containers: {reason}")
    pytest.skip(f"CONTAINER TESTS SKIPPED: {reason} (`make engine` installs one)")


@pytest.fixture(scope="session")
def docker_stack(_engine: None, docker_plan: Plan) -> Iterator[DockerStack]:
    """The whole stack in containers, built and healthy, for the whole run."""
    stack = DockerStack(docker_plan)
    try:
        stack.compose("up", "--detach", "--build", "--wait", "--quiet-pull")
        yield stack
    finally:
        stack.compose("logs", "--tail", "50")
        stack.compose("down", "--volumes", "--timeout", "20")
