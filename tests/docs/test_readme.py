"""README.md tells the truth: its commands work as they stand, its links lead somewhere."""

import json
import re
import subprocess
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from stack import ROOT
from stack.local import LocalStack

TEXT = (ROOT / "README.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"^```bash\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    for command in re.split(r"\n+(?=\S)", block.strip())
]
CALLS = [command for command in COMMANDS if command.startswith("curl ")]
TARGETS = [command for command in COMMANDS if command.startswith("make ")]
PICTURE = ROOT / "benchmarks/results/glance.svg"


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the README in a shell, at the root of the repository."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call(stack: LocalStack, command: str) -> str:
    """Run a call against this run's stack, whose ports are moved."""
    gateway = stack.plan.gateway
    moved = command.replace("127.0.0.1:8000", f"127.0.0.1:{gateway.port}")
    done = run(moved.replace("127.0.0.1:8010", f"127.0.0.1:{gateway.admin_port}"))

    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_is_of_a_kind_that_is_tried_here() -> None:
    """No command of the README is left out by the tests below."""
    assert sorted(COMMANDS) == sorted(CALLS + TARGETS)
    assert {"make up", "make test"} <= set(TARGETS)


def test_help_lists_every_target_of_the_readme() -> None:
    """`make help` runs, and explains each target that the README speaks of."""
    told = dict(re.findall(r"^  ([a-z][a-z0-9-]*) +(\S.*)$", run("make help").stdout, re.MULTILINE))
    named = set(re.findall(r"make ([a-z][a-z0-9-]+)", TEXT))

    assert named <= told.keys()


@pytest.mark.nacos
@pytest.mark.timeout(400)
def test_the_calls_work_as_they_stand(local_stack: LocalStack) -> None:
    """The four calls answer what the README says they are about."""
    clusters, prediction, picture, services = (call(local_stack, command) for command in CALLS)
    listed: Any = json.loads(services)

    assert json.loads(clusters)["results"] == [1, 1, 1, 1, 2, 0, 0, 0, 0]
    assert json.loads(prediction)["labels"] == ["acc"]
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
    assert {"skl-kmeans", "car-evaluation"} <= {each["name"] for each in listed}


def test_the_benchmark_picture_shows_the_kept_results() -> None:
    """`make bench-picture` changes nothing: the picture was drawn anew with the results."""
    before = PICTURE.read_text()
    subprocess.run(["make", "--silent", "bench-picture"], cwd=ROOT, check=True)

    assert PICTURE.read_text() == before
    assert f"]({PICTURE.relative_to(ROOT)})" in TEXT


def test_it_is_short() -> None:
    """A newcomer reads at most 120 lines."""
    assert len(TEXT.splitlines()) <= 120


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))))
def test_a_link_leads_somewhere(link: str) -> None:
    """Every relative link names a file or folder of the repository."""
    assert (ROOT / link).exists()
