"""The gateway's compiled form: its wheel and failover's, built and unpacked in one folder.

It is built once for each state of the sources, by a process of its own while the rest of the stack
starts. `python -m stack.compiled` builds it where it is missing and prints the folder, which
PYTHONPATH puts before the sources.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from stack import ROOT, STATE
from stack.lock import one_at_a_time

MEMBERS = ("libs/failover", "services/gateway")
"""The members of the workspace whose modules are compiled."""
TYPED = (*MEMBERS, "libs/service_kit")
"""The members whose sources the compiler reads."""
HOOK = ROOT / "deploy" / "compiled_wheel.py"
KEPT = 4
"""States of the sources whose compiled form is kept."""


class NotCompiledError(RuntimeError):
    """There is no compiled form; the message says why."""


def folder() -> Path:
    """Return where the compiled form of the present sources is, or will be when it is built."""
    files = [HOOK]
    for member in TYPED:
        files.append(ROOT / member / "pyproject.toml")
        files += sorted((ROOT / member / "src").rglob("*.py"))
        files += sorted((ROOT / member / "src").rglob("*.c"))
    tools = (version("mypy"), sys.version, sysconfig.get_platform(), os.environ.get("CC"))
    digest = hashlib.sha256(f"{tools}\n".encode())
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT)} {content}\n".encode())
    return STATE / f"compiled-{digest.hexdigest()[:12]}"


def build() -> Path:
    """Return the folder of the compiled form of the present sources, built if it was missing.

    Raises:
        NotCompiledError: GATEWAY_COMPILED=0 forbids it, this machine lacks a compiler, the compiler
            failed, or a source changed meanwhile.
    """
    if os.environ.get("GATEWAY_COMPILED") == "0":
        raise NotCompiledError("GATEWAY_COMPILED=0")
    with one_at_a_time(STATE / "compiled.lock"):
        done = folder()
        if not done.exists():
            partial = STATE / "compiled.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)  # or both builds may want to make it, and one fails
            _build_wheels(partial)
            if folder() != done:
                raise NotCompiledError("the sources changed while they were compiled")
            for wheel in partial.glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(partial)
            partial.rename(done)
        os.utime(done)
        _forget_all_but_newest()
    return done


def _build_wheels(output: Path) -> None:
    """Build the wheels at the same time: on two cores that takes as long as the larger one."""
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    builds = {}
    for member in MEMBERS:
        with _log_of(member).open("w") as log:
            builds[member] = subprocess.Popen(
                [*argv, "--directory", str(output)],
                cwd=ROOT / member,
                env={**os.environ, "GATEWAY_COMPILED": "1"},
                stdout=log,
                stderr=log,
            )
    failed = [_log_of(member) for member, process in builds.items() if process.wait() != 0]
    if failed:
        reason = _last_line(failed[0].read_text())
        raise NotCompiledError(f"{reason} (see {failed[0].relative_to(ROOT)})")


def _log_of(member: str) -> Path:
    return STATE / f"compiled-{Path(member).name}.log"


def _forget_all_but_newest() -> None:
    found = [path for path in STATE.glob("compiled-*") if path.is_dir()]
    for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old)


class Compilation:
    """A build in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def runs(self) -> bool:
        """Whether the build has not ended yet."""
        return self._process.poll() is None

    def folder(self) -> Path | None:
        """Wait for the end and return the folder.

        None where the interpreted form is to run, and one line has said why.
        """
        out, reason = self._process.communicate()
        if self._process.returncode == 0:
            return Path(out.strip())
        print(f"gateway: interpreted, because {_last_line(reason)}", flush=True)
        return None


@contextmanager
def in_background() -> Iterator[Compilation]:
    """Begin to build where that is to be done; a build that runs at the block's end is ended."""
    if os.environ.get("GATEWAY_COMPILED") != "0" and not folder().exists():
        print("gateway: compiling its data path, once for this state of the sources", flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", "stack.compiled"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Compilation(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "its build ended"


if __name__ == "__main__":
    try:
        print(build())
    except NotCompiledError as error:
        sys.exit(str(error))
