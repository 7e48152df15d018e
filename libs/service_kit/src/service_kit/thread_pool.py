"""A bounded pool of threads for work that would block the event loop.

Threads keep the event loop answering; they do not make Python code faster, so a pool has few. The
queue before the threads is bounded. While it is full, a caller gets 503 at once, with the time that
the queue will take, instead of waiting for an answer that nobody will read any more.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from prometheus_client import Gauge, Histogram

from service_kit.deadline import FOREVER, Deadline
from service_kit.metric_families import MetricFamily
from service_kit.problem import Problem, stopping

T = TypeVar("T")

WAITED = MetricFamily(
    "histogram", "worker_wait_seconds", "Time between asking a worker and its start", ("pool",)
)
BUSY_FOR = MetricFamily("histogram", "worker_run_seconds", "Time a worker ran", ("pool",))
DEPTH = MetricFamily(
    "gauge", "worker_queue_depth", "Calls that run or wait in this pool", ("pool",)
)
FAMILIES = (WAITED, BUSY_FOR, DEPTH)
BUCKETS = (0.001, 0.01, 0.1, 1, 10)

waited = Histogram(WAITED.name, WAITED.text, WAITED.labels, buckets=BUCKETS)
busy_for = Histogram(BUSY_FOR.name, BUSY_FOR.text, BUSY_FOR.labels, buckets=BUCKETS)
depth = Gauge(DEPTH.name, DEPTH.text, DEPTH.labels)


class ThreadPool:
    """Threads for blocking functions: at most `threads` run at a time, `queue_limit` more wait.

    `prepare` runs first in each thread. A full queue's 503 tells `limited_by`, the settings' names.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        queue_limit: int,
        limited_by: str = "this service",
        prepare: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Deadlines are moments on `clock`."""
        self._pool = ThreadPoolExecutor(threads, name, prepare)
        self._threads = threads
        self._limited_by = limited_by
        self._limit = threads + queue_limit
        self._clock = clock
        self._inside = 0
        self._declining = threading.Event()
        self._counting = threading.Lock()
        self._mean_seconds = 0.01
        self._waited = waited.labels(name)
        self._busy_for = busy_for.labels(name)
        depth.labels(name).set_function(lambda: self._inside)

    async def run(self, work: Callable[[], T], *, deadline: Deadline = FOREVER) -> T:
        """Return the result of `work`, called in a thread, where logs have the request's ids.

        Args:
            work: the blocking call; it may end itself with TimeoutError when its time is up.
            deadline: its moment, on the clock, is that after which the result is of no use.

        Raises:
            Problem: 503 with `Retry-After` when the queue is full, or the work has not begun when
                the pool declines; 504 when the deadline comes first: work that has not begun by
                then never begins.
        """
        if self._declining.is_set():
            raise stopping(has_begun=False)
        if self._inside >= self._limit:
            seconds = max(1, math.ceil(self._inside * self._mean_seconds / self._threads))
            detail = (
                f"{self._inside} calls run or wait already, the limit of {self._limited_by};"
                f" retry in {seconds} s."
            )
            raise Problem(503, detail, type="overloaded", headers={"Retry-After": str(seconds)})
        asked = self._clock()
        with self._counting:
            self._inside += 1
        # The executor keeps a cancelled call until a thread comes to it. So it gets the work in a
        # list that is emptied when the call ends, lest each hold a body of megabytes until then.
        held: list[Callable[[], T]] = [partial(copy_context().run, work)]
        future = self._pool.submit(self._call, held, asked, deadline)
        future.add_done_callback(partial(self._leave, held))
        try:
            async with asyncio.timeout(None if deadline is FOREVER else deadline.moment - asked):
                return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._declining.is_set() and future.cancelled():
                raise stopping(has_begun=False) from None
            raise
        except TimeoutError as error:
            if deadline is FOREVER:
                raise
            raise deadline.problem() from error

    def _call(self, held: list[Callable[[], T]], asked: float, deadline: Deadline) -> T:
        started = self._clock()
        self._waited.observe(started - asked)
        if started >= deadline.moment:
            raise deadline.problem()
        try:
            return held.pop()()
        finally:
            # Work that fails counts too: its thread was as busy.
            seconds = self._clock() - started
            self._busy_for.observe(seconds)
            self._mean_seconds += 0.1 * (seconds - self._mean_seconds)

    def _leave(self, held: list[Callable[[], T]], _: object) -> None:
        """Count a call out and drop its work, in whichever thread the call ended."""
        held.clear()
        with self._counting:
            self._inside -= 1

    def decline(self) -> None:
        """Answer 503 to the calls that wait and to those that come; what runs goes on."""
        self._declining.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the threads after their present calls."""
        self.decline()
