"""docs/tutorial.md tells the truth: its commands make a model service, in a copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.plan import Plan
from stack.process import clean_environment
from stack.waiting import wait_until

from tests.docs.shell import Shell

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(1500)]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
LANGUAGE = r"^```{}\n(.*?)^```$"
(WRITE, START, CALL, REFUSED, BY_NAME, CHANGE, CHANGED, MISTAKE, WHY, MEND, NEW, REPLACE, CHECK,
 REMOVE) = re.findall(LANGUAGE.format("bash"), PAGE, re.MULTILINE | re.DOTALL)  # fmt: skip
(ANSWER,) = re.findall(LANGUAGE.format("json"), PAGE, re.MULTILINE | re.DOTALL)
MODEL = "services/iris/src/iris/model.py"
LINES = 45
"""Lines that a person writes for a model: one file, of which everything else is made."""


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
def shell(copy: Path, plan: Plan) -> Iterator[Shell]:
    """A newcomer's shell in the copy, whose stack has ports of its own; what it started ends."""
    inherited = {name: os.environ[name] for name in ("NACOS_VERSION",) if name in os.environ}
    env = {**clean_environment(), **inherited, "STACK_OFFSET": str(plan.offset)}
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # of the make that runs the tests
        env.pop(name, None)
    one = Shell(copy, env)
    yield one
    one.end()
    subprocess.run(["make", "down"], cwd=copy, env=env, check=True)


@pytest.fixture
def run(shell: Shell, plan: Plan) -> Callable[[str], str]:
    """Return the way to run a block of the page on this run's stack, whose ports are moved."""

    def run(block: str) -> str:
        for port, moved in ((8000, plan.gateway.port), (8848, plan.nacos_port)):
            block = block.replace(f"127.0.0.1:{port}", f"127.0.0.1:{moved}")
        return shell.run(block)

    return run


@contextmanager
def callers(url: str) -> Iterator[Counter[Any]]:
    """Call the model all the while; count the versions that answer, and other things if any."""
    seen: Counter[Any] = Counter()
    over = Event()
    setosa = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

    def call() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not over.wait(0.02):
                answer = client.post(url, json={"inputs": [setosa]})
                seen[answer.json()["version"] if answer.is_success else answer.text] += 1

    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(call)
        try:
            yield seen
        finally:
            over.set()
        calling.result()


def documents(addresses: Sequence[str]) -> list[Any]:
    """Return what each instance says of its document."""
    answers = [httpx.get(f"http://{each}/readyz", trust_env=False) for each in addresses]
    return [answer.json()["checks"]["config iris"] for answer in answers]


def changes(copy: Path) -> list[str]:
    """Return what git says has changed."""
    command = ["git", "status", "--porcelain"]
    return subprocess.check_output(command, cwd=copy, text=True).splitlines()


def test_from_nothing_to_a_call_by_name_and_back(
    copy: Path,
    plan: Plan,
    run: Callable[[str], str],
    record_property: Callable[[str, object], None],
) -> None:
    """The whole tutorial: nothing is edited by hand but the model, and nothing is left at the end.

    After `make new-service` and `make up-local` the gateway answers by the new name, also the call
    that is offered then, and `make status` names the instances. A document is in force, a bad one
    changes nothing, and a new version loses no call. In `make check-service` the service's own
    tests and those of conformance pass; `make remove-service` leaves the tree as it was.
    """
    began = time.monotonic()
    run(WRITE)
    written = changes(copy)
    written_model = (copy / MODEL).read_text()
    up = run(START)
    answer = json.loads(run(CALL))
    seconds = time.monotonic() - began
    record_property("seconds_to_the_first_answer", seconds)
    print(f"{seconds:.0f} s to the first answer by name")

    assert written == [
        " M deploy/docker-compose.yml",
        " M deploy/kubernetes/autoscaling/autoscaling.yaml",
        " M deploy/kubernetes/base/models.yaml",
        " M deploy/kubernetes/chart/values.yaml",
        " M deploy/nacos-cluster.yml",
        " M deploy/observe/prometheus.yml",
        " M deploy/own-nacos.yml",
        "?? services/iris/",
    ]
    assert len(written_model.splitlines()) <= LINES
    for excerpt in re.findall(LANGUAGE.format("python"), PAGE, re.MULTILINE | re.DOTALL):
        assert excerpt in written_model
    assert answer.items() > json.loads(ANSWER).items()
    assert answer.keys() - json.loads(ANSWER).keys() == {"request_id", "config_version"}
    calls = (line for line in up.splitlines() if line.strip().startswith("curl"))
    offered = next(line for line in calls if "/iris/" in line)
    assert json.loads(run(offered))["labels"] == ["setosa"]
    assert {"iris-1", "iris-2"} <= set(run("make status").split())
    assert {"sepal_length", "30"} <= set(re.findall(r"\w+", run(REFUSED)))
    page = f"http://127.0.0.1:{plan.gateway.port}/iris/"
    assert 'name="sepal_length"' in httpx.get(page, trust_env=False).text
    *instances, model = run(BY_NAME).splitlines()
    addresses = [line.split()[0] for line in instances if " healthy " in line]
    assert len(addresses) == len({"iris-1", "iris-2"})
    assert json.loads(model)["name"] == "iris"

    run(CHANGE)
    wait_until(
        lambda: all(state["source"] == "nacos" for state in documents(addresses)),
        seconds=30,
        what="the document is in force",
    )
    assert json.loads(run(CHANGED))["labels"] == ["unknown"]
    run(MISTAKE)
    wait_until(
        lambda: all("treshold" in str(state["rejected"]) for state in documents(addresses)),
        seconds=30,
        what="both instances refuse the document",
    )
    assert "treshold" in str(json.loads(run(WHY))["checks"]["config iris"]["rejected"])
    assert json.loads(run(CHANGED))["labels"] == ["unknown"]
    run(MEND)
    wait_until(
        lambda: not any(state["rejected"] for state in documents(addresses)),
        seconds=30,
        what="the good document is in force",
    )
    assert json.loads(run(CALL))["labels"] == ["versicolor"]

    run(NEW)
    with callers(f"{page}api/v1/predict") as seen:
        run(REPLACE)
    assert seen.keys() == {"1.0.0", "1.1.0"}
    assert json.loads(run(CALL))["version"] == "1.1.0"

    checked = run(CHECK)
    assert " passed" in checked
    assert "failed" not in checked
    run(REMOVE)
    assert changes(copy) == []
