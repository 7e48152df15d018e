"""Both model services as real processes, with no Nacos to reach: they must serve all the same."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from service_conformance.service_process import ServiceProcess, free_port, started


@contextmanager
def run(
    package: str, log: Path, environment: dict[str, str], server: Sequence[str] = ()
) -> Iterator[ServiceProcess]:
    """Start `python -m package`, or with the module `server` its application; ready within."""
    port = free_port()
    place = [f"{package}.app:app", "--port", str(port)] if server else [package]
    with started([sys.executable, "-m", *server, *place], log, port, environment) as process:
        yield process


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ServiceProcess]]:
    """Return the process of a package, started at its first use, the same for all tests."""
    started: dict[str, ServiceProcess] = {}
    with ExitStack() as stack:

        def get(package: str) -> ServiceProcess:
            if package not in started:
                log = tmp_path_factory.mktemp(package) / "log"
                started[package] = stack.enter_context(run(package, log, {}))
            return started[package]

        yield get


@pytest.fixture
def classifier(service: Callable[[str], ServiceProcess]) -> ServiceProcess:
    """The classifier's process."""
    return service("classifier")


@pytest.fixture
def kmeans(service: Callable[[str], ServiceProcess]) -> ServiceProcess:
    """The clusterer's process."""
    return service("kmeans")


@pytest.fixture(name="running")
def _running() -> Callable[..., AbstractContextManager[ServiceProcess]]:
    """Return the way to start a process of the test's own."""
    return run
