"""Binding the sockets on which one process, or several processes, will listen.

The addresses that stand for every interface and for this host are also good on a host without IPv4:
`0.0.0.0` is `::` there, which takes IPv4 as well where there is any, and `127.0.0.1` is `::1`.
"""

import errno
import logging
import socket

from service_kit.exit_codes import ExitCode

EVERYWHERE, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104 - compared
SOMEWHERE = ("192.0.2.1", 9)
"""An address of documentation (RFC 5737), to ask for a route."""

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
    if host == EVERYWHERE and not _has_ipv4() and socket.has_dualstack_ipv6():
        host = "::"
    try:
        return _bound_at(host, port, shared=shared)
    except OSError as error:
        if host != LOOPBACK or error.errno != errno.EADDRNOTAVAIL:
            raise
        return _bound_at("::1", port, shared=shared)


def _bound_at(host: str, port: int, *, shared: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)  # it, if any
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _has_ipv4() -> bool:
    """Return whether an IPv4 packet would leave this host; none is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return False
        return True
