"""The stack's parts that need neither Java nor a network."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stack import ROOT
from stack.credentials import read_or_make
from stack.plan import Plan
from stack.ports import NacosPorts, is_free
from stack.process import BOOT, Process
from stack.reaper import MARK, end_all
from stack.waiting import wait_for_all, wait_until


def sleeper(tmp_path: Path) -> Process:
    """A process that does nothing for a minute."""
    argv = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    return Process.start("sleeper", argv, env=os.environ, log=tmp_path / "log")


def test_a_process_is_found_by_its_start_time_too(tmp_path: Path) -> None:
    """The same id with another start time is another process, and is never touched."""
    ours = sleeper(tmp_path)
    stranger = Process("stranger", ours.pid, f"{ours.started}0")
    stranger.kill()

    assert ours.alive
    assert not stranger.alive
    ours.kill()
    assert not ours.alive


@pytest.mark.skipif(not BOOT.exists(), reason="only Linux tells it by the machine's start")
def test_a_correction_of_the_clock_does_not_hide_a_process(tmp_path: Path) -> None:
    """The start of a process is told without the time of day, so it stays the same."""
    ours = sleeper(tmp_path)
    boot, ticks = ours.started.split()
    since_boot = int(ticks) / os.sysconf("SC_CLK_TCK")
    ours.kill()

    assert boot == BOOT.read_text().strip()
    assert time.clock_gettime(time.CLOCK_BOOTTIME) - 60 < since_boot
    assert since_boot < time.clock_gettime(time.CLOCK_BOOTTIME)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """The output of a process is in its log, which nobody else may read."""
    ours = sleeper(tmp_path)
    log = tmp_path / "log"
    wait_until(lambda: log.read_text() == "up\n", seconds=20, what="the process prints")
    ours.stop(grace=5)

    assert stat.S_IMODE(log.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWOTH) == 0


def test_stop_ends_a_frozen_process(tmp_path: Path) -> None:
    """A paused process is resumed and ended."""
    ours = sleeper(tmp_path)
    ours.pause()
    ours.stop(grace=10)

    assert not ours.alive


def test_stop_insists(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed when its grace is over."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    argv = [sys.executable, "-c", f"{code}; print('up', flush=True); time.sleep(60)"]
    ours = Process.start("deaf", argv, env=os.environ, log=tmp_path / "log")
    wait_until(lambda: (tmp_path / "log").read_text() != "", seconds=20, what="it is deaf by now")
    ours.stop(grace=0.2)

    assert not ours.alive


def test_what_a_session_started_ends_with_it() -> None:
    """Everything that carries the session's mark is ended, nothing else."""
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen(argv, env={**os.environ, MARK: "this test"}) as ours,
        subprocess.Popen(argv, env={**os.environ, MARK: "another"}) as other,
    ):
        end_all("this test")

        assert ours.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """The file is the owner's alone, keeps its other lines, and the next reader finds the same."""
    file = tmp_path / ".env"
    file.write_text("PYTHON_IMAGE=mine\n")
    made = read_or_make(file)

    assert read_or_make(file) == made
    assert read_or_make(tmp_path / "other") != made
    assert file.read_text().startswith("PYTHON_IMAGE=mine\n")
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


def test_two_plans_share_no_port() -> None:
    """Stacks with an offset between them fit on one machine; inside one, every port is its own."""

    def ports(plan: Plan) -> list[int]:
        nacos = [port for family in plan.nacos.values() for port in family.all.values()]
        return [*nacos, *(port for part in plan.parts for port in part.ports.values())]

    for members, least in ((1, 11), (3, 21)):
        ours, others = ports(Plan(members=members)), ports(Plan(10_000, members=members))
        assert len(set(ours)) == len(ours) >= least
        assert not set(ours) & set(others)


@pytest.mark.parametrize(("offset", "code"), [("", 0), ("10000", 0), ("many", 2), ("-1", 2)])
def test_an_empty_offset_is_none(offset: str, code: int) -> None:
    """`STACK_OFFSET=` is as if it were absent; what is no number is refused with the bounds."""
    done = subprocess.run(
        [sys.executable, "-m", "stack", "status"],
        env={**os.environ, "STACK_OFFSET": offset},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert ("is no whole number up to" in done.stderr) is bool(code)


def test_a_free_family_is_free() -> None:
    """Each of the five ports of a Nacos can be listened on."""
    assert all(is_free(port) for port in NacosPorts.free().all.values())


def test_waiting_in_vain_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Each condition is printed when it has held; the error names the others."""
    steps = {"sun": lambda: True, "moon": lambda: False}
    with pytest.raises(TimeoutError, match="still not so: moon"):
        wait_for_all(steps, seconds=0.3, meanwhile=lambda: None)

    assert "sun" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("CLUSTER=2",), "invalid choice: 2"),
        (("CLUSTER=3", "NACOS=nacos.example:8848"), "not allowed with argument"),
        (("CLUSTER=3", "NACOS_VERSION=2.3.2"), "a cluster of Nacos 2.3.2 was not tried"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(words: tuple[str, ...], reason: str) -> None:
    """Two servers, a Nacos of one's own beside it, and a release that was not tried are named."""
    done = subprocess.run(
        ["make", "--silent", "up-local", *words],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert reason in done.stderr
