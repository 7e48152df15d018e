"""Bounded work beside the event loop."""

import asyncio
import threading
import time

import pytest
from service_kit import Problem, Workers

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate():
    """Work that runs until the gate opens."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def workers():
    workers = Workers("test", threads=1, queue_limit=1)
    yield workers
    workers.close()


async def test_full_queue_is_told_to_come_back(workers, gate):
    """Past the queue's limit a caller gets 503 with a Retry-After of whole seconds, at once."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(workers.run(lambda: gate.wait(30)))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await workers.run(lambda: None)
        gate.set()

    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) >= 1


async def test_queue_has_room_again(workers):
    """What ended gives its place back, failures too."""
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 / 0)

    assert await workers.run(lambda: "here") == "here"


async def test_late_work_never_begins(workers, gate):
    """Work whose deadline passes in the queue is answered 504 and not computed."""
    begun = []
    first = asyncio.ensure_future(workers.run(lambda: gate.wait(30)))
    await asyncio.sleep(0)

    with pytest.raises(Problem) as late:
        await workers.run(lambda: begun.append(1), deadline=time.monotonic() + 0.05)
    gate.set()
    await first

    assert await workers.run(lambda: "next") == "next"
    assert late.value.status == 504
    assert begun == []
