"""The life of a process: announced only while it listens, and no request lost at its end."""

import asyncio
import json
import signal
import socket
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait

import httpx
import pytest


def test_announced_while_listening_and_withdrawn_before_closing(start):
    """The registry's entry appears after the port opens and disappears before it closes.

    Readiness has gone before the entry goes, so nobody who asks sends one more caller.
    """
    process = start()
    process.terminate()

    assert process.end() == 0
    assert process.events == [
        "application begins",
        "open",
        "announce listening",
        "leave",
        "withdraw listening",
        "readyz 503",
        "withdrawn listening",
        "drain",
        "application ends",
        "close",
        "end",
    ]


def test_the_application_s_own_lifespan_is_run(start):
    """The state that an application makes at its start is there in its routes, not a 500."""
    process = start()

    assert httpx.get(process.url + "/greeting").json() == "hello"


def test_an_application_that_cannot_start_ends_the_process(start):
    """A failure of the application's own start ends the process with code 6, and is logged."""
    process = start(announced=False, FAILS="no database")
    out, _ = process.popen.communicate(timeout=30)

    assert process.popen.returncode == 6
    assert "no database" in out.decode()
    assert process.events == []


@pytest.mark.anyio
async def test_sigterm_loses_no_request(start):
    """Callers who let go of a withdrawn instance get an answer to every request they sent."""
    process = start(DRAIN_SECONDS="1")
    answers = []

    async def call_until_withdrawn(client: httpx.AsyncClient) -> None:
        while "withdrawn listening" not in process.events:
            answers.append(await client.get("/slow", params={"seconds": 0.02}))

    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(call_until_withdrawn(client))
            long = tasks.create_task(client.get("/slow", params={"seconds": 3}))
            await asyncio.to_thread(process.wait_for, lambda: len(answers) > 40)
            process.terminate()
        answers.append(long.result())

    assert {answer.status_code for answer in answers} == {200}
    assert await asyncio.to_thread(process.end) == 0


def test_answers_while_draining_ask_callers_to_leave(start):
    """Each answer says `Connection: close` and that it drains, and readiness says why not."""
    process = start(DRAIN_SECONDS="20")
    process.terminate()
    process.wait_for(lambda: httpx.get(process.url + "/livez").headers.get("connection") == "close")

    ready = httpx.get(process.url + "/readyz")

    assert ready.headers["x-gateway-draining"] == "1"
    assert ready.status_code == 503
    assert ready.json()["checks"]["draining"]["ok"] is False


def test_answers_at_once_ask_callers_to_leave(start):
    """A running service answers at once, and while draining it says so and closes, too."""
    process = start(DRAIN_SECONDS="20")

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
            connection.sendall(b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            answer = connection.recv(65536)
            while b"connection: close" in answer and (more := connection.recv(65536)):
                answer += more
        return answer

    assert ask().endswith(b"\r\n\r\nnow")
    process.terminate()
    process.wait_for(lambda: b"connection: close" in ask())
    assert ask().endswith(b"\r\n\r\nnow")


def test_second_signal_cuts_the_drain_short(start):
    """An operator in a hurry sends a second signal and does not wait for the drain."""
    process = start(DRAIN_SECONDS="600")
    process.terminate()
    process.wait_for(lambda: "withdrawn listening" in process.events)
    process.popen.send_signal(signal.SIGINT)

    assert process.end() == 0


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return status, type and `Retry-After` of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    kind = answer.json()["type"].removeprefix("urn:modelserve:problem:")
    return answer.status_code, kind, answer.headers.get("retry-after")


def asked(process, callers: Executor, *paths: str) -> list[Future[httpx.Response]]:
    """Call paths at the same time; return once each call is there."""
    answers = [callers.submit(httpx.get, process.url + path, timeout=60) for path in paths]
    process.wait_for(lambda: len([each for each in process.events if "slow" in each]) == len(paths))
    return answers


def events(output: bytes) -> list[str]:
    """Return the names of the events that a process has logged."""
    return [json.loads(line)["event"] for line in output.splitlines()]


def test_what_waits_is_declined_after_the_drain_and_what_runs_goes_on(start):
    """Work that waits gets 503 with Retry-After, while the work that runs has the rest of the time.

    A second signal takes that from it: its callers get 503 at once, without Retry-After, as it has
    begun. The process ends with 0, though a thread still works, and logs no traceback.
    """
    process = start(END_SECONDS="600")
    with ThreadPoolExecutor(3) as callers:
        answers = asked(process, callers, "/slow-thread", "/slow-thread", "/slow?seconds=600")
        process.terminate()
        (declined,), running = wait(answers, return_when=FIRST_COMPLETED)
        process.popen.send_signal(signal.SIGINT)

        assert problem(declined.result()) == (503, "stopping", "1")
        assert [problem(each.result()) for each in running] == [(503, "stopping", None)] * 2
    assert process.end() == 0
    out, err = process.popen.communicate()
    assert b"Traceback" not in out + err, out.decode()
    assert events(out)[-4:] == ["request_cut", "request_cut", "stopped", "work_abandoned"]


def test_an_answer_that_was_under_way_says_that_the_process_ends(start):
    """A slow model's answers are such, and they are said so without any drain, too."""
    process = start(END_SECONDS="600")
    with ThreadPoolExecutor(1) as callers:
        (answer,) = asked(process, callers, "/slow?seconds=5")
        process.terminate()

        assert answer.result().headers["connection"] == "close"
        assert answer.result().headers["x-gateway-draining"] == "1"
    assert process.end() == 0


def test_what_runs_past_the_end_is_cut(start):
    """Work that goes on until the time is over is 503 for its caller; the process ends with 0."""
    process = start(END_SECONDS="4")
    with ThreadPoolExecutor(2) as callers:
        answers = asked(process, callers, "/slow-thread", "/slow?seconds=600")
        process.terminate()

        assert [problem(each.result()) for each in answers] == [(503, "stopping", None)] * 2
    assert process.end() == 0
    assert b"Traceback" not in b"".join(process.popen.communicate())


def test_taken_port_is_named(start):
    """A port that is taken ends the start with code 3 and a log line that names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(announced=False, PORT=str(port))
        out, _ = process.popen.communicate(timeout=30)

    assert process.popen.returncode == 3
    event = json.loads(out)
    assert event["event"] == "cannot_listen"
    assert event["port"] == port


def test_bad_environment_names_every_variable(start):
    """A bad environment ends the start with code 2 and one line with every bad variable."""
    process = start(announced=False, PORT="70000", LOG_LEVEL="LOUD", SERVICE_NAME="a_b")
    _, err = process.popen.communicate(timeout=30)

    assert process.popen.returncode == 2
    (line,) = err.decode().splitlines()
    assert all(name in line for name in ("PORT", "LOG_LEVEL", "SERVICE_NAME"))


def _exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def test_head_without_end_is_refused(start):
    """A head that grows past 64 KiB is answered 431 and the connection closed: bounded memory."""
    process = start()

    answer = _exchange(process.port, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


def test_junk_is_answered_with_a_problem(start):
    """Bytes that are no HTTP get 400 as a problem document, and a closed connection."""
    process = start()

    answer = _exchange(process.port, b"\x16\x03\x01\x00junk\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:modelserve:problem:bad-http" in answer
