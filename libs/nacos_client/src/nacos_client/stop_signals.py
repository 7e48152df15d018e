"""The signals that end a server, held back until the process has left Nacos.

A server that gets SIGTERM closes its socket first and ends the application's lifespan last: an
instance that withdraws then is refused while callers still have it. uvicorn, alone or as a worker,
sets its signal handlers before it starts the lifespan, so the lifespan can take their place.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, FrameType | None], object]


class StopSignals:
    """The server's handlers of SIGTERM and SIGINT, while others stand in their place.

    1. `hold` takes the place of the handlers.
    2. The first signal calls `stopping`, on the event loop.
    3. `pass_on` gives that signal to the server's own handler. So does a SIGINT after it; a further
       SIGTERM means nothing, since systemd and the parent of a worker each send one.
    """

    def __init__(self, stopping: Callable[[], None]) -> None:
        self._stopping = stopping
        self._handlers: dict[int, tuple[Handler, Handler]] = {}
        self._first: int | None = None

    def hold(self) -> None:
        """Take the place of the handlers; does nothing in a thread that gets no signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def take(number: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._take, number)

        for number in STOPS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = (handler, take)
                signal.signal(number, take)

    def pass_on(self) -> None:
        """Put the server's handlers back, and call the one whose signal came first."""
        handlers, self._handlers = self._handlers, {}
        for number, (handler, ours) in handlers.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, handler)
        if self._first in handlers:
            handlers[self._first][0](self._first, None)

    def _take(self, number: int) -> None:
        if self._first is None:
            self._first = number
            self._stopping()
        elif number == signal.SIGINT:
            self.pass_on()
