"""A process that a later command finds again and never mistakes for another process."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """A running (or ended) process.

    Attributes:
        name: its name in messages.
        pid: its process id.
        started: when it began, as `start_of` tells. With the pid it names one process for ever:
            the system gives a pid away again, but never with the same start.
    """

    name: str
    pid: int
    started: str

    @classmethod
    def start(
        cls, name: str, argv: Sequence[str], *, env: Mapping[str, str], log: Path
    ) -> "Process":
        """Start `argv` in a session of its own: Ctrl-C at our terminal spares it.

        Its output is appended to `log`, which only the owner can read.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        # Not subprocess.Popen: it warns when it is collected before its child has ended.
        pid = os.posix_spawnp(
            argv[0],
            list(argv),
            dict(env),
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        return cls(name, pid, start_of(pid))

    @property
    def alive(self) -> bool:
        """True while this very process runs (a zombie does not run)."""
        found = self._find()
        return found is not None and found.status() != psutil.STATUS_ZOMBIE

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the process has ended."""
        found = self._find()
        if found is not None:
            found.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended, at most `seconds`; return whether it has."""
        found = self._find()
        if found is None:
            return True
        try:
            found.wait(seconds)
        except psutil.TimeoutExpired:
            return False
        return True

    def stop(self, *, grace: float) -> None:
        """End the process with SIGTERM, and after `grace` seconds with SIGKILL."""
        self.resume()
        self.signal(signal.SIGTERM)
        if not self.wait(grace):
            self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def pause(self) -> None:
        """Freeze the process: its connections stay open and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self.signal(signal.SIGCONT)

    def _find(self) -> psutil.Process | None:
        try:
            found = psutil.Process(self.pid)
            return found if start_of(self.pid) == self.started else None
        except psutil.NoSuchProcess:
            return None


def start_of(pid: int) -> str:
    """Return when a process began, told in a way that does not change while it lives.

    Linux keeps the ticks since the machine's start; as a time of day they change with every
    correction of the machine's clock.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    if not BOOT.exists():
        return str(psutil.Process(pid).create_time())
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    # The command before the last ")" may have any character; 19 fields after the state is the time.
    ticks = stat.rpartition(")")[2].split()[19]
    return f"{BOOT.read_text().strip()} {ticks}"


def clean_environment() -> dict[str, str]:
    """Return our environment without variables that would configure a part of the stack."""
    ours = ("NACOS_", "SERVICE_", "ADVERTISE_", "DRAIN_", "LOG_", "GATEWAY_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in {"HOST", "PORT"}
    }
