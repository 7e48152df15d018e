"""Small requests while the only worker is busy with a large one."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from classifier.app import SMALL_BODY_BYTES
from classifier.inference import FEW_ROWS
from classifier.schemas import EXAMPLE

pytestmark = pytest.mark.anyio
PREDICT = "/api/v1/predict"
V2 = "/v2/models/car-evaluation/infer"
QUEUE = 64
CALLERS = 100


@asynccontextmanager
async def busy(threads) -> AsyncIterator[None]:
    """Keep the only thread at work, and every place in its queue taken, within the context."""
    gate = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(1 + QUEUE):
            tasks.create_task(threads.run(lambda: gate.wait(30)))
        await asyncio.sleep(0)
        try:
            yield
        finally:
            gate.set()


async def statuses(client, path: str, **request: object) -> set[int]:
    """Return what so many callers get at the same time."""
    asked = (client.post(path, **request) for _ in range(CALLERS))
    answers = await asyncio.gather(*asked)
    return {answer.status_code for answer in answers}


def tensors(rows: int) -> dict[str, object]:
    """Return a V2 request."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [rows], "data": [value] * rows}
        for name, value in EXAMPLE.items()
    ]
    return {"inputs": inputs}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({}, {"Content-Type": "application/json;charset=UTF-8"}),
        ({}, {"Content-Type": "Application/JSON ; charset=utf-8"}),
        ({"probabilities": "1"}, {"Content-Type": "application/json"}),
        ({}, {"Content-Type": "application/json", "Origin": "https://a.example"}),
    ],
    ids=["charset", "spelling", "long-way", "cross-origin"],
)
async def test_small_predictions_wait_for_nobody(client, threads, query, headers):
    """A hundred callers with a row each are all answered, however they ask."""
    content = json.dumps({"inputs": [EXAMPLE]})
    async with busy(threads):
        found = await statuses(client, PREDICT, content=content, params=query, headers=headers)

    assert found == {200}


@pytest.mark.parametrize("rows", [1, FEW_ROWS])
async def test_few_rows_of_v2_wait_for_nobody(client, threads, rows):
    """A hundred V2 callers with few rows each are all answered."""
    async with busy(threads):
        found = await statuses(client, V2, json=tensors(rows))

    assert found == {200}


async def test_more_take_their_turn(client, threads):
    """Rows past either bound are left to the worker: its queue is full, so they are told 503."""
    rows = [EXAMPLE] * (SMALL_BODY_BYTES // 50)
    async with busy(threads):
        tensor = await client.post(V2, json=tensors(FEW_ROWS + 1))
        long_way = await client.post(PREDICT, json={"inputs": rows}, params={"probabilities": "1"})

    assert (tensor.status_code, long_way.status_code) == (503, 503)


@pytest.mark.parametrize("timeout_seconds", [0.05])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, {"inputs": [EXAMPLE] * 400}),
        ("/api/v1/explain", {"inputs": [EXAMPLE]}),
        (V2, tensors(FEW_ROWS + 1)),
    ],
    ids=["predict", "explain", "v2"],
)
async def test_who_waits_past_the_limit_is_told_which(client, threads, path, body):
    """A request that waits for the worker past the service's limit gets 504, and the setting."""
    gate = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(threads.run(lambda: gate.wait(30)))
        await asyncio.sleep(0)
        answer = await client.post(path, json=body)
        gate.set()

    assert answer.status_code == 504
    assert answer.json()["limit_seconds"] == 0.05
    assert "0.05 s, the limit that the service's REQUEST_TIMEOUT_SECONDS" in answer.json()["detail"]
