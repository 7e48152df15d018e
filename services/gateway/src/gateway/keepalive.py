"""The connections to one instance: which are kept, which is used next, how new ones are made.

Last in, first out: a small set stays warm and the rest grows old and is closed. An idle connection
is given up well before a service would close it (uvicorn: 5 s), because a request sent into that
moment is lost: the keep-alive race.

Who finds none idle waits for the first that is there, a new one or one that is given back. Dialling
costs as much as several requests; were every request of a burst to dial, the burst would last the
longer, and bring more of them.
"""

import asyncio
from collections import OrderedDict
from time import monotonic
from typing import Protocol

from failover import Instance

from gateway.upstream import Connection

DIALS = 8
PACE = 0.002
"""So many connections are dialled at once, and so many seconds later as many again, while anybody
waits: long enough for a connection to be given back by a service that is quick and near, short
enough to dial a thousand before the first of them times out."""
FRESH_ONLY = 1.0
"""Seconds a connection may have been idle to carry a request that cannot be sent again."""


class Caller(Protocol):
    """Who waits for a connection."""

    def connected(self, connection: Connection) -> None:
        """Take the connection."""

    def refused(self) -> None:
        """Take notice that there is none."""


class Upstream:
    """All connections to one instance.

    Attributes:
        open: how many there are.
        opened_at: clock time of the last dial that succeeded, 0 before.
    """

    __slots__ = (
        "_closed", "_connect", "_dials", "_failed", "_fresh", "_idle", "_instance", "_quota",
        "_timer", "_waiting", "host_line", "max_idle", "open", "opened_at",
    )  # fmt: skip

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
        # Who waits, and since when: for any connection, and for a new one.
        self._waiting: OrderedDict[Caller, float] = OrderedDict()
        self._fresh: OrderedDict[Caller, float] = OrderedDict()
        self._quota = DIALS
        self._timer: asyncio.TimerHandle | None = None
        self._failed = 0
        self._closed = False
        self.max_idle = max_idle
        self.host_line = f"Host: {instance.address}\r\n".encode()
        self.open = 0
        self.opened_at = 0.0

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def take(self, now: float, *, again: bool) -> Connection | None:
        """An idle connection that is likely to be alive, if there is one.

        Args:
            now: the clock.
            again: the request could be sent again; if not, one must be surer of the connection.
        """
        max_idle = self.max_idle if again else FRESH_ONLY
        while self._idle:
            connection = self._idle.pop()
            if connection.transport.is_closing():
                continue
            if now - connection.idle_since <= max_idle and (again or connection.silent()):
                connection.reused = True
                return connection
            connection.transport.close()
        return None

    def put(self, connection: Connection) -> None:
        """Give a connection back: to who waits, else to the next request."""
        if self._waiting:
            connection.reused = True
            self._waiting.popitem(last=False)[0].connected(connection)
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
        (self._fresh if fresh else self._waiting)[caller] = monotonic()
        self._dial()

    def leave(self, caller: Caller) -> None:
        """Let the caller wait no longer."""
        self._fresh.pop(caller, None)
        self._waiting.pop(caller, None)

    def _dial(self) -> None:
        """Dial for those who wait, as many as may be dialled at once."""
        loop = asyncio.get_running_loop()
        wanted = len(self._fresh) + len(self._waiting) - len(self._dials)
        for _ in range(min(wanted, self._quota)):
            task = loop.create_task(self._dialled())
            self._dials.add(task)
            task.add_done_callback(self._ended)
            self._quota -= 1
        if self._quota < DIALS and self._timer is None:
            self._timer = loop.call_later(PACE, self._paced)

    def _paced(self) -> None:
        self._timer = None
        self._quota = DIALS
        self._dial()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._dials.discard(task)
        if not task.cancelled():
            self._dial()

    async def _dialled(self) -> None:
        loop, began = asyncio.get_running_loop(), monotonic()
        try:
            async with asyncio.timeout(self._connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self._instance.ip, self._instance.port
                )
        except (OSError, TimeoutError, ValueError):  # the last: what Nacos says is no address
            self._failed += 1
            self._refuse(began, everyone=self._failed >= len(self._dials))
            return
        self._failed = 0
        self.opened_at = monotonic()
        if waiting := self._fresh or self._waiting:
            waiting.popitem(last=False)[0].connected(connection)
        else:
            self.put(connection)

    def _refuse(self, began: float, *, everyone: bool) -> None:
        """Tell those who waited when a dial began that it failed.

        Unless as many dials in a row have failed as are under way, that is one of them.
        """
        told = [
            (waiting, caller)
            for waiting in (self._fresh, self._waiting)
            for caller, since in waiting.items()
            if since <= began
        ]
        for waiting, caller in told if everyone else told[:1]:
            if waiting.pop(caller, None) is not None:  # an earlier one's end can be another's
                caller.refused()
