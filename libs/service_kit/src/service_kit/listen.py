"""Binding the sockets that a process, or several of them, will listen on."""

import logging
import socket

from service_kit.exit_codes import ExitCode

_log = logging.getLogger(__name__)


def bind(host: str, port: int, *, processes: int = 1) -> list[socket.socket]:
    """Bind a TCP socket for each process that will listen on the address, not listening yet.

    Raises:
        SystemExit: code 3, after a log line `cannot_listen`: the address is taken or not ours.
    """
    try:
        first = _bound(host, port, shared=False)
        if processes == 1:
            return [first]
        # No other process has the port: only then is it shared, and only between our own.
        first.close()
        return [_bound(host, port, shared=True) for _ in range(processes)]
    except OSError as error:
        _log.error("cannot_listen", extra={"host": host, "port": port, "reason": error.strerror})
        raise SystemExit(ExitCode.CANNOT_LISTEN) from error


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    sock.bind((host, port))
    return sock
