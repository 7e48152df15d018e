"""A library at work in a process of its own, and the events that it printed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure.process import Process
from benchmarks.nacos.peers import OURS, Peer

LOOK_SECONDS = 0.002
Event = dict[str, Any]


class Subject:
    """A process that drives one library; its output is read as it comes."""

    def __init__(
        self, python: Path, program: Path, *arguments: str, env: Mapping[str, str], home: Path
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.events: list[Event] = []
        self._read = 0
        self.process = Process(
            [python, program, *arguments],
            log=home / "output.log",
            env={**env, "HOME": str(home), "PYTHONUNBUFFERED": "1"},
            cwd=home,
        )

    def wait(
        self, event: str, seconds: float, *, where: Callable[[Event], bool] = lambda _: True
    ) -> Event | None:
        """Return the first event of this name, printed before or within `seconds`; else None.

        Raises:
            RuntimeError: the library failed or the process ended.
        """
        deadline = time.monotonic() + seconds
        seen = 0
        while True:
            self._take()
            for each in self.events[seen:]:
                if each["event"] == event and where(each):
                    return each
                if each["event"] == "failed":
                    raise RuntimeError(each["error"])
            seen = len(self.events)
            if self.process.returncode is not None:
                raise RuntimeError(f"ended by itself: {self.process.log_tail(400)}")
            if time.monotonic() > deadline:
                return None
            time.sleep(LOOK_SECONDS)

    def need(self, event: str, seconds: float) -> Event:
        """Return the event, which must come within `seconds`."""
        found = self.wait(event, seconds)
        if found is None:
            raise RuntimeError(f"no {event!r} within {seconds:g} s")
        return found

    def stop(self) -> None:
        """End the process."""
        self.process.stop()

    def _take(self) -> None:
        with self.process.log.open("rb") as log:
            log.seek(self._read)
            new, newline, _ = log.read().rpartition(b"\n")
        self._read += len(new) + len(newline)
        for line in new.splitlines():
            if line.startswith(b'{"at"'):
                self.events.append(json.loads(line))


def environment_of(peer: Peer, folder: Path) -> Path:
    """Return the Python of a virtual environment with the peer's pinned requirements.

    Raises:
        RuntimeError: the environment cannot be made here; the text says why.
    """
    if peer.name == OURS:
        return Path(sys.executable)
    python = folder / peer.name / "bin" / "python"
    done = folder / peer.name / "installed.txt"
    if not (done.exists() and done.read_text() == peer.requirements.read_text()):
        shutil.rmtree(folder / peer.name, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--python", _interpreter(peer.python), folder / peer.name)
        _run(uv, "pip", "sync", "--quiet", "--python", python, peer.requirements)
        done.write_text(peer.requirements.read_text())
    return python


def _interpreter(version: str) -> str | Path:
    """Return a Python of that minor version: this one, one on PATH, or one that pyenv keeps."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    return kept[-1] if kept else f"python{version}"


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(" ".join(done.stderr.split())[:300])
