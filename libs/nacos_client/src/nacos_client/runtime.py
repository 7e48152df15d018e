"""The Nacos thread: it has an event loop of its own, and everything that talks to Nacos runs there.

A model that blocks the application's loop stops nothing here: heartbeats are answered, audits go
on. Results cross over as futures, notices by `call_soon_threadsafe`.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from nacos_client.errors import NacosError, Unreachable

T = TypeVar("T")
STOP_SECONDS = 5.0


class Runtime:
    """The thread, from `start` to `stop`; both may be called from any thread, and again."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    @property
    def running(self) -> bool:
        """True between `start` and `stop`, in the process that started it."""
        return self._thread is not None and self._pid == os.getpid()

    def start(self) -> None:
        """Start the thread and wait until its loop takes work."""
        if self.running:
            return
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._main, args=(self._loop, ready), name="nacos", daemon=True
        )
        self._thread.start()
        ready.wait()

    @staticmethod
    def _main(loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())  # files being written
            loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the thread's loop.

        Raises:
            NacosError: the thread is not started, or belongs to the parent of this forked process,
                whose connections must not be used here.
        """
        if self._loop is None or not self.running:
            work.close()
            forked = self._thread is not None
            raise NacosError(
                "Nacos was started before a fork: make one in the child process"
                if forked
                else "Nacos is not started: use `async with Nacos(settings)` or `start()`"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, T], deadline: float) -> T:
        """Run a coroutine on the thread's loop and await its result, at most `deadline` seconds."""
        try:
            future = self.submit(within(work, deadline))
        except NacosError:
            work.close()
            raise
        return await asyncio.wrap_future(future)

    def post(self, call: Callable[[], None]) -> None:
        """Call a function on the thread's loop, soon; nothing happens if the thread is stopped."""
        if self._loop is not None and self.running and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def stop(self) -> None:
        """Cancel what still runs on the thread, let files be written, and end it; at most 5 s."""
        if not self.running or self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).add_done_callback(
            lambda _: loop.call_soon_threadsafe(loop.stop)
        )
        thread.join(STOP_SECONDS)
        self._thread = self._loop = None


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=STOP_SECONDS / 2)


async def within(work: Coroutine[Any, Any, T], deadline: float) -> T:
    """Await `work` for at most `deadline` seconds.

    Raises:
        Unreachable: the work took longer.
    """
    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError as error:
        raise Unreachable(f"Nacos did not answer within {deadline:g} s") from error
