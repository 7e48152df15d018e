"""A model service of one's own: made, started, called by name, checked, removed; in a copy."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from stack import ROOT
from stack.plan import Plan

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(1500)]
NAME = "iris"
LINES = 45
"""Lines that a person writes for a model: one file, of which everything else is made."""

Make = Callable[..., str]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the tree as a repository of its own, without what it has built."""
    target = tmp_path / "copy"
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "copy")):
        subprocess.run(["git", *command], cwd=target, check=True)
    return target


@pytest.fixture
def make(copy: Path, plan: Plan) -> Iterator[Make]:
    """Return the way to run make in the copy, as a newcomer does; what it started ends."""
    env = {**os.environ, "STACK_OFFSET": str(plan.offset)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["make", "--silent", *arguments],
            cwd=copy,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout

    yield run
    run("down")


def changes(copy: Path) -> list[str]:
    """Return what git says has changed."""
    command = ["git", "status", "--porcelain"]
    return subprocess.check_output(command, cwd=copy, text=True).splitlines()


def test_from_nothing_to_a_call_by_name(
    copy: Path, make: Make, plan: Plan, record_property: Callable[[str, object], None]
) -> None:
    """`make new-service`, `make up-local`: the gateway answers by the new name.

    Its own tests and those of conformance pass, `make status` names it, and `make remove-service`
    leaves the tree as it was. No other file was edited by hand.
    """
    began = time.monotonic()
    make("new-service", f"NAME={NAME}")
    written = changes(copy)
    model = (copy / f"services/{NAME}/src/{NAME}/model.py").read_text().splitlines()
    up = make("up-local")
    url = f"http://127.0.0.1:{plan.gateway.port}/{NAME}"
    setosa = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    answer = httpx.post(f"{url}/api/v1/predict", json={"inputs": [setosa]}, timeout=30)
    seconds = time.monotonic() - began
    record_property("seconds_to_the_first_answer", seconds)
    print(f"{seconds:.0f} s to the first answer by name")
    status = make("status")
    calls = (line for line in up.splitlines() if line.strip().startswith("curl"))
    offered = next(line for line in calls if f"/{NAME}/" in line)
    pasted = json.loads(subprocess.check_output(["bash", "-c", offered]))
    make("down")
    checked = make("check-service", f"NAME={NAME}")
    make("remove-service", f"NAME={NAME}")

    assert answer.json()["labels"] == pasted["labels"] == ["setosa"]
    assert written == [
        " M deploy/docker-compose.yml",
        " M deploy/kubernetes/autoscaling/autoscaling.yaml",
        " M deploy/kubernetes/base/models.yaml",
        " M deploy/kubernetes/chart/values.yaml",
        " M deploy/own-nacos.yml",
        f"?? services/{NAME}/",
    ]
    assert len(model) <= LINES
    assert {f"{NAME}-1", f"{NAME}-2"} <= set(status.split())
    assert " passed" in checked
    assert "failed" not in checked
    assert changes(copy) == []
