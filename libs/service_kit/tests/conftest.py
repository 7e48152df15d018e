"""Service processes for the runner's tests."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from stack.ports import free_port

PROCESS = Path(__file__).with_name("process.py")
PATIENCE_SECONDS = 30.0


@dataclass
class Running:
    """A process that a test started, of `process.py` unless the test named another program."""

    port: int
    events_file: Path
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The address at which it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[str]:
        """The lines that it noted so far."""
        return self.events_file.read_text().splitlines() if self.events_file.exists() else []

    def terminate(self) -> None:
        """Tell it to stop."""
        self.popen.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        return self.popen.wait(PATIENCE_SECONDS)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds or the process has ended; fail if neither in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition() and self.popen.poll() is None:
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.01)  # noqa: TID251 - the test's own thread, which polls


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def served() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Serve what a class of handlers answers until the test ends; gives its address."""
    with ExitStack() as stack:

        def serve(handler: type[BaseHTTPRequestHandler]) -> str:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            stack.callback(serving.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start processes with more environment; all are ended with the test."""
    running: list[Running] = []

    def start_one(
        *, program: Path = PROCESS, announced: bool = True, **environment: str
    ) -> Running:
        port = int(environment.get("PORT") or free_port())
        events = tmp_path / f"events-{len(running)}"
        env = {
            "PATH": os.environ["PATH"],
            "SERVICE_NAME": "test",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DRAIN_SECONDS": "0.3",
            "EVENTS": str(events),
            **environment,
        }
        popen = subprocess.Popen(
            [sys.executable, str(program)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        one = Running(port, events, popen)
        running.append(one)
        if announced:
            one.wait_for(lambda: "announce listening" in one.events)
        return one

    yield start_one
    for one in running:
        one.popen.kill()
        one.popen.communicate()
