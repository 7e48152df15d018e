"""Both model services, and one that is declared in a page of code, behind a gateway."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

CLIENTS = Path(__file__).with_name("clients")
DECLARED = ROOT / "libs" / "model_service" / "tests"
SERVICES = {"classifier": "car-evaluation", "kmeans": "skl-kmeans", "iris": "iris"}
START_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    """The services by their names, all at one address.

    Attributes:
        url: of the gateway.
        client: asks the gateway; it asks for no compression of its own accord.
    """

    url: str
    client: httpx.Client

    def ask(self, path: str, **asked: Any) -> httpx.Response:
        """POST something."""
        return self.client.post(path, **asked)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a gateway and the services, which find each other by a Nacos in memory."""
    folder, port = tmp_path_factory.mktemp("inference"), free_port()
    with ExitStack() as stack:
        nacos = stack.enter_context(nacos_in_memory())
        for package in ("gateway", *SERVICES):
            env = {
                **clean_environment(),
                **nacos,
                "HOST": "127.0.0.1",
                "ADVERTISE_IP": "127.0.0.1",
                "PORT": str(port if package == "gateway" else free_port()),
                "GATEWAY_ADMIN_PORT": str(free_port()),
                "DRAIN_SECONDS": "0",
                "PYTHONPATH": str(DECLARED),
            }
            argv = [sys.executable, "-m", package]
            process = Process.start(package, argv, env=env, log=folder / f"{package}.log")
            stack.callback(process.stop, grace=10)
        url = f"http://127.0.0.1:{port}"
        plain = {"Accept-Encoding": "identity"}
        client = stack.enter_context(
            httpx.Client(base_url=url, headers=plain, timeout=60, trust_env=False)
        )
        for name in SERVICES.values():
            wait_until(
                lambda name=name: _answers(client, name),
                seconds=START_SECONDS,
                what=f"the gateway finds {name}; logs: {folder}",
            )
        yield Served(url, client)


@contextmanager
def nacos_in_memory() -> Iterator[dict[str, str]]:
    """Run a Nacos in memory, in a process of its own; yield its clients' environment."""
    argv = [sys.executable, "-m", "tests.nacos_wire", "3.0.3"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate()


def _answers(client: httpx.Client, name: str) -> bool:
    try:
        return client.get(f"/{name}/readyz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def by_client(served: Served) -> Callable[..., Any]:
    """Return the way to run a public client: its program prints what it understood as JSON."""

    def run(python: Path, program: str) -> Any:
        done = subprocess.run(
            [python, CLIENTS / program, served.url],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
