"""The rules of every test run: how it is divided, how it ends, which programs it needs."""

import asyncio
import os
import subprocess
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from service_conformance.programs import MISSING
from service_conformance.surroundings import is_ci
from stack import ROOT
from stack.jars import MissingToolError
from stack.lock import one_at_a_time
from stack.observe import prometheus
from stack.reaper import reaped_session
from stack.services import found
from xdist.scheduler import LoadScopeScheduling

STACK_TESTS = (
    "tests/chaos/",
    "tests/docs/test_readme.py",
    "tests/integration/test_docs.py",
    "tests/integration/test_stack.py",
    "tests/observe/",
)
"""Tests that share a local stack, and disturb it."""
CONTAINER_TESTS = ("tests/containers/",)
SERVED_TESTS = ("tests/field/serving/inference/",)
"""Tests that share four processes."""
TOGETHER = (STACK_TESTS, CONTAINER_TESTS, SERVED_TESTS)

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


class LoopOfATest(asyncio.SelectorEventLoop):
    """An event loop that is not blamed for those of the tests before.

    gRPC has one queue for all loops of a process. What comes late for a loop that has ended is an
    error ("Event loop is closed") in whichever loop reads the queue next.
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error, unless it is another loop's."""
        error = context.get("exception")
        if isinstance(error, RuntimeError) and error.args == ("Event loop is closed",):
            frames = traceback.extract_tb(error.__traceback__)
            if any("completion_queue.pyx" in frame.filename for frame in frames):
                return
        super().call_exception_handler(context)


class LoopsOfTests(asyncio.DefaultEventLoopPolicy):
    """Makes them."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make one."""
        return LoopOfATest()


def pytest_configure(config: pytest.Config) -> None:
    """See to it that no process of the run outlives it, even when the run itself is killed.

    The workers of a parallel run are processes of the run, and so is all that they start.
    """
    asyncio.set_event_loop_policy(LoopsOfTests())
    # The tests of conformance try every model service of the checkout, unless some are named.
    config.option.model_services = config.option.model_services or [one.model for one in found()]
    if not is_worker():
        session = ExitStack()
        session.enter_context(reaped_session())
        config.add_cleanup(session.close)


def is_worker() -> bool:
    """Tell whether this process is one of several that run the tests in parallel."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a parallel run begin with what takes long, or one worker does it alone at the end."""
    if is_worker():
        items.sort(
            key=lambda item: not {"nacos", "timeout"} & {m.name for m in item.iter_markers()}
        )


class OneWorkerForAStack(LoadScopeScheduling):
    """Scheduler that hands out test by test; tests that share a stack go to one worker together."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the tests that are handed out with this one, or its own."""
        together = (group for group in TOGETHER if nodeid.startswith(group))
        return str(next(together, nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return what divides the tests of a parallel run among its workers."""
    return OneWorkerForAStack(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the end and in red, what was not tested for want of a program."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())}
    for reason in sorted(reasons):
        if MISSING in reason:
            terminalreporter.write_line(reason.removeprefix("Skipped: "), red=True, bold=True)


@pytest.fixture(scope="session")
def v2_python(program: Callable[[str, str], str]) -> Path:
    """Return the interpreter of tritonclient and kserve."""
    return _of_clients(program("make", "make"), "v2-clients")


@pytest.fixture(scope="session")
def mlserver_python(program: Callable[[str, str], str]) -> Path:
    """Return the interpreter of MLServer's codecs."""
    return _of_clients(program("make", "make"), "mlserver-client")


@pytest.fixture(scope="session")
def prometheus_programs() -> Callable[[str], str]:
    """Return the way to look up `prometheus` and `promtool`; the path of either.

    Where they are missing `make prometheus` is tried. Where that fails a test is skipped, or fails
    with CI=true, unless PROMETHEUS_PROGRAMS says that they could not be had.
    """

    def find(name: str) -> str:
        with suppress(MissingToolError):
            return prometheus.program(name)
        with one_at_a_time(ROOT / ".local/prometheus.lock"):
            subprocess.run(["make", "--silent", "prometheus"], cwd=ROOT, check=False)  # noqa: S607
        try:
            return prometheus.program(name)
        except MissingToolError as error:
            message = f"{MISSING} {name}: {error}"
            if is_ci() and os.environ.get("PROMETHEUS_PROGRAMS") != "absent":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def promtool(prometheus_programs: Callable[[str], str]) -> Callable[..., str]:
    """Return the way to run promtool: what it prints, or CalledProcessError."""
    program = prometheus_programs("promtool")

    def run(*arguments: str | Path) -> str:
        return subprocess.run(  # noqa: S603 - Debian's program
            [program, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout

    return run


def _of_clients(make: str, target: str) -> Path:
    """Make an environment of clients when it is not there, by one test process for all."""
    command = [make, "-s", "-f", ROOT / "libs/service_conformance/v2.mk", target]
    with one_at_a_time(ROOT / f".local/{target}.lock"):
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own Makefile
    return ROOT / ".venv" / target / "bin/python"
