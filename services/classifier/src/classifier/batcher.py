"""A work-conserving micro-batcher: an idle model runs at once, rows that come meanwhile are next.

There is no timer. A lone request never waits for company, and under load the batches grow by
themselves to what arrived during the last run. (A batcher that waits for its window to fill adds
that window to every lone request.)
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from car_evaluation_model import Prediction
from numpy.typing import NDArray
from prometheus_client import Gauge, Histogram
from service_kit import Deadline, Problem

from classifier.settings import DATA_ID, Batching

Codes = NDArray[np.int64]

batch_rows = Histogram(
    "model_batch_rows", "Rows of one run of the estimator", buckets=(1, 4, 16, 64, 256, 1024, 4096)
)
batch_seconds = Histogram("model_batch_seconds", "Time of one run of the estimator")
queue_seconds = Histogram(
    "model_queue_seconds",
    "Time between asking the estimator and the start of the batch",
    buckets=(0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10),
)
queued_rows = Gauge("model_queued_rows", "Rows that wait for the estimator")


@dataclass(frozen=True, slots=True)
class _Call:
    codes: Codes
    deadline: Deadline
    asked: float
    answer: asyncio.Future[Prediction]


class Batcher:
    """A queue of rows for `predict`, which runs in one thread on many callers' rows at a time."""

    def __init__(
        self, predict: Callable[[Codes], Prediction], limits: Callable[[], Batching]
    ) -> None:
        self._predict = predict
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "estimator")
        self._calls: deque[_Call] = deque()
        self._rows = 0
        self._busy = False
        self._seconds_per_row = 1e-5
        queued_rows.set_function(lambda: self._rows)

    async def predict(self, codes: Codes, deadline: Deadline) -> Prediction:
        """Return the prediction for rows of value codes, (n, 6) int64.

        Raises:
            Problem: 503 with `Retry-After` when too many rows wait; 504 when the deadline passed
                first: rows whose turn had not come by then are not computed.
        """
        most = self._limits().queue_rows
        if self._calls and self._rows + len(codes) > most:
            seconds = max(1, math.ceil(self._rows * self._seconds_per_row))
            detail = (
                f"{self._rows} rows wait already, and batching.queue_rows of the document"
                f" {DATA_ID} allows {most}; retry in {seconds} s."
            )
            raise Problem(503, detail, type="overloaded", headers={"Retry-After": str(seconds)})
        loop = asyncio.get_running_loop()
        call = _Call(codes, deadline, time.monotonic(), loop.create_future())
        self._calls.append(call)
        self._rows += len(codes)
        if not self._busy:
            self._run_next(loop)
        try:
            async with asyncio.timeout(deadline.moment - call.asked):
                return await call.answer
        except TimeoutError as error:
            raise deadline.problem() from error

    def _run_next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take()
        self._busy = bool(batch)
        if batch:
            codes = np.concatenate([call.codes for call in batch])
            run = self._thread.submit(self._timed, codes)
            run.add_done_callback(
                lambda done: loop.call_soon_threadsafe(self._finish, loop, batch, done)
            )

    def _take(self) -> list[_Call]:
        """Take the next batch from the queue, without the calls that nobody waits for any more."""
        batch: list[_Call] = []
        rows, most, now = 0, self._limits().max_rows, time.monotonic()
        while self._calls and (not batch or rows + len(self._calls[0].codes) <= most):
            call = self._calls.popleft()
            self._rows -= len(call.codes)
            if call.answer.done():
                continue
            if call.deadline.moment <= now:
                call.answer.set_exception(call.deadline.problem())
                continue
            queue_seconds.observe(now - call.asked)
            batch.append(call)
            rows += len(call.codes)
        return batch

    def _timed(self, codes: Codes) -> Prediction:
        started = time.perf_counter()
        prediction = self._predict(codes)
        seconds = time.perf_counter() - started
        batch_rows.observe(len(codes))
        batch_seconds.observe(seconds)
        self._seconds_per_row += 0.1 * (seconds / len(codes) - self._seconds_per_row)
        return prediction

    def _finish(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Call], done: Future[Prediction]
    ) -> None:
        error = done.exception()
        start = 0
        for call in batch:
            end = start + len(call.codes)
            if call.answer.done():
                pass
            elif error is not None:
                call.answer.set_exception(error)
            else:
                every = done.result()
                part = Prediction(every.classes[start:end], every.probabilities[start:end])
                call.answer.set_result(part)
            start = end
        self._run_next(loop)

    def close(self) -> None:
        """End the thread after its present batch."""
        self._thread.shutdown(wait=False, cancel_futures=True)
