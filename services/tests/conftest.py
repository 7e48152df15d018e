"""Both model services as real processes, with no Nacos to reach: they must serve all the same."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from stack.ports import free_port
from stack.process import clean_environment

START_SECONDS = 90.0
NOBODY = "127.0.0.1:9"
"""An address where no Nacos listens (the discard port)."""


@dataclass
class Running:
    """A service process."""

    package: str
    url: str
    log: Path
    popen: subprocess.Popen[bytes] = field(repr=False)

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text()


@contextmanager
def run(
    package: str, log: Path, environment: dict[str, str], server: Sequence[str] = ()
) -> Iterator[Running]:
    """Start `python -m package`, or with the module `server` its application; ready within."""
    port = free_port()
    env = {
        **clean_environment(),
        "HOME": str(log.parent),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        "NACOS_SERVER_ADDR": NOBODY,
        "NACOS_CACHE_DIR": str(log.parent / "cache"),
        **environment,
    }
    with log.open("wb") as out:
        place = [f"{package}.app:app", "--port", str(port)] if server else [package]
        command = [sys.executable, "-m", *server, *place]
        popen = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    one = Running(package, f"http://127.0.0.1:{port}", log, popen)
    try:
        _wait_until_ready(one)
        yield one
    finally:
        popen.terminate()
        popen.wait(START_SECONDS)


def _wait_until_ready(one: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert one.popen.poll() is None, one.text
        assert time.monotonic() < deadline, one.text
        try:
            if httpx.get(one.url + "/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # noqa: TID251 - the test's own thread, which polls


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Running]]:
    """Return the process of a package, started at its first use, the same for all tests."""
    started: dict[str, Running] = {}
    with ExitStack() as stack:

        def get(package: str) -> Running:
            if package not in started:
                log = tmp_path_factory.mktemp(package) / "log"
                started[package] = stack.enter_context(run(package, log, {}))
            return started[package]

        yield get


@pytest.fixture
def classifier(service: Callable[[str], Running]) -> Running:
    """The classifier's process."""
    return service("classifier")


@pytest.fixture
def kmeans(service: Callable[[str], Running]) -> Running:
    """The clusterer's process."""
    return service("kmeans")


@pytest.fixture(name="running")
def _running() -> Callable[..., AbstractContextManager[Running]]:
    """Return the way to start a process of the test's own."""
    return run
