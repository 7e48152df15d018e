"""The rows that a run takes; the classifier's tests of its batcher hold all else."""

import asyncio
import threading
import time

import pytest
from model_service import Batching, MicroBatcher
from service_kit import FOREVER, Problem

pytestmark = pytest.mark.anyio
SECONDS_PER_ROW = 0.002


async def test_a_slow_model_gets_no_more_rows_than_it_answers_in_time():
    """Once two runs have told the model's pace, a run takes what the pace allows, in order."""
    runs: list[list[int]] = []

    def predict(rows: list[int]) -> list[int]:
        runs.append(rows)
        until = time.thread_time() + SECONDS_PER_ROW * len(rows)
        while time.thread_time() < until:
            pass
        return rows

    batcher: MicroBatcher[list[int], list[int]] = MicroBatcher(
        predict,
        Batching,
        join=lambda parts: [row for part in parts for row in part],
        part=lambda rows, start, end: rows[start:end],
        limited_by="the test",
        run_seconds=20 * SECONDS_PER_ROW,
    )
    for row in (-2, -1):
        await batcher.predict([row], FOREVER)
    answers = await asyncio.gather(*(batcher.predict([row], FOREVER) for row in range(100)))
    batcher.close()

    assert answers == [[row] for row in range(100)]
    assert [row for run in runs for row in run] == list(range(-2, 100))
    # Two runs have brought the estimate to three quarters of the pace, or above it.
    assert max(map(len, runs)) <= 27
    assert len(runs) > 2 + 100 / 27


async def test_rows_that_wait_are_declined_and_those_of_the_run_are_answered():
    """Once the batcher declines, rows that wait or come get 503 with Retry-After."""
    gate = threading.Event()

    def predict(rows: list[int]) -> list[int]:
        gate.wait(30)
        return rows

    batcher: MicroBatcher[list[int], list[int]] = MicroBatcher(
        predict,
        Batching,
        join=lambda parts: [row for part in parts for row in part],
        part=lambda rows, start, end: rows[start:end],
        limited_by="the test",
    )
    running, waiting = (asyncio.ensure_future(batcher.predict([row], FOREVER)) for row in (1, 2))
    await asyncio.sleep(0)

    batcher.decline()

    for late in (waiting, batcher.predict([3], FOREVER)):
        with pytest.raises(Problem) as declined:
            await late
        assert (declined.value.status, declined.value.headers) == (503, {"Retry-After": "1"})
    assert not running.done()
    gate.set()
    assert await running == [1]
    batcher.close()


async def test_a_request_larger_than_a_run_is_answered():
    """One request alone may have more rows than a run takes of several."""
    batcher: MicroBatcher[list[int], list[int]] = MicroBatcher(
        lambda rows: rows,
        lambda: Batching(max_rows=1),
        join=lambda parts: [row for part in parts for row in part],
        part=lambda rows, start, end: rows[start:end],
        limited_by="the test",
        run_seconds=0,
    )

    assert await batcher.predict([1, 2, 3], FOREVER) == [1, 2, 3]
    batcher.close()
