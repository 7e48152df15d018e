"""Processes under measurement: started pinned to a core, their cost read from /proc."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CPU_FIELDS = slice(
    11, 15
)  # utime, stime, cutime, cstime of proc_pid_stat(5), counted after the name


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process and its descendants hold now and have used so far.

    Attributes:
        cpu_seconds: user and system time, children that have ended included.
        system_seconds: the part of `cpu_seconds` spent in the kernel.
        rss_bytes: resident memory of all these processes.
        largest_rss_bytes: resident memory of the largest process, such as a master's worker.
        open_files: file descriptors of all these processes.
    """

    cpu_seconds: float
    system_seconds: float
    rss_bytes: int
    largest_rss_bytes: int
    open_files: int


def end_in_order_on_sigterm() -> None:
    """Have SIGTERM leave every `with` block, so that nothing started stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def family(pid: int) -> Iterator[int]:
    """Yield `pid` and its living descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
        for child in pids:
            yield from family(int(child))


def usage(pid: int) -> Usage:
    """Read the cost of a process tree; members that end meanwhile are left out."""
    user_ticks, system_ticks, resident, open_files = 0, 0, [0], 0
    for member in family(pid):
        proc = Path(f"/proc/{member}")
        try:
            stat = (proc / "stat").read_text().rpartition(") ")[2].split()
            resident.append(int((proc / "statm").read_text().split()[1]) * PAGE_BYTES)
            open_files += sum(1 for _ in (proc / "fd").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            continue
        user, system, ended_user, ended_system = map(int, stat[CPU_FIELDS])
        user_ticks += user + ended_user
        system_ticks += system + ended_system
    system_seconds = system_ticks / TICKS_PER_SECOND
    return Usage(
        cpu_seconds=user_ticks / TICKS_PER_SECOND + system_seconds,
        system_seconds=system_seconds,
        rss_bytes=sum(resident),
        largest_rss_bytes=max(resident),
        open_files=open_files,
    )


class Process:
    """A child process in a session of its own, which ends with this process whatever happens.

    Args:
        argv: program and arguments.
        log: file that receives both output streams.
        core: CPU the process and its children may use; None leaves the choice to the kernel.
        env: added to the environment of this process.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        core: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        pinned = () if core is None else ("taskset", "-c", str(core))
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *pinned, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process id (setpriv and taskset replace themselves by the program)."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Return the exit status; None while the process lives."""
        return self._popen.poll()

    def usage(self) -> Usage:
        """Read the cost of the process and its descendants."""
        return usage(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its children."""
        self._popen.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: the process still runs after `timeout` seconds.
        """
        return self._popen.wait(timeout)

    def stop(self, grace: float = 5.0) -> None:
        """End the process by SIGTERM, then its whole session by SIGKILL after `grace` seconds."""
        if self.returncode is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.wait(grace)

    def listening(self, host: str, port: int, timeout: float) -> None:
        """Wait until `host:port` accepts connections.

        Raises:
            RuntimeError: nobody listened within `timeout` seconds; the text has the end of the log.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.returncode is None:
            try:
                socket.create_connection((host, port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"nothing listens on {host}:{port}; its log ends:\n{self.log_tail()}")

    def log_tail(self, size: int = 2000) -> str:
        """Return the last `size` characters of the log."""
        return self.log.read_text(errors="replace")[-size:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
