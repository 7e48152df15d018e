"""The stack's commands, as a newcomer types them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psutil
import pytest
from stack import ROOT, STATE
from stack.jars import MissingToolError
from stack.observe import prometheus
from stack.plan import HOST, Plan
from stack.ports import is_free

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]


def stack(plan: Plan, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the stack's commands on a plan's ports."""
    return subprocess.run(
        [sys.executable, "-m", "stack", "--offset", str(plan.offset), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def make(plan: Plan, target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile as a newcomer does, on a plan's ports."""
    return subprocess.run(
        ["make", "--silent", target, *variables],
        cwd=ROOT,
        env={**os.environ, "STACK_OFFSET": str(plan.offset)},
        capture_output=True,
        text=True,
        check=False,
    )


def logs_until(plan: Plan, names: set[str]) -> set[str]:
    """Which of the names `make logs` has a log of; it follows them, so it is interrupted."""
    with subprocess.Popen(
        ["make", "--silent", "logs"],
        cwd=ROOT,
        env={**os.environ, "STACK_OFFSET": str(plan.offset)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as logs:
        shown: set[str] = set()
        for line in logs.stdout or ():
            shown |= {name for name in names if line.startswith("==> ") and name in line}
            if shown == names:
                break
        os.killpg(logs.pid, signal.SIGINT)
    return shown


def has_prometheus() -> bool:
    """Tell whether OBSERVE=1 can be had here."""
    try:
        prometheus.program("prometheus")
    except MissingToolError:
        return False
    return True


@pytest.fixture
def cleared(plan: Plan) -> Iterator[Plan]:
    """Free ports; what was started on them ends with the test."""
    yield plan
    stack(plan, "down")


def test_from_up_to_down(cleared: Plan) -> None:
    """`make up-local` prints a call of each model that work pasted; `make down` leaves nothing.

    It prints the page of all APIs, too, which lists both. Between them `make status` names every
    process and `make logs` shows the log of each. With OBSERVE=1 Prometheus is one of them, where
    it is to be had.
    """
    observe = ["OBSERVE=1"] if has_prometheus() else []
    up = make(cleared, "up-local", *observe)
    assert up.returncode == 0, up.stdout + up.stderr
    calls = [line for line in up.stdout.splitlines() if line.strip().startswith("curl")]
    answers = [json.loads(subprocess.check_output(["bash", "-c", call])) for call in calls]
    (page,) = [line.split()[-1] for line in up.stdout.splitlines() if line.startswith("  all APIs")]
    apis = httpx.get(page, trust_env=False, follow_redirects=True).text
    status = make(cleared, "status")
    kept = STATE / f"stack-{cleared.offset}" / "processes.json"
    started = {each["name"]: each["pid"] for each in json.loads(kept.read_text())}
    logs = logs_until(cleared, set(started))
    down = make(cleared, "down")

    assert [answers[0]["labels"], answers[1]["clusters"]] == [["acc"], 3]
    assert page.startswith(f"http://{HOST}:{cleared.gateway.port}/")
    assert all(service.name in apis for service in cleared.services)
    assert (STATE / f"stack-{cleared.offset}" / "cache").is_dir()  # no other stack's documents
    assert len(started) == len(cleared.parts) + 1 + len(observe)
    assert ("prometheus" in started) is bool(observe)
    assert (f":{cleared.prometheus_port}/alerts" in up.stdout) is bool(observe)
    assert logs == set(started)
    assert all(name in status.stdout for name in started)
    assert down.returncode == 0
    assert [name for name, pid in started.items() if psutil.pid_exists(pid)] == []
    assert all(is_free(port) for part in cleared.parts for port in part.ports.values())


def test_down_without_up_says_so(cleared: Plan) -> None:
    """Nothing to stop is no error."""
    done = stack(cleared, "down")

    assert (done.returncode, done.stdout) == (0, "down: nothing ran\n")


def test_help_names_every_command() -> None:
    """`--help` is enough to find one's way."""
    told = stack(Plan(), "--help").stdout

    assert all(command in told for command in ("up", "down", "logs", "status"))


def test_a_reused_process_id_is_left_in_peace(cleared: Plan) -> None:
    """A process that only has the number of one of ours is not ended."""
    home = STATE / f"stack-{cleared.offset}"
    home.mkdir(parents=True, exist_ok=True)
    ours = {"name": "gateway", "pid": os.getpid(), "started": 1.0}
    (home / "processes.json").write_text(json.dumps([ours]))

    assert stack(cleared, "down").stdout == "down: nothing ran\n"
