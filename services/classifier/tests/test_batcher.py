"""The micro-batcher: no waiting when idle, whole batches when busy, nobody's answer mixed up."""

import asyncio
import threading
import time

import numpy as np
import pytest
from car_evaluation_model import Prediction
from classifier.batcher import Batcher
from classifier.settings import Batching
from service_kit import FOREVER, Deadline, Problem

pytestmark = pytest.mark.anyio


class GatedModel:
    """Answers with the first column of the codes; the first run waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.runs: list[int] = []

    def __call__(self, codes: np.ndarray) -> Prediction:
        """Note the size of the run, wait for the gate, answer."""
        self.runs.append(len(codes))
        self.gate.wait(30)
        return Prediction(codes[:, 0], codes.astype(float))


@pytest.fixture
def gated():
    model = GatedModel()
    yield model
    model.gate.set()


@pytest.fixture
def batcher(gated):
    batcher = Batcher(gated, lambda: Batching(max_rows=100, queue_rows=150))
    yield batcher
    batcher.close()


def rows(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, 6), value)


async def test_what_queues_while_busy_is_the_next_batch(gated, batcher):
    """One caller runs at once; all who come meanwhile share one run, each gets his own rows."""
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(batcher.predict(rows(n, n), FOREVER)) for n in (1, 2, 3, 4)]
        await asyncio.sleep(0)
        gated.gate.set()

    assert gated.runs == [1, 9]
    assert [call.result().classes.tolist() for call in calls] == [[n] * n for n in (1, 2, 3, 4)]


async def test_batches_stay_within_their_limit(gated, batcher):
    """A batch takes whole requests up to the limit; a larger request runs alone."""
    async with asyncio.TaskGroup() as tasks:
        for count in (1, 60, 60, 20, 10):
            tasks.create_task(batcher.predict(rows(0, count), FOREVER))
        await asyncio.sleep(0)
        gated.gate.set()

    assert gated.runs == [1, 60, 90]


async def test_overload_is_refused(gated, batcher):
    """Past the queue's limit a caller gets 503 and when to come back."""
    async with asyncio.TaskGroup() as tasks:
        for count in (1, 100):
            tasks.create_task(batcher.predict(rows(0, count), FOREVER))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await batcher.predict(rows(0, 51), FOREVER)
        gated.gate.set()

    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert "batching.queue_rows of the document car-evaluation allows 150" in refused.value.detail


async def test_spent_deadline_is_not_computed(gated, batcher):
    """Rows whose deadline passed in the queue are answered 504 and never reach the model."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batcher.predict(rows(0), FOREVER))
        late = asyncio.ensure_future(
            batcher.predict(rows(1, 5), Deadline(time.monotonic(), 1, "the test"))
        )
        await asyncio.sleep(0)
        gated.gate.set()

    with pytest.raises(Problem) as refused:
        await late
    assert refused.value.status == 504
    assert gated.runs == [1]


async def test_a_run_that_takes_too_long_is_not_waited_for(gated, batcher):
    """A caller gets 504, with the limit's name, at its deadline: also while the model runs."""
    late = batcher.predict(rows(1), Deadline(time.monotonic() + 0.05, 0.05, "the test"))
    async with asyncio.timeout(10):
        with pytest.raises(Problem) as refused:
            await late

    assert refused.value.status == 504
    assert "within 0.05 s, the limit that the test sets" in refused.value.detail
    gated.gate.set()
    assert (await batcher.predict(rows(2), FOREVER)).classes.tolist() == [2]


async def test_failure_reaches_every_caller_and_ends_there():
    """A run that fails fails its callers; the next run is not touched by it."""
    failing = [True, False]

    def model(codes: np.ndarray) -> Prediction:
        if failing.pop(0):
            raise FloatingPointError("no")
        return Prediction(codes[:, 0], codes.astype(float))

    batcher = Batcher(model, Batching)
    with pytest.raises(FloatingPointError):
        await batcher.predict(rows(1), FOREVER)

    assert (await batcher.predict(rows(2), FOREVER)).classes.tolist() == [2]
    batcher.close()


async def test_caller_who_left_is_not_computed(gated, batcher):
    """A cancelled call leaves the queue, and its rows are not run."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batcher.predict(rows(0), FOREVER))
        gone = asyncio.ensure_future(batcher.predict(rows(1, 7), FOREVER))
        await asyncio.sleep(0)
        gone.cancel()
        tasks.create_task(batcher.predict(rows(2, 2), FOREVER))
        await asyncio.sleep(0)
        gated.gate.set()

    assert gated.runs == [1, 2]
