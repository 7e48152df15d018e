"""The pool of connections to one instance: which are kept, which comes next, how many are dialled.

Last in, first out: a small set stays warm and the rest grows old and is closed. An idle connection
is given up well before a service would close it (uvicorn: 5 s), because a request sent into that
moment is lost: the keep-alive race.

A request that finds no idle connection waits for the first one there is, a new one or one that is
given back. Dialling costs as much as several requests; if every request of a burst dialled, the
burst would last longer and bring yet more requests that dial.
"""

import asyncio
import ssl
from collections import OrderedDict
from time import monotonic
from typing import Final, Protocol, cast

from failover import Instance

from gateway.http.turn import Turn
from gateway.upstream.connection import ConnectionHome, InstanceConnection

DIALS: Final = 8
"""Connections that are dialled at once."""
PACE: Final = 0.002
"""Seconds until as many are dialled again, while any request waits: long enough for a connection to
be given back by a service that is quick and near, short enough to dial a thousand before the first
of them times out."""
FRESH_ONLY: Final = 1.0
"""Seconds a connection may have been idle to carry a request that cannot be sent again."""


class ConnectionWaiter(Protocol):
    """A request that waits for a connection."""

    __slots__ = ()

    def connected(self, connection: InstanceConnection) -> None:
        """Take the connection."""

    def connect_failed(self) -> None:
        """Go elsewhere: no connection could be made."""


class ConnectionPool(ConnectionHome):
    """The connections to one instance, idle, busy and being dialled.

    Attributes:
        address: of the instance.
        idle: connections that wait for a request, the one used last at the end.
        open: how many connections are open.
        opened_at: clock time of the last dial that succeeded, 0 before.
        secure: the connections are TLS.
        turn: at whose end the writes to the instance leave.
    """

    __slots__ = (
        "_closed", "_connect", "_dials", "_failed", "_fresh", "_instance", "_quota", "_server_name",
        "_timer", "_tls", "_waiting", "address", "host_line", "idle", "max_idle", "open",
        "opened_at", "secure", "turn", "warm",
    )  # fmt: skip

    def __init__(
        self,
        instance: Instance,
        *,
        connect: float,
        max_idle: float,
        turn: Turn,
        tls: tuple[ssl.SSLContext, str] | None = None,
        warm: set["ConnectionPool"] | None = None,
    ) -> None:
        """Start without a connection.

        Args:
            instance: where to.
            tls: speak TLS, and expect this name in the instance's certificate.
            connect: seconds to open a connection.
            max_idle: seconds after which an idle connection is not used again.
            turn: at whose end the writes to the instance leave.
            warm: the pools that may have an idle connection; this one adds itself.
        """
        self.warm = set() if warm is None else warm
        self._instance = instance
        self._connect = connect
        self._tls = tls[0] if tls is not None else None
        self._server_name = tls[1] if tls is not None else None
        self.secure = tls is not None
        self.idle: list[InstanceConnection] = []
        self._dials: set[asyncio.Task[None]] = set()
        # The requests that wait, and since when: for any connection, and for a new one.
        self._waiting: OrderedDict[ConnectionWaiter, float] = OrderedDict()
        self._fresh: OrderedDict[ConnectionWaiter, float] = OrderedDict()
        self._quota = DIALS
        self._timer: asyncio.TimerHandle | None = None
        self._failed = 0
        self._closed = False
        self.max_idle = max_idle
        self.address = instance.address
        self.host_line = f"Host: {instance.address}\r\n".encode()
        self.open = 0
        self.opened_at = 0.0
        self.turn = turn

    def take(self, now: float, *, resendable: bool) -> InstanceConnection | None:
        """Return an idle connection that is likely to be alive, if there is one.

        Args:
            now: the clock.
            resendable: the request could be sent again; if not, the connection must be surer.
        """
        max_idle = self.max_idle if resendable else FRESH_ONLY
        while self.idle:
            connection = self.idle.pop()
            if connection.ended:
                continue
            if now - connection.idle_since <= max_idle and (
                resendable or connection.nothing_to_read()
            ):
                connection.reused = True
                return connection
            connection.transport.close()
        return None

    def put(self, connection: InstanceConnection) -> None:
        """Give a connection back: to a request that waits, else to the next request.

        The request that waits may be one that cannot be sent again, so the connection must not
        have ended already.
        """
        if self._waiting and not connection.nothing_to_read():
            connection.transport.close()
        elif self._waiting:
            connection.reused = True
            self._waiting.popitem(last=False)[0].connected(connection)
        elif self._closed:
            connection.transport.close()
        else:
            connection.idle_since = monotonic()
            if not self.idle:
                self.warm.add(self)
            self.idle.append(connection)

    def forget(self, connection: InstanceConnection) -> None:
        """Drop a connection that was closed while idle."""
        if connection in self.idle:
            self.idle.remove(connection)

    def prune(self, now: float) -> None:
        """Close the connections that have been idle for too long: the oldest are at the front."""
        while self.idle and now - self.idle[0].idle_since > self.max_idle:
            self.idle.pop(0).transport.close()
        if not self.idle:
            self.warm.discard(self)

    def close(self) -> None:
        """Close every idle connection, now and later."""
        self._closed = True
        while self.idle:
            self.idle.pop().transport.close()

    def wait(self, waiter: ConnectionWaiter, *, fresh: bool = False) -> None:
        """Give a waiter the first connection there is; a new one if it must be `fresh`."""
        (self._fresh if fresh else self._waiting)[waiter] = monotonic()
        self._dial()

    def stop_waiting(self, waiter: ConnectionWaiter) -> None:
        """Let a waiter wait no longer."""
        self._fresh.pop(waiter, None)
        self._waiting.pop(waiter, None)

    def _dial(self) -> None:
        """Dial for the requests that wait, as many connections as may be dialled at once."""
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
        connection = InstanceConnection(self)
        protocol = cast("asyncio.Protocol", connection)
        try:
            async with asyncio.timeout(self._connect):
                await loop.create_connection(
                    lambda: protocol, self._instance.ip, self._instance.port,
                    ssl=self._tls, server_hostname=self._server_name,
                )  # fmt: skip
        # ssl.SSLError is an OSError; ValueError: Nacos gave no address
        except (OSError, TimeoutError, ValueError):
            self._failed += 1
            self._dial_failed(began, everyone=self._failed >= len(self._dials))
            return
        self._failed = 0
        self.opened_at = monotonic()
        if waiting := self._fresh or self._waiting:
            waiting.popitem(last=False)[0].connected(connection)
        else:
            self.put(connection)

    def _dial_failed(self, began: float, *, everyone: bool) -> None:
        """Tell the requests that waited when a dial began that it failed.

        Only one request is told, unless as many dials in a row have failed as are under way.
        """
        told = [
            (waiting, waiter)
            for waiting in (self._fresh, self._waiting)
            for waiter, since in waiting.items()
            if since <= began
        ]
        for waiting, waiter in told if everyone else told[:1]:
            if waiting.pop(waiter, None) is not None:  # the end of one request can end another
                waiter.connect_failed()
