"""Binding the sockets on which one process, or several processes, will listen."""

import logging
import socket

from service_kit.exit_codes import ExitCode

_log = logging.getLogger(__name__)


def bind(host: str, port: int, *, processes: int = 1) -> list[socket.socket]:
    """Return a bound TCP socket, not yet listening, for each process that will listen.

    Raises:
        SystemExit: code 3, after a log line `cannot_listen`: the address is taken or not ours.
    """
    try:
        first = _bound(host, port, shared=False)
        if processes == 1:
            return [first]
        # The first socket proves that no other program has the port. Only our processes share it.
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
