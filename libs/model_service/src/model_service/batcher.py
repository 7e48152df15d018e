"""A work-conserving micro-batcher: an idle model runs at once, rows that come meanwhile are next.

There is no timer. A lone request never waits for company, and under load the batches grow by
themselves to what arrived during the last run. (A batcher that waits for its window to fill adds
that window to every lone request.)
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, TypeVar

from prometheus_client import Gauge, Histogram
from pydantic import BaseModel, ConfigDict, Field
from service_kit import Deadline, MetricFamily, Problem, stopping

RUN_SECONDS = 1.0
"""Seconds of CPU that one run of the estimator may take, judged by recent runs."""

X = TypeVar("X", bound=Sized)
Y = TypeVar("Y")

ROWS = MetricFamily("histogram", "model_batch_rows", "Rows of one run of the estimator")
SECONDS = MetricFamily("histogram", "model_batch_seconds", "Time of one run of the estimator")
QUEUE = MetricFamily(
    "histogram",
    "model_queue_seconds",
    "Time between asking the estimator and the start of the batch",
)
QUEUED = MetricFamily("gauge", "model_queued_rows", "Rows that wait for the estimator")
FAMILIES = (ROWS, SECONDS, QUEUE, QUEUED)

batch_rows = Histogram(ROWS.name, ROWS.text, buckets=(1, 4, 16, 64, 256, 1024, 4096))
batch_seconds = Histogram(SECONDS.name, SECONDS.text)
queue_seconds = Histogram(
    QUEUE.name, QUEUE.text, buckets=(0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10)
)
queued_rows = Gauge(QUEUED.name, QUEUED.text)


class Batching(BaseModel):
    """Bounds of the estimator's batches, as a part of a service's document."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 4096
    """Rows of one run of the estimator, unless one request alone has more."""
    queue_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Rows that may wait for the estimator; a caller with more gets 503 and `Retry-After`."""


@dataclass(frozen=True, slots=True)
class _Call(Generic[X, Y]):
    rows: X
    deadline: Deadline
    asked: float
    answer: asyncio.Future[Y]


class MicroBatcher(Generic[X, Y]):
    """A queue of rows for `predict`, which runs in one thread on many callers' rows at a time.

    First come, first served. Unless one request alone has more, a batch has at most as many rows
    as the limits say, and as recent runs let expect in `run_seconds`: a slow model does not keep
    the first caller waiting for the last one's rows. A run that fails on the rows of several
    callers is repeated for each caller alone, so that rows which the model refuses fail nobody
    else.
    """

    def __init__(
        self,
        predict: Callable[[X], Y],
        limits: Callable[[], Batching],
        *,
        join: Callable[[Sequence[X]], X],
        part: Callable[[Y, int, int], Y],
        limited_by: str,
        run_seconds: float = RUN_SECONDS,
    ) -> None:
        """Start without rows.

        Args:
            predict: answers rows; blocks its thread.
            limits: returns the bounds in force.
            join: makes one batch of several callers' rows.
            part: returns the answers to the rows from one index up to another.
            limited_by: name of the setting that limits the queue, for the 503 of a full queue.
            run_seconds: seconds of CPU that one run may take.
        """
        self._predict = predict
        self._limits = limits
        self._join = join
        self._part = part
        self._limited_by = limited_by
        self._run_seconds = run_seconds
        self._thread = ThreadPoolExecutor(1, "estimator")
        self._calls: deque[_Call[X, Y]] = deque()
        self._rows = 0
        self._busy = False
        self._is_declining = False
        self._seconds_per_row = self._cpu_per_row = 1e-5
        queued_rows.set_function(lambda: self._rows)

    async def predict(self, rows: X, deadline: Deadline) -> Y:
        """Return the answers to rows.

        Raises:
            Problem: 503 with `Retry-After` when too many rows wait, or their turn had not come when
                the batcher declines; 504 when the deadline passed first: rows whose turn had not
                come by then are not computed.
        """
        if self._is_declining:
            raise stopping(has_begun=False)
        most = self._limits().queue_rows
        if self._calls and self._rows + len(rows) > most:
            seconds = max(1, math.ceil(self._rows * self._seconds_per_row))
            detail = (
                f"{self._rows} rows wait already, and {self._limited_by} allows {most};"
                f" retry in {seconds} s."
            )
            raise Problem(503, detail, type="overloaded", headers={"Retry-After": str(seconds)})
        loop = asyncio.get_running_loop()
        call: _Call[X, Y] = _Call(rows, deadline, time.monotonic(), loop.create_future())
        self._calls.append(call)
        self._rows += len(rows)
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
            run = self._thread.submit(self._run, [call.rows for call in batch])
            run.add_done_callback(partial(self._tell, loop, batch))

    def _tell(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Call[X, Y]],
        done: Future[list[Y | Exception]],
    ) -> None:
        """Have the event loop finish a run; a loop that has ended by now has no callers left."""
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._finish, loop, batch, done)

    def _take(self) -> list[_Call[X, Y]]:
        """Take the next batch from the queue, without the calls that nobody waits for any more."""
        batch: list[_Call[X, Y]] = []
        rows, most, now = 0, self._limits().max_rows, time.monotonic()
        while self._calls and (not batch or self._fits(rows + len(self._calls[0].rows), most)):
            call = self._calls.popleft()
            self._rows -= len(call.rows)
            if call.answer.done():
                continue
            if call.deadline.moment <= now:
                call.answer.set_exception(call.deadline.problem())
                continue
            queue_seconds.observe(now - call.asked)
            batch.append(call)
            rows += len(call.rows)
        return batch

    def _fits(self, rows: int, most: int) -> bool:
        return rows <= most and rows * self._cpu_per_row <= self._run_seconds

    def _run(self, parts: list[X]) -> list[Y | Exception]:
        """Return the answer to each caller's rows, or what the model raised."""
        if len(parts) == 1:
            return [self._tried(parts[0])]
        every = self._tried(self._join(parts))
        if isinstance(every, Exception):
            return [self._tried(rows) for rows in parts]
        answers: list[Y | Exception] = []
        start = 0
        for rows in parts:
            answers.append(self._part(every, start, start + len(rows)))
            start += len(rows)
        return answers

    def _tried(self, rows: X) -> Y | Exception:
        started, cpu_started = time.perf_counter(), time.thread_time()
        try:
            return self._predict(rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where its caller waits
            return error
        finally:
            seconds = time.perf_counter() - started
            batch_rows.observe(len(rows))
            batch_seconds.observe(seconds)
            self._seconds_per_row += 0.1 * (seconds / len(rows) - self._seconds_per_row)
            cpu = time.thread_time() - cpu_started
            self._cpu_per_row += 0.5 * (cpu / len(rows) - self._cpu_per_row)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Call[X, Y]],
        done: Future[list[Y | Exception]],
    ) -> None:
        for call, answer in zip(batch, done.result(), strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        self._run_next(loop)

    def decline(self) -> None:
        """Answer 503 to the rows that wait and to those that come; the present batch goes on."""
        self._is_declining = True
        while self._calls:
            call = self._calls.popleft()
            self._rows -= len(call.rows)
            if not call.answer.done():
                call.answer.set_exception(stopping(has_begun=False))

    def close(self) -> None:
        """End the thread after its present batch."""
        self.decline()
        self._thread.shutdown(wait=False)
