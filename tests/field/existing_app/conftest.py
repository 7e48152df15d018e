"""An application outside this project, as docs/existing-app.md tells it, with wheels of ours."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.lock import one_at_a_time
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

TEXT = (ROOT / "docs" / "existing-app.md").read_text()
OTHER_SERVERS = Path(__file__).with_name("requirements.txt")
STOP_SECONDS = 30.0


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def pins() -> str:
    """Return the versions of the lock, without their hashes: a wheel of ours has none."""
    lock = (ROOT / "requirements.lock").read_text()
    ours = re.findall(r"^[a-z0-9][\w.\[\]-]*==[\w.+!-]+", lock, flags=re.MULTILINE)
    return "\n".join([*ours, *OTHER_SERVERS.read_text().split()])


@pytest.fixture(scope="session")
def environment(run_folder: Path) -> Path:
    """The environment of the project, made once for a run by the document's own commands."""
    project = run_folder / "greeter"
    with one_at_a_time(run_folder / "greeter.lock"):
        if not (project / "made").exists():
            project.mkdir(exist_ok=True)
            (project / "pins.txt").write_text(pins())
            build, install, *_ = blocks("bash")
            env = {
                **clean_environment(),
                "WHEELS": str(project / "wheels"),
                "PIP_CONSTRAINT": str(project / "pins.txt"),
            }
            others = ".venv/bin/pip install --quiet hypercorn"
            for folder, commands in ((ROOT, build), (project, install + others)):
                subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=env, check=True
                )
            (project / "made").touch()
    return project / ".venv"


@dataclass
class Adopted:
    """A server with the application.

    Attributes:
        port: its port.
        log: all that it has printed.
        process: the process that was started, which may have workers.
    """

    port: int
    log: Path
    process: Process

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: float) -> httpx.Response:
        """Ask it directly."""
        return httpx.get(self.url + path, trust_env=False, **{"timeout": 10, **options})

    def warnings(self, text: str) -> list[str]:
        """Return the lines of its log that have this text."""
        return [line for line in self.log.read_text().splitlines() if text in line]


Adopt = Callable[..., Adopted]


@pytest.fixture
def adopt(environment: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Adopt]:
    """Start `adopt(command, code, nacos)`: a server of the environment, with this `app.py`.

    In the command and in the code 8000 stands for the port. All end with the test, whose report
    shows their logs.
    """
    running: list[Adopted] = []

    def start(
        command: str,
        code: str,
        nacos: NacosAccess | None = None,
        *,
        env: Mapping[str, str] | None = None,
    ) -> Adopted:
        port = free_port()
        folder = tmp_path / str(port)
        folder.mkdir()
        (folder / "app.py").write_text(code.replace("8000", str(port)))
        program, *arguments = command.replace("8000", str(port)).split()
        settings = {
            **clean_environment(),
            **(nacos.environment if nacos else {}),
            "ADVERTISE_IP": "127.0.0.1",
            "NACOS_CACHE_DIR": str(folder / "cache"),
            "PYTHONPATH": str(folder),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
            **(env or {}),
        }
        argv = [str(environment / "bin" / Path(program).name), *arguments]
        log = folder / "log"
        one = Adopted(port, log, Process.start(program, argv, env=settings, log=log))
        running.append(one)
        return one

    yield start
    for one in running:
        one.process.stop(grace=STOP_SECONDS)
        request.node.add_report_section("teardown", str(one.port), one.log.read_text()[-6000:])


def announced(nacos: NacosAccess, name: str = "greeter") -> list[tuple[str, int]]:
    """Return the places that Nacos shows of a service."""
    return [(each["ip"], each["port"]) for each in nacos.instances(name)]


def wait_announced(
    one: Adopted, nacos: NacosAccess, name: str = "greeter", *, seconds: float = 60
) -> None:
    """Return when Nacos shows the application by this name, and nothing else."""

    def shown() -> bool:
        assert one.process.alive, one.log.read_text()
        return announced(nacos, name) == [("127.0.0.1", one.port)]

    wait_until(shown, seconds=seconds, what="the application is in Nacos")
