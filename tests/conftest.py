"""Real parts for the tests above single packages: a Nacos server and service processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.local import LocalStack
from stack.lock import one_at_a_time
from stack.nacos import NacosServer
from stack.plan import Plan
from stack.ports import claim, free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class Service:
    """A running service process.

    `port` answers readiness and metrics; for the gateway that is the admin port, and `data_port`
    is where callers knock.
    """

    package: str
    port: int
    data_port: int
    env: Mapping[str, str]
    log: Path
    process: Process = field(init=False)

    @property
    def url(self) -> str:
        """Where its callers find it."""
        return f"http://127.0.0.1:{self.data_port}"

    @property
    def admin_url(self) -> str:
        """Where its operators find it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process; again after it has ended."""
        argv = [sys.executable, "-m", self.package]
        self.process = Process.start(self.package, argv, env=self.env, log=self.log)

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when `/readyz` says 200."""
        wait_until(
            lambda: self.readyz()[0] == httpx.codes.OK,
            seconds=seconds,
            what=f"{self.package} is ready; last: {self.readyz()}",
        )

    def readyz(self) -> tuple[int, Any]:
        """Status and body of `/readyz`; status 0 when nothing answers."""
        if not self.process.alive:
            pytest.fail(f"{self.package} ended by itself:\n{self.log.read_text()[-4000:]}")
        try:
            answer = httpx.get(f"{self.admin_url}/readyz", timeout=2, trust_env=False)
        except httpx.HTTPError as error:
            return 0, str(error)
        return answer.status_code, answer.json()

    def metrics(self) -> str:
        """The text of `/metrics`."""
        return httpx.get(f"{self.admin_url}/metrics", timeout=5, trust_env=False).text

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM) and return at once."""
        self.process.signal(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it: its sockets stay open and nothing is answered."""
        self.process.pause()

    def resume(self) -> None:
        """End a pause."""
        self.process.resume()


StartService = Callable[..., Service]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository's files, to change, which shares this run's environment.

    They are older than the environment, so that make does not set it up again; and if make tried,
    it would fail, for that would lead the whole run into the copy.
    """
    folder = tmp_path / "checkout"
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("benchmarks/results", "tests/")) or name.endswith(".mk"):
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy, follow_symlinks=False)
    (folder / "deploy" / "setup.sh").write_text("echo the copy is not set up; exit 1\n")
    for copy in folder.rglob("*"):
        os.utime(copy, (0, 0), follow_symlinks=False)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run, the same for all workers of a parallel run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def nacos_server(run_folder: Path) -> NacosAccess:
    """A Nacos server for the whole run: the one NACOS_SERVER_ADDR names, or one of our own.

    The first worker that needs our own starts it for all. It ends with the run, as all does that
    the run has started.
    """
    if address := os.environ.get("NACOS_SERVER_ADDR"):
        return NacosAccess(address, os.environ["NACOS_USERNAME"], os.environ["NACOS_PASSWORD"])
    started = run_folder / "nacos.json"
    with one_at_a_time(run_folder / "nacos.lock"):
        if not started.exists():
            server = NacosServer(run_folder / "nacos")
            server.start()
            server.wait_ready()
            access = server.access
            started.write_text(json.dumps([access.server_addr, access.username, access.password]))
    return NacosAccess(*json.loads(started.read_text()))


@pytest.fixture
def nacos(nacos_server: NacosAccess) -> NacosAccess:
    """The server with an empty namespace of this test's own."""
    return nacos_server.new_namespace(f"test-{os.urandom(6).hex()}")


@pytest.fixture
def own_nacos(tmp_path: Path) -> Iterator[NacosServer]:
    """A server of this test's own, to stop, kill and freeze; not started yet."""
    server = NacosServer(tmp_path / "nacos")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The whole stack as `make up-local` starts it, on ports of its own, for the whole run.

    A test that ends a process starts it again (`up`) before it ends itself. All tests of the stack
    run in one worker.
    """
    stack = LocalStack(free_plan(), tmp_path_factory.mktemp("stack"))
    stack.up()
    yield stack
    stack.down()


@pytest.fixture
def plan() -> Plan:
    """A plan of this test's own, every port of it free."""
    return free_plan()


@pytest.fixture(scope="session")
def plan_of_three() -> Plan:
    """Ports for a stack with a Nacos cluster of three."""
    return free_plan(members=3)


@pytest.fixture(scope="session")
def swarm_plan() -> Plan:
    """Ports for a stack in a swarm."""
    return free_plan()


@pytest.fixture(scope="session")
def docker_plan() -> Plan:
    """Ports for the containers of this run."""
    return free_plan()


def free_plan(members: int = 1) -> Plan:
    """Return a plan of which every port is free and claimed for this process."""

    def is_ours(plan: Plan) -> bool:
        nacos = [port for ports in plan.nacos.values() for port in ports.all.values()]
        services = [port for part in plan.parts for port in part.ports.values()]
        return claim(*nacos, *services)

    offsets = random.sample(range(10_000, 20_000), 100)
    plans = (Plan(offset, members=members) for offset in offsets)
    return next(plan for plan in plans if is_ours(plan))


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartService]:
    """Start real service processes: `service("kmeans", nacos)`, ready when it returns.

    `env` adds variables; `ready=False` returns at once. All end with the test, and a failed test
    shows their logs.
    """
    running: list[Service] = []

    def start(
        package: str,
        nacos: NacosAccess,
        *,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> Service:
        port = free_port()
        data_port = free_port() if package == "gateway" else port
        settings = {
            **clean_environment(),
            **nacos.environment,
            "HOST": "127.0.0.1",
            "ADVERTISE_IP": "127.0.0.1",
            "PORT": str(data_port),
            "DRAIN_SECONDS": "0.5",
            **({"GATEWAY_ADMIN_PORT": str(port)} if package == "gateway" else {}),
            **(env or {}),
        }
        log = tmp_path / f"{package}-{len(running)}.log"
        one = Service(package, port, data_port, settings, log)
        one.start()
        running.append(one)
        if ready:
            one.wait_ready()
        return one

    yield start
    for one in running:
        one.resume()
        one.terminate()
    for one in running:
        one.process.stop(grace=STOP_SECONDS)
        request.node.add_report_section("teardown", one.log.name, one.log.read_text()[-6000:])
