"""The data port: listens, counts connections, expires overdue requests, drains.

One coarse timer looks after all deadlines: a timer per request would cost more than the request.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, cast

from gateway.downstream.connection import ClientConnection
from gateway.http.request import Forwarded
from gateway.http.turn import TurnTransport
from gateway.proxy.context import Expiring, ProxyContext

TICK = 0.025
"""Seconds between two sweeps over the exchanges, while there are any: without, the sweep rests, for
40 turns of the loop a second are most of what an idle gateway does."""
SLOW_TICK = 1.0
"""Seconds between two sweeps over the connections."""
FINISH = 30.0
"""Seconds that requests under way have when the port closes."""
NOTICE = 2.0
"""Seconds in which clients learn from a response that the connection closes, before the connections
that they did not use in that time are closed: a request that meets the close on its way is lost."""
HANDSHAKE = 0.5
"""Seconds for the TLS handshakes of the connections that were accepted last."""
BACKLOG = 1024
TOLD_OVER_LIMIT = 128
"""Connections over the limit that are told so and linger; further ones are cut: each one takes a
file descriptor."""

_log = logging.getLogger(__name__)


class DataPort:
    """The port to which clients connect. A `Listener` of the process runner."""

    def __init__(
        self,
        context: ProxyContext,
        sock: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        trusted: Iterable[IPv4Network | IPv6Network] = (),
    ) -> None:
        """Take a bound socket.

        Args:
            context: shared by all requests.
            sock: bound, not yet listening.
            tls: certificate and key, for HTTPS.
            trusted: networks of proxies whose `X-Forwarded-*` are believed.
        """
        self.connections: set[ClientConnection] = set()
        self.over_limit = 0
        self._context = context
        self._sock = sock
        self._tls = tls
        self._trusted = tuple(trusted)
        self._described: dict[str, Forwarded] = {}
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._slow_sweep_at = 0.0
        self._told_at = 0.0
        self.ticks = 0

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port that the data port is bound to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: cast("asyncio.Protocol", ClientConnection(self._context, self)),
            sock=self._sock,
            backlog=BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=self._context.port_limits.head if self._tls else None,
        )
        self._tick()

    def leave(self) -> None:
        """Let every response from now on close its connection."""
        if not self._context.draining:
            self._context.draining = True
            self._told_at = self._context.clock()

    async def drain(self) -> None:
        """Stop accepting, let every response close its connection, close idle connections."""
        self.leave()
        self.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH):
                await asyncio.sleep(HANDSHAKE)
                while self.connections:
                    self._close_unused(self._context.clock() - NOTICE)
                    await asyncio.sleep(TICK)
        for connection in list(self.connections):
            connection.reset()

    def _close_unused(self, since: float) -> None:
        """Close the connections that were not used since then, if the port was leaving by then."""
        if self._told_at <= since:
            for connection in [one for one in self.connections if one.idle_since <= since]:
                connection.close()

    def stop_accepting(self) -> None:
        """Close the listening socket; connections go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop the sweep."""
        self._context.wake = None
        if self._sweep is not None:
            self._sweep.cancel()

    def joined(self, connection: ClientConnection) -> bool:
        """Count a connection; False if there are too many."""
        self.connections.add(connection)
        above = len(self.connections) - self._context.port_limits.connections
        if above <= 0:
            return True
        self.over_limit += 1
        if above > TOLD_OVER_LIMIT:
            connection.reset()
        return False

    def left(self, connection: ClientConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def describe(self, transport: TurnTransport) -> Forwarded:
        """Return the facts about a client, remembered for the next connection of its address."""
        peer: Any = transport.get_extra_info("peername")
        host = str(peer[0]).removeprefix("::ffff:") if peer else ""  # IPv4 on a socket for both
        known = self._described.get(host)
        if known is None:
            if len(self._described) > self._context.port_limits.connections:
                self._described.clear()
            known = self._described[host] = Forwarded(
                address=host.encode(),
                scheme=b"https" if self._tls else b"http",
                port=b"%d" % self.address[1],
                trusted=bool(host) and any(ip_address(host) in net for net in self._trusted),
            )
        return known

    @staticmethod
    def _expire(exchange: Expiring, now: float) -> None:
        """Have one exchange act; an error ends that exchange, not the sweep."""
        try:
            exchange.expire(now)
        except Exception:  # noqa: BLE001 - the other exchanges are still to be swept
            _log.exception("request_failed")
            exchange.cut()

    def _tick(self) -> None:
        """Call `expire` on every overdue exchange, once a second on every overdue connection."""
        now = self._context.clock()
        self._context.wake = None  # the sweep is awake: a reply to a slow head wakes no second one
        try:
            for exchange in [one for one in self._context.active if one.due <= now]:
                if exchange.due <= now:  # still: the end of one exchange may let another go on
                    self._expire(exchange, now)
            self.ticks += 1
            if now >= self._slow_sweep_at:
                self._slow_sweep_at = now + SLOW_TICK
                for connection in [one for one in self.connections if one.due <= now]:
                    connection.expire(now)
                self._context.directory.prune(now)
        except Exception:  # noqa: BLE001 - the sweep keeps all deadlines: it logs and goes on
            _log.exception("sweep_failed")
        pause = TICK
        if not (self._context.active or self._context.draining):
            pause = max(TICK, self._slow_sweep_at - now)
            self._context.wake = self._wake
        self._sweep = asyncio.get_running_loop().call_later(pause, self._tick)

    def _wake(self) -> None:
        """Sweep at the usual pace again: a request has come."""
        self._context.wake = None
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = asyncio.get_running_loop().call_later(TICK, self._tick)
