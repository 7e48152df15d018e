"""The services in the hands of a server that knows nothing of them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from classifier.schemas import EXAMPLE
from stack.process import clean_environment
from stack.waiting import wait_until

REQUESTS = {
    "classifier": (
        "/api/v1/predict",
        {"inputs": [EXAMPLE]},
    ),
    "kmeans": ("/api/skl-kmeans", {"points": [[1, 2], [2, 3], [9, 9], [10, 8]]}),
}


@pytest.mark.parametrize(
    ("package", "workers"),
    [("classifier", ()), ("kmeans", ()), ("classifier", ("--workers", "2"))],
    ids=["classifier", "kmeans", "two workers"],
)
def test_uvicorn_serves_and_drains_a_service(
    running: Callable[..., Any], tmp_path: Path, package: str, workers: tuple[str, ...]
) -> None:
    """`uvicorn package.app:app` answers; told to stop, it answers on for a while, not ready."""
    path, body = REQUESTS[package]
    environment = {"DRAIN_SECONDS": "600"}
    with running(package, tmp_path / "log", environment, ("uvicorn", *workers)) as one:
        assert httpx.post(one.url + path, json=body, timeout=30).status_code == 200
        processes = psutil.Process(one.popen.pid).children()
        one.popen.send_signal(signal.SIGTERM)

        def is_draining() -> bool:
            answer = httpx.get(one.url + "/readyz", timeout=10)
            return answer.status_code == 503 and answer.headers.get("connection") == "close"

        wait_until(is_draining, seconds=30, what="the service drains")
        answer = httpx.post(one.url + path, json=body, timeout=30)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        for process in (psutil.Process(one.popen.pid), *processes):
            process.send_signal(signal.SIGINT)


def test_a_bad_environment_ends_the_server(tmp_path: Path) -> None:
    """One line names the bad variables, and the server does not serve what only raises."""
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "kmeans.app:app", "--port", "0"],
        env={**clean_environment(), "HOME": str(tmp_path), "FIT_WORKERS": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "FIT_WORKERS" in done.stderr
    assert "Application startup failed" in done.stderr
