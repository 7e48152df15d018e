"""Reports of model servers that lose requests as they end, tried here.

kserve/kserve 3360: requests under way get 5xx while instances are replaced. uvicorn 1824 and 1950:
a limit for running requests, after which they get 500 in plain text and the log a traceback for
each, and the process lives on for as long as a thread works.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import orjson
import pytest
from numpy.random import default_rng
from service_conformance.service_process import ServiceProcess, free_port, started

from tests.field.gateway.conftest import SERVICE, FakeInstance, World, well

SECONDS = 60.0
FITS = 6
POINTS = "/api/skl-kmeans"
ROWS = "/api/v1/predict"
MODEL = '''
import os, time
from model_service import Out, RowModel, main
from pydantic import BaseModel

class Slow(RowModel):
    """Answers rows once the file exists that GO names."""

    name, version, port, joins_rows = "slow", "1.0.0", 8002, False
    outputs = {"y": Out("FP64")}

    class Row(BaseModel):
        x: float

    def predict(self, rows, config):
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.01)
        return {"y": [row.x for row in rows]}

main(Slow)
'''
ROW = {"inputs": [{"x": 1}]}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def world(anyio_backend: object) -> AsyncIterator[World]:  # noqa: ARG001 - sets the loop
    """Where a gateway is started."""
    world = World()
    async with world.stack:
        yield world
    await asyncio.sleep(0)


Slow = Callable[..., AbstractContextManager[ServiceProcess]]


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    """Return the way to start a model of rows, which answers once a file exists."""
    program = tmp_path / "slow.py"
    program.write_text(MODEL)

    def start(go: Path, **more: str) -> AbstractContextManager[ServiceProcess]:
        port = free_port()
        log, command = tmp_path / f"log-{port}", [sys.executable, str(program)]
        return started(command, log, port, {"GO": str(go), **more})

    return start


def metric(process: ServiceProcess, name: str) -> float:
    """Return a figure that a process tells of itself."""
    lines = httpx.get(process.url + "/metrics", timeout=SECONDS).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


def asked(process: ServiceProcess) -> int:
    """Return how many requests for predictions a process had."""
    lines = httpx.get(process.url + "/metrics", timeout=SECONDS).text.splitlines()
    counts = [each for each in lines if each.startswith("http_request_duration_seconds_count{")]
    return sum(int(float(each.split()[-1])) for each in counts if f'"{ROWS}"' in each)


def drains(process: ServiceProcess) -> bool:
    """Return whether the answers of a process say that it ends soon."""
    return "x-gateway-draining" in httpx.get(process.url + "/livez", timeout=SECONDS).headers


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail if it does not in time."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # noqa: TID251 - the test's own thread, which polls


@pytest.mark.anyio
async def test_3360_the_gateway_asks_another_instance_for_what_waited(
    world: World, slow: Slow, tmp_path: Path
) -> None:
    """What waits at an instance that ends is answered by another one, while what runs goes on.

    So no caller gets an error, and the process ends with 0.
    """
    go, gone = tmp_path / "go", tmp_path / "gone"
    gone.touch()
    with slow(go) as ending, slow(gone) as other:
        ports = (int(one.url.rpartition(":")[2]) for one in (ending, other))
        instances = [FakeInstance(well, port) for port in ports]
        declared = {"gateway.idempotent": f"POST {ROWS}"}
        gateway = await world.gateway(*instances, metadata=declared)
        gateway.prefer(instances[0])
        host, port = gateway.port.address
        url = f"http://{host}:{port}/{SERVICE}{ROWS}"
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            calls = [asyncio.create_task(client.post(url, json=ROW)) for _ in range(3)]
            waiting = "model_queued_rows "
            await asyncio.to_thread(wait_for, lambda: metric(ending, waiting) == len(calls) - 1)
            ending.popen.send_signal(signal.SIGTERM)
            done = asyncio.as_completed(calls)
            elsewhere = [await next(done), await next(done)]
            go.touch()
            answers = await asyncio.gather(*calls)

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert [answer.headers["x-gateway-attempts"] for answer in elsewhere] == ["2", "2"]
        assert await asyncio.to_thread(ending.popen.wait, SECONDS) == 0
        assert "Traceback" not in ending.text


@pytest.mark.anyio
async def test_the_gateway_hears_from_instances_that_they_end(
    world: World, slow: Slow, tmp_path: Path
) -> None:
    """Three of four end and Nacos says nothing of it: after an answer, each gets no more requests.

    Else a request could ask one after the other of those that have ended, until it has no attempt
    left.
    """
    go = tmp_path / "go"
    go.touch()
    with ExitStack() as stack:
        starts = (slow(go, DRAIN_SECONDS=seconds) for seconds in ("0", "600", "600", "600"))
        processes = [stack.enter_context(start) for start in starts]
        ports = (int(one.url.rpartition(":")[2]) for one in processes)
        instances = [FakeInstance(well, port) for port in ports]
        gateway = await world.gateway(*instances, metadata={"gateway.idempotent": f"POST {ROWS}"})
        host, port = gateway.port.address
        url = f"http://{host}:{port}/{SERVICE}{ROWS}"
        _, *ending = processes
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            for process in ending:
                process.popen.send_signal(signal.SIGTERM)
                await asyncio.to_thread(wait_for, lambda one=process: drains(one))
            statuses = [(await client.post(url, json=ROW)).status_code for _ in range(30)]
            counts = [await asyncio.to_thread(asked, one) for one in processes]
            for process in ending:
                process.popen.send_signal(signal.SIGINT)
                await asyncio.to_thread(process.popen.wait, SECONDS)
            statuses += [(await client.post(url, json=ROW)).status_code for _ in range(30)]

    assert set(statuses) == {200}
    assert sum(counts) == 30
    assert sum(counts[1:]) < 10  # one each, and perhaps a few that look whether it is back


def test_1824_a_model_that_hangs_does_not_keep_its_process(slow: Slow, tmp_path: Path) -> None:
    """Rows that wait for a model that hangs are declined after the drain, as they never ran.

    Those in `predict` have the rest of the time; here a second signal ends it. Their caller gets
    503 as a problem document, too, and the process ends, with 0 and without a traceback.
    """
    with slow(tmp_path / "never") as hanging, ThreadPoolExecutor(2) as callers:
        calls = [
            callers.submit(httpx.post, hanging.url + ROWS, json=ROW, timeout=SECONDS)
            for _ in range(2)
        ]
        wait_for(lambda: metric(hanging, "model_queued_rows ") == 1)
        hanging.popen.send_signal(signal.SIGTERM)
        (declined,), (cut,) = wait(calls, return_when=FIRST_COMPLETED)
        hanging.popen.send_signal(signal.SIGINT)

        assert told(declined.result()) == (503, "1")
        assert told(cut.result()) == (503, None)
        assert hanging.popen.wait(SECONDS) == 0
        assert "Traceback" not in hanging.text


def told(answer: httpx.Response) -> tuple[int, str | None]:
    """Return status and `Retry-After` of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:modelserve:problem:stopping"
    return answer.status_code, answer.headers.get("retry-after")


def test_3360_fits_that_wait_are_declined(tmp_path: Path) -> None:
    """A clusterer that ends answers the fit that runs, and declines those that wait."""
    points = default_rng(17).integers(0, 10, (10_000, 150)).tolist()  # a second of CPU, or two
    body = orjson.dumps({"points": points})
    command, more = [sys.executable, "-m", "kmeans"], {"FIT_WORKERS": "1"}
    with (
        started(command, tmp_path / "log", free_port(), more) as ending,
        ThreadPoolExecutor(FITS) as callers,
    ):
        calls = [
            callers.submit(httpx.post, ending.url + POINTS, content=body, timeout=SECONDS)
            for _ in range(FITS)
        ]
        wait_for(lambda: metric(ending, 'worker_queue_depth{pool="fit"}') > FITS / 2)
        ending.popen.send_signal(signal.SIGTERM)
        answers = [call.result() for call in calls]

        declined = [answer for answer in answers if answer.status_code != 200]
        assert {told(answer) for answer in declined} == {(503, "1")}
        assert 0 < len(declined) < FITS
        assert ending.popen.wait(SECONDS) == 0
        assert "Traceback" not in ending.text
