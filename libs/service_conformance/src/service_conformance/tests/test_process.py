"""What only a process shows: it is alive while it computes, and it ends without a loss."""

import signal
import subprocess
import threading
import time

import httpx
import pytest
from service_conformance.liveness import assert_alive_while
from service_conformance.service_process import environment, free_port
from service_conformance.subject import JSON, SECONDS, command, running

CALLERS = 4
DRAIN_SECONDS = "10"


@pytest.mark.timeout(600)
def test_livez_answers_while_computing(conforming, tmp_path):
    """/livez is answered within 50 ms while the largest request of each route is worked on."""
    for post in conforming.posts:
        body = conforming.largest(post)
        finished = assert_alive_while(conforming.url, post.path, body, tmp_path)

        assert set(finished) <= {"200"}, post.path


def test_sigterm_loses_nothing(model_service_name, tmp_path):
    """Calls that go on until /readyz says no are all answered; then the process ends with 0."""
    told, results = threading.Event(), []
    with running(model_service_name, tmp_path, {"DRAIN_SECONDS": DRAIN_SECONDS}) as subject:
        post = subject.posts[0]
        body = subject.largest(post)
        begun = threading.Semaphore(0)

        def call() -> None:
            while not told.is_set():
                try:
                    with httpx.Client(timeout=SECONDS) as client:
                        answer = client.post(subject.url + post.path, content=body, headers=JSON)
                    results.append(answer.status_code)
                except httpx.TransportError as error:
                    results.append(repr(error))
                begun.release()

        callers = [threading.Thread(target=call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for _ in callers:
            assert begun.acquire(timeout=SECONDS)
        subject.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SECONDS
        while httpx.get(subject.url + "/readyz", timeout=SECONDS).is_success:
            assert time.monotonic() < deadline
        told.set()
        for caller in callers:
            caller.join(SECONDS)
        code = subject.popen.wait(SECONDS)

    assert set(results) == {200}
    assert code == 0, subject.text


def test_a_bad_environment_ends_the_start(model_service_name, tmp_path):
    """Bad variables of all kinds, Nacos's too, are named in one line: exit code 2."""
    bad = {"PORT": "http", "NACOS_SERVER_ADDR": "http://nacos", "DRAIN_SECONDS": "-1"}
    env = environment(tmp_path, free_port(), bad)
    done = subprocess.run(
        command(model_service_name),
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(name in line for name in bad)
