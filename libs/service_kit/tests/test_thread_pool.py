"""Bounded work beside the event loop."""

import asyncio
import gc
import threading
import time
import weakref
from functools import partial

import pytest
from service_kit import Deadline, Problem, ThreadPool
from service_kit.logs import request_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate():
    """Work that runs until the gate opens."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def threads():
    threads = ThreadPool("test", threads=1, queue_limit=1, limited_by="QUEUE")
    yield threads
    threads.close()


class Clock:
    """Stands still but for work that takes its time."""

    now = 0.0

    def __call__(self) -> float:
        """Return the moment it is."""
        return self.now

    def fail_after(self, seconds: float) -> None:
        """Be work that gives up."""
        self.now += seconds
        raise ZeroDivisionError


def soon() -> Deadline:
    """Return a deadline that passes while the work waits."""
    return Deadline(time.monotonic() + 0.05, 0.05, "the test")


async def refused(threads, gate) -> Problem:
    """Return what a caller is told while one call runs and another waits."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(threads.run(lambda: gate.wait(30)))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as found:
            await threads.run(lambda: None)
        gate.set()
    return found.value


async def test_full_queue_is_told_to_come_back(threads, gate):
    """Past the queue's limit a caller gets 503 at once, with a Retry-After of a second at least."""
    problem = await refused(threads, gate)

    assert problem.status == 503
    assert problem.headers["Retry-After"] == "1"
    assert problem.detail == "2 calls run or wait already, the limit of QUEUE; retry in 1 s."


@pytest.mark.parametrize(("calls", "seconds"), [(1, "2"), (5, "5"), (50, "10")])
async def test_time_of_failed_work_counts(gate, calls, seconds):
    """Retry-After grows to what two calls take where each fails after 5 s: the mean follows them.

    It begins at 0.01 s, and each call moves it by a tenth of the way.
    """
    clock = Clock()
    threads = ThreadPool("slow", threads=1, queue_limit=1, clock=clock)
    for _ in range(calls):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: clock.fail_after(5))

    problem = await refused(threads, gate)
    threads.close()

    assert problem.headers["Retry-After"] == seconds


async def test_queue_has_room_again(threads):
    """What ended gives its place back, failures too."""
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)

    assert await threads.run(lambda: "here") == "here"


async def test_late_work_never_begins(threads, gate):
    """Work whose deadline passes in the queue is answered 504 and not computed."""
    begun = []
    first = asyncio.ensure_future(threads.run(lambda: gate.wait(30)))
    await asyncio.sleep(0)

    with pytest.raises(Problem) as late:
        await threads.run(lambda: begun.append(1), deadline=soon())
    gate.set()
    await first

    assert await threads.run(lambda: "next") == "next"
    assert late.value.status == 504
    assert "within 0.05 s, the limit that the test sets" in late.value.detail
    assert late.value.extra == {"limit_seconds": 0.05}
    assert begun == []


async def test_a_timeout_of_work_without_a_deadline_is_its_own(threads):
    """TimeoutError of work that has no deadline is told as it is: no limit has passed."""

    def work() -> None:
        raise TimeoutError("of the disk")

    with pytest.raises(TimeoutError, match="of the disk"):
        await threads.run(work)


async def test_what_waits_is_declined_and_what_runs_goes_on(threads, gate):
    """Once the pool declines, calls that wait or come get 503 with Retry-After, for they never ran.

    The call that runs is answered.
    """
    begun = []
    running = asyncio.ensure_future(threads.run(lambda: gate.wait(30)))
    waiting = asyncio.ensure_future(threads.run(lambda: begun.append(1)))
    await asyncio.sleep(0)

    threads.decline()

    for late in (waiting, threads.run(lambda: begun.append(2))):
        with pytest.raises(Problem) as declined:
            await late
        assert (declined.value.status, declined.value.headers) == (503, {"Retry-After": "1"})
    assert not running.done()
    gate.set()
    assert await running is True
    assert begun == []


async def test_a_call_that_is_cancelled_is_not_declined(threads, gate):
    """A task that is cancelled while it waits for a thread ends cancelled."""
    first = asyncio.ensure_future(threads.run(lambda: gate.wait(30)))
    waiting = asyncio.ensure_future(threads.run(lambda: None))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await first


async def test_logs_of_work_have_the_ids_of_its_request(threads):
    """What work logs, a library's warning too, carries the id of the request that asked for it."""
    request_id.set("r-1")

    assert await threads.run(request_id.get) == "r-1"


class Body:
    """Something large that work was to read."""


async def test_a_call_that_gave_up_holds_nothing(threads, gate):
    """What a call in the queue was to work on is free with its 504, before a thread comes to it."""
    first = asyncio.ensure_future(threads.run(lambda: gate.wait(30)))
    await asyncio.sleep(0)
    body = Body()
    gone = weakref.ref(body)

    with pytest.raises(Problem):
        await threads.run(partial(repr, body), deadline=soon())
    del body
    await asyncio.sleep(0)  # the step that was told of the cancellation holds its traceback
    gc.collect()

    assert not first.done()
    assert gone() is None
    gate.set()
    await first
