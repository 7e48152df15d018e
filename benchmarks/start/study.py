"""Starts the last commit of this checkout in a clone of its own, and takes the time."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from stack import ROOT
from stack.compiled import build
from stack.docker import DockerStack
from stack.plan import Plan
from stack.ports import NacosPorts, free_port, is_free

from benchmarks.measure.process import Process

PATIENCE = 600.0
"""Seconds that a start may take before the measurement gives up."""


@dataclass(frozen=True, slots=True)
class Start:
    """A start that was measured; all times in seconds.

    Attributes:
        what: names the start.
        seconds: from the command to its end, when every call through the gateway works.
        steps: each line that the command printed, with the time of it.
    """

    what: str
    seconds: float
    steps: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class GatewayStart:
    """A start of the gateway alone beside a stack that runs; seconds since the process began.

    Attributes:
        ready: `/readyz` says 200.
        answers: a call of a model through the gateway is answered with 200.
        cpu: CPU time of the process up to then.
    """

    ready: float
    answers: float
    cpu: float


class Checkout:
    """A clone of the last commit, and a stack of it on ports that are free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.plan = next(plan for plan in map(Plan, range(10_000, 20_000, 37)) if _is_free(plan))
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)

    def make(self, target: str, what: str = "") -> Start:
        """Run a target of the Makefile and take its time.

        Raises:
            RuntimeError: the target failed; the message has what it printed.
        """
        begun = time.monotonic()
        with subprocess.Popen(
            ["make", "--silent", target],
            cwd=self._folder,
            env={**os.environ, "STACK_OFFSET": str(self.plan.offset)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines = process.stdout or ()
            steps = [(time.monotonic() - begun, line.strip()) for line in lines]
        if process.returncode != 0:
            printed = "\n".join(line for _, line in steps[-20:])
            raise RuntimeError(f"make {target} failed with {process.returncode}:\n{printed}")
        return Start(what, time.monotonic() - begun, steps)

    def contain(self) -> DockerStack | None:
        """Return this checkout's stack in containers, with the base images of ours, if any can run.

        The secrets of ours come along: a stack of the clone must be down.
        """
        kept = ROOT / "deploy" / ".env"
        if kept.exists():
            shutil.copy(kept, self._folder / "deploy" / ".env")
        containers = DockerStack(self.plan)
        return None if containers.obstacle() else containers

    def nacos(self) -> Mapping[str, str]:
        """Return the variables by which a service of this stack finds Nacos."""
        lines = (self._folder / "deploy" / ".env").read_text().splitlines()
        return {
            "NACOS_SERVER_ADDR": f"127.0.0.1:{self.plan.nacos_port}",
            "NACOS_USERNAME": "nacos",
            "NACOS_PASSWORD": dict(line.split("=", 1) for line in lines)["NACOS_PASSWORD"],
        }


def _is_free(plan: Plan) -> bool:
    nacos = NacosPorts(plan.nacos_port, plan.console_port).all.values()
    return all(
        map(is_free, [*nacos, *(port for part in plan.parts for port in part.ports.values())])
    )


@contextmanager
def checkout() -> Iterator[Checkout]:
    """Make a clone; its stack is stopped and all of it removed at the end."""
    with TemporaryDirectory(prefix="bench-start-") as folder:
        clone = Checkout(Path(folder))
        try:
            yield clone
        finally:
            clone.make("down")


def start_gateway(clone: Checkout, log: Path) -> GatewayStart:
    """Start a compiled gateway beside a stack that runs, take its times, and end it."""
    port, admin = free_port(), free_port()
    path, body = next((path, body) for path, body in clone.plan.calls if "predict" in path)
    env = {
        **clone.nacos(),
        "PYTHONPATH": str(build()),
        "HOST": "127.0.0.1",
        "ADVERTISE_IP": "127.0.0.1",
        "SERVICE_NAME": "gateway-start",
        "PORT": str(port),
        "GATEWAY_ADMIN_PORT": str(admin),
        "DRAIN_SECONDS": "0",
    }
    kind = {"content-type": "application/json"}
    begun = time.monotonic()
    with (
        Process([sys.executable, "-m", "gateway"], log=log, env=env) as gateway,
        httpx.Client(timeout=5, trust_env=False) as http,
    ):
        ready = _until(begun, lambda: http.get(f"http://127.0.0.1:{admin}/readyz"))
        url = f"http://127.0.0.1:{port}{path}"
        answers = _until(begun, lambda: http.post(url, content=body, headers=kind))
        return GatewayStart(ready, answers, gateway.usage().cpu_seconds)


def _until(begun: float, ask: Callable[[], httpx.Response]) -> float:
    """Return the seconds since `begun` at which an answer was a success."""
    while time.monotonic() < begun + PATIENCE:
        try:
            if ask().is_success:
                return time.monotonic() - begun
        except httpx.HTTPError:
            pass
        time.sleep(0.01)
    raise TimeoutError(f"no success within {PATIENCE:g} s")
