"""An example as its README says: the commands as they stand, at ports of a test's own."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import ROOT
from stack.access import NacosAccess
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

EXAMPLES = ROOT / "examples"
PORT = re.compile(r"\b803\d\b")
"""The port of an example, in its README and as its default."""
START_SECONDS = 90.0
STOP_SECONDS = 20.0


def commands(example: str) -> list[str]:
    """Return the fenced commands of an example's README, block by block."""
    text = (EXAMPLES / example / "README.md").read_text()
    return re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """An example that runs.

    Attributes:
        port: its port.
        env: the variables of its commands.
        folder: where its commands are typed.
        log: all that it has printed.
        process: what its README starts.
    """

    port: int
    env: Mapping[str, str]
    folder: Path
    log: Path
    process: Process

    def run(self, block: str) -> str:
        """Run a block of commands as it stands, up to the first that fails; return its output."""
        return run(PORT.sub(str(self.port), block), self.folder, self.env)


def run(block: str, folder: Path, env: Mapping[str, str]) -> str:
    """Run commands in a folder, up to the first that fails; return what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(
    command: str,
    service: str,
    nacos: NacosAccess,
    home: Path,
    *,
    folder: Path = ROOT,
    **env: str,
) -> Iterator[Example]:
    """Start an example; it is in Nacos within the context, and ended after it.

    Args:
        command: the line that starts it.
        service: its name in Nacos.
        nacos: the server, and a namespace.
        home: takes its files.
        folder: where the commands are typed.
        env: variables beside those of the server and the port.
    """
    port = free_port()
    given = {
        **clean_environment(),
        **nacos.environment,
        "NACOS_CACHE_DIR": str(home / "cache"),
        "PORT": str(port),
        **env,
    }
    typed = f"cd '{folder}' && exec {PORT.sub(str(port), command.strip())}"
    log = home / f"{service}.log"
    process = Process.start(service, ["bash", "-c", typed], env=given, log=log)

    def is_in_nacos() -> bool:
        assert process.alive, log.read_text()[-4000:]
        return [each["port"] for each in nacos.instances(service)] == [port]

    try:
        wait_until(is_in_nacos, seconds=START_SECONDS, what=f"{service} is in Nacos; log: {log}")
        yield Example(port, given, folder, log, process)
    finally:
        process.stop(grace=STOP_SECONDS)
