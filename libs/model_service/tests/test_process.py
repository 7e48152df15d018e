"""A declared model as a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from service_kit import bind

EXAMPLE = Path(__file__).with_name("iris.py")
SECONDS = 90.0
OTHER = """
from iris import Iris, SETOSA
from model_service import GoldenRow, main

class Other(Iris):
    {changes}

main(Other)
"""


def free_port() -> int:
    with bind("127.0.0.1", 0)[0] as listening:
        return int(listening.getsockname()[1])


def environment(path: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH",)}
    own = {
        "HOME": str(path),
        "HOST": "127.0.0.1",
        "DRAIN_SECONDS": "0",
        "NACOS_SERVER_ADDR": "127.0.0.1:9",
        "NACOS_CACHE_DIR": str(path / "cache"),
        "PYTHONPATH": str(EXAMPLE.parent),
    }
    return kept | own | more


@contextmanager
def process(path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the example; ready within the context."""
    port = free_port()
    command = [sys.executable, str(EXAMPLE)]
    with (path / "log").open("wb") as log:
        popen = subprocess.Popen(
            command, env=environment(path, PORT=str(port)), stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + SECONDS
    try:
        while not is_ready(url):
            assert popen.poll() is None, (path / "log").read_text()
            assert time.monotonic() < deadline, (path / "log").read_text()
        yield popen, url
    finally:
        popen.kill()
        popen.wait(SECONDS)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", timeout=5).is_success
    except httpx.TransportError:
        time.sleep(0.05)  # noqa: TID251 - the test's own thread, which polls
        return False


def ended(path: Path, changes: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the example with changes; it is expected to end by itself."""
    command = [sys.executable, "-c", OTHER.format(changes=changes)]
    env = environment(path, PORT=str(free_port()), **more)
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_the_example_serves_until_it_is_told_to_stop(tmp_path):
    """`python iris.py` answers by JSON and V2, has page, docs and metrics, drains, exits with 0."""
    with process(tmp_path) as (popen, url), httpx.Client(base_url=url, timeout=30) as client:
        description = client.get("/openapi.json").json()
        content = description["paths"]["/api/v1/predict"]["post"]["requestBody"]["content"]
        example = content["application/json"]["schema"]["examples"][0]
        answer = client.post("/api/v1/predict/", json=example)
        pages = [client.get(path).status_code for path in ("/", "/docs", "/metrics", "/livez")]
        states = client.get("/readyz").json()["checks"]
        popen.send_signal(signal.SIGTERM)
        code = popen.wait(SECONDS)

    assert answer.json()["labels"] == ["setosa"]
    assert pages == [200] * 4
    assert "announcement iris" in states
    assert code == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    order = [
        event for event in events if event in {"listening", "stopping", "withdrawn", "stopped"}
    ]
    assert order == ["listening", "stopping", "withdrawn", "stopped"]


@pytest.mark.parametrize(
    ("changes", "event", "words"),
    [
        (
            'golden = (GoldenRow(SETOSA, {"labels": "virginica"}),)',
            "self_check_failed",
            "output 'labels' of golden row 0 is 'setosa', not 'virginica'",
        ),
        (
            "def predict(self, rows, config): return {}",
            "self_check_failed",
            "'predictions' is miss",
        ),
        ("def __init__(self): open('no-such-file')", "unusable_model", "no-such-file"),
    ],
    ids=["golden row", "output", "load"],
)
def test_a_model_that_is_not_right_is_never_announced(tmp_path, changes, event, words):
    """A wrong golden row, a missing output, a failing load: exit code 4, and a line that says why.

    Nothing was announced by then, for Nacos had not even been asked.
    """
    done = ended(tmp_path, changes)

    assert done.returncode == 4, done.stderr
    (line,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (line["event"], line["level"]) == (event, "critical")
    assert words in line["reason"]


def test_a_bad_declaration_ends_the_start(tmp_path):
    """A name that is no host name: one line that says so, before anything else happens."""
    done = ended(tmp_path, 'name = "No Host"')

    assert done.returncode not in {0, 4}
    (line,) = done.stderr.splitlines()
    assert line.startswith("bad declaration: Other.name is 'No Host'")


def test_a_bad_environment_ends_the_start(tmp_path):
    """Bad variables, Nacos's too, are named in one line: exit code 2."""
    done = ended(tmp_path, "pass", DRAIN_SECONDS="-1", NACOS_SERVER_ADDR="http://nacos")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "DRAIN_SECONDS" in line
    assert "NACOS_SERVER_ADDR" in line
