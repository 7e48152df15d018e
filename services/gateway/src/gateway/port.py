"""The data port: listens, counts connections, sweeps for what is overdue, drains.

One coarse timer looks after all deadlines: a timer per request would cost more than the request.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from gateway.client import ClientConnection
from gateway.core import Core, Held, Timed
from gateway.request import Forwarded

TICK = 0.025
"""Seconds between two looks at the exchanges."""
SLOW_TICKS = 40
"""Ticks between two looks at the connections: one second."""
FINISH = 30.0
"""Seconds that requests under way have when the port closes."""
NOTICE = 0.5
"""Seconds in which busy clients learn from an answer that the connection closes, before idle ones
are closed under them."""
BACKLOG = 1024
AT_THE_DOOR = 128
"""Connections above the limit that are told so and linger; more are cut: each has a descriptor."""

_log = logging.getLogger(__name__)


class DataPort:
    """Where clients connect. A `Listener` of the process runner."""

    def __init__(
        self,
        core: Core,
        sock: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        trusted: Iterable[IPv4Network | IPv6Network] = (),
    ) -> None:
        """Take a bound socket.

        Args:
            core: what all exchanges share.
            sock: bound, not yet listening.
            tls: certificate and key, for HTTPS.
            trusted: networks of proxies whose `X-Forwarded-*` are believed.
        """
        self.connections: set[Held] = set()
        self.refused = 0
        self._core = core
        self._sock = sock
        self._tls = tls
        self._trusted = tuple(trusted)
        self._described: dict[str, Forwarded] = {}
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._ticks = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it is bound to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ClientConnection(self._core, self), sock=self._sock, ssl=self._tls,
            ssl_handshake_timeout=self._core.edge.head if self._tls else None, backlog=BACKLOG,
        )  # fmt: skip
        self._tick()

    async def drain(self) -> None:
        """Stop accepting, let every answer close its connection, close what is idle."""
        self._core.draining = True
        self.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH):
                await asyncio.sleep(NOTICE)
                while self.connections:
                    for connection in [one for one in self.connections if one.idle]:
                        connection.abort()
                    await asyncio.sleep(TICK)
        for connection in list(self.connections):
            connection.cut()

    def stop_accepting(self) -> None:
        """Close the listening socket; connections go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop the sweep."""
        if self._sweep is not None:
            self._sweep.cancel()

    def joined(self, connection: Held) -> bool:
        """Count a connection; False if there are too many, of which some are told so."""
        self.connections.add(connection)
        above = len(self.connections) - self._core.edge.connections
        if above <= 0:
            return True
        self.refused += 1
        if above > AT_THE_DOOR:
            connection.cut()
        return False

    def left(self, connection: Held) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def describe(self, transport: asyncio.Transport) -> Forwarded:
        """Say who the client is; kept for the next connection of the same address."""
        peer: Any = transport.get_extra_info("peername")
        host = str(peer[0]) if peer else ""
        known = self._described.get(host)
        if known is None:
            if len(self._described) > self._core.edge.connections:
                self._described.clear()
            known = self._described[host] = Forwarded(
                address=host.encode(),
                scheme=b"https" if self._tls else b"http",
                port=b"%d" % self.address[1],
                trusted=bool(host) and any(ip_address(host) in net for net in self._trusted),
            )
        return known

    @staticmethod
    def _expire(exchange: Timed, now: float) -> None:
        """Have one exchange act; what goes wrong in it is its own end, not that of the sweep."""
        try:
            exchange.expire(now)
        except Exception:  # noqa: BLE001 - all others are still to be looked after
            _log.exception("request_failed")
            exchange.cut()

    def _tick(self) -> None:
        """Call `expire` on whatever is overdue."""
        try:
            now = self._core.clock()
            for exchange in [one for one in self._core.active if one.due <= now]:
                if exchange.due <= now:  # still: the end of one may let another go on
                    self._expire(exchange, now)
            self._ticks += 1
            if self._ticks % SLOW_TICKS == 0:
                for connection in [one for one in self.connections if one.due <= now]:
                    connection.expire(now)
                self._core.directory.prune(now)
        except Exception:  # noqa: BLE001 - the sweep looks after all deadlines: it logs and goes on
            _log.exception("sweep_failed")
        self._sweep = asyncio.get_running_loop().call_later(TICK, self._tick)
