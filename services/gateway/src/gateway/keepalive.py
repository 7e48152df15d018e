"""The connections to one instance: which are kept, which is used next, how new ones are made.

Last in, first out: a small set stays warm and the rest grows old and is closed. An idle connection
is given up well before a service would close it (uvicorn: 5 s), because a request sent into that
moment is lost: the keep-alive race.
"""

import asyncio
from time import monotonic
from typing import Protocol

from failover import Instance

from gateway.upstream import Connection


class Caller(Protocol):
    """Who has a connection dialled."""

    def connected(self, connection: Connection) -> None:
        """Take the connection."""

    def refused(self) -> None:
        """Take notice that there is none."""


class Upstream:
    """All connections to one instance."""

    __slots__ = ("_closed", "_dials", "_idle", "_instance", "host_line", "max_idle", "open")

    def __init__(self, instance: Instance, *, max_idle: float) -> None:
        """Start without a connection.

        Args:
            instance: where to.
            max_idle: seconds after which an idle connection is not used again.
        """
        self._instance = instance
        self._idle: list[Connection] = []
        self._dials: set[asyncio.Task[None]] = set()
        self._closed = False
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
        """Keep a connection for the next request."""
        if self._closed:
            connection.transport.close()
            return
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

    def dial(self, caller: Caller, seconds: float) -> None:
        """Open a connection for the caller within a time."""
        task = asyncio.get_running_loop().create_task(self._dial(caller, seconds))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, caller: Caller, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._instance.ip, self._instance.port
                )
        except (OSError, TimeoutError):
            caller.refused()
        else:
            caller.connected(connection)
