"""The connections to one instance: which are kept, which is used next, how new ones are made.

Last in, first out: a small set stays warm and the rest grows old and is closed. An idle connection
is given up well before a service would close it (uvicorn: 5 s), because a request sent into that
moment is lost: the keep-alive race.

Who finds none idle waits for the first that is there, a new one or one that is given back. Dialling
costs as much as several requests; were every request of a burst to dial, the burst would last the
longer, and bring more of them.
"""

import asyncio
from collections import deque
from time import monotonic
from typing import Protocol

from failover import Instance

from gateway.upstream import Connection

DIALS = 8
"""Connections that are dialled at a time while fewer are open; else as many as are open."""


class Caller(Protocol):
    """Who waits for a connection."""

    def connected(self, connection: Connection) -> None:
        """Take the connection."""

    def refused(self) -> None:
        """Take notice that there is none."""


class Upstream:
    """All connections to one instance."""

    __slots__ = ("_closed", "_connect", "_dials", "_fresh", "_idle", "_instance", "_opened",
                 "_waiting", "host_line", "max_idle", "open")  # fmt: skip

    def __init__(self, instance: Instance, *, connect: float, max_idle: float) -> None:
        """Start without a connection.

        Args:
            instance: where to.
            connect: seconds to open a connection.
            max_idle: seconds after which an idle connection is not used again.
        """
        self._instance = instance
        self._connect = connect
        self._idle: list[Connection] = []
        self._dials: set[asyncio.Task[None]] = set()
        self._waiting: deque[Caller] = deque()
        self._fresh: deque[Caller] = deque()
        self._closed = False
        self._opened = 0
        self.max_idle = max_idle
        self.host_line = f"Host: {instance.address}\r\n".encode()
        self.open = 0

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def take(self, now: float, max_idle: float) -> Connection | None:
        """An idle connection that is likely to be alive, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.transport.is_closing():
                continue
            if now - connection.idle_since <= max_idle:
                connection.reused = True
                return connection
            connection.transport.close()
        return None

    def put(self, connection: Connection) -> None:
        """Give a connection back: to who waits, else to the next request."""
        if self._waiting:
            connection.reused = True
            self._waiting.popleft().connected(connection)
        elif self._closed:
            connection.transport.close()
        else:
            connection.idle_since = monotonic()
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Take a closed connection out."""
        if connection in self._idle:
            self._idle.remove(connection)

    def prune(self, now: float) -> None:
        """Close what has been idle for too long: the oldest are at the front."""
        while self._idle and now - self._idle[0].idle_since > self.max_idle:
            self._idle.pop(0).transport.close()

    def close(self) -> None:
        """Close what is idle now, and what becomes idle later."""
        self._closed = True
        while self._idle:
            self._idle.pop().transport.close()

    def wait(self, caller: Caller, *, fresh: bool = False) -> None:
        """Have the caller get the first connection there is; a new one if it must be `fresh`."""
        (self._fresh if fresh else self._waiting).append(caller)
        self._dial()

    def leave(self, caller: Caller) -> None:
        """Let the caller wait no longer."""
        for waiting in (self._fresh, self._waiting):
            if caller in waiting:
                waiting.remove(caller)

    def _dial(self) -> None:
        """Dial for those who wait; what is open may double with every round trip."""
        wanted = min(len(self._fresh) + len(self._waiting), max(DIALS, self.open))
        for _ in range(wanted - len(self._dials)):
            task = asyncio.get_running_loop().create_task(self._dialled())
            self._dials.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._dials.discard(task)
        self._dial()

    async def _dialled(self) -> None:
        loop, opened = asyncio.get_running_loop(), self._opened
        try:
            async with asyncio.timeout(self._connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._instance.ip, self._instance.port
                )
        except (OSError, TimeoutError):
            self._refuse(everyone=self._opened == opened)
            return
        self._opened += 1
        if waiting := self._fresh or self._waiting:
            waiting.popleft().connected(connection)
        else:
            self.put(connection)

    def _refuse(self, *, everyone: bool) -> None:
        """Tell who waits longest, or, if no dial succeeded in the time of one, all."""
        count = len(self._fresh) + len(self._waiting) if everyone else 1
        for _ in range(count):
            if waiting := self._fresh or self._waiting:
                waiting.popleft().refused()
