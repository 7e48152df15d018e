"""A service as a process of its own, with no Nacos to reach: it must serve all the same."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from service_conformance.surroundings import inherited

START_SECONDS = 90.0
NOBODY = "127.0.0.1:9"
"""An address where no Nacos listens (the discard port)."""


@dataclass
class ServiceProcess:
    """A process of a service."""

    url: str
    log: Path
    popen: subprocess.Popen[bytes] = field(repr=False)

    @property
    def text(self) -> str:
        """All that the process has logged."""
        return self.log.read_text()

    def memory(self, kind: str = "VmRSS") -> int:
        """Return the resident bytes of the process; `VmHWM` is their peak (proc(5), status)."""
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(kind))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Have `VmHWM` begin again from what is resident now (proc(5), clear_refs)."""
        Path(f"/proc/{self.popen.pid}/clear_refs").write_text("5")


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def environment(folder: Path, port: int, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process whose files are in `folder`."""
    return {
        **inherited(),
        "HOME": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        "NACOS_SERVER_ADDR": NOBODY,
        "NACOS_CACHE_DIR": str(folder / "cache"),
        **more,
    }


@contextmanager
def started(
    command: Sequence[str], log: Path, port: int, more: Mapping[str, str]
) -> Iterator[ServiceProcess]:
    """Start a service; ready within the context, and ended after it.

    Args:
        command: starts it.
        log: takes what it prints; its other files are beside that.
        port: where it listens.
        more: variables of its environment, beside those of every test.

    Raises:
        RuntimeError: the service ended, or was not ready in time; the message has its log.
    """
    with log.open("wb") as out:
        env = environment(log.parent, port, more)
        popen = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    one = ServiceProcess(f"http://127.0.0.1:{port}", log, popen)
    try:
        _wait_until_ready(one)
        yield one
    finally:
        popen.terminate()
        popen.wait(START_SECONDS)


def _wait_until_ready(one: ServiceProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(one.url):
        if one.popen.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{one.url} does not become ready:\n{one.text}")
        time.sleep(0.05)  # noqa: TID251 - the test's own thread, which polls


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False
