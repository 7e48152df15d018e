"""The TCP sockets of this process: where it listens, and which of these places is announced.

A server runs an application's startup before it binds, and the parent of several workers binds
before any of them serves. So neither the end of the startup nor a connection that succeeds, maybe
to another program, proves that this process listens; its own sockets do.
"""

import os
import socket
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from nacos_client.errors import BadAddress
from nacos_client.own_address import IPV4_FIRST

DESCRIPTORS = Path("/dev/fd")
"""The folder of this process's open files, on Linux and macOS."""


@dataclass(frozen=True, slots=True)
class OwnSocket:
    """A bound TCP socket of this process.

    Attributes:
        host: the IP literal to which it is bound.
        port: its port.
        listens: whether the system takes connections for it.
    """

    host: str
    port: int
    listens: bool


def own_sockets() -> dict[int, OwnSocket]:
    """Return the bound TCP sockets of this process by their inode; connections are among them.

    Raises:
        BadAddress: this system does not tell.
    """
    try:
        numbers = [int(each.name) for each in DESCRIPTORS.iterdir()]
    except OSError as error:
        raise BadAddress(f"the sockets of this process are not known here: {error}") from error
    found: dict[int, OwnSocket] = {}
    for number in numbers:
        try:
            status = os.fstat(number)
            if stat.S_ISSOCK(status.st_mode) and (one := _tcp(number)):
                found[status.st_ino] = one
        except OSError:  # closed meanwhile
            continue
    return found


def _tcp(descriptor: int) -> OwnSocket | None:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        if sock.family not in IPV4_FIRST or sock.type != socket.SOCK_STREAM:
            return None
        host, port = sock.getsockname()[:2]
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return OwnSocket(str(host), int(port), bool(listens))


def announced_place(
    sockets: Mapping[int, OwnSocket], port: int | None, others: Collection[int] = ()
) -> OwnSocket:
    """Choose the listening socket whose place callers are told.

    Args:
        sockets: those of this process, by inode.
        port: the one that is to be announced; None for the only one.
        others: inodes of sockets that are not the server's, which a missing port leaves out.

    Raises:
        BadAddress: nothing listens there yet, or several ports are to be had.
    """
    listening = [
        one
        for inode, one in sockets.items()
        if one.listens and (port is not None or inode not in others)
    ]
    ports = sorted({one.port for one in listening})
    if not ports:
        raise BadAddress("this process listens on no TCP port")
    shown = " and ".join(map(str, ports))
    if port is None and len(ports) > 1:
        raise BadAddress(f"this process listens on {shown}: say which port is to be announced")
    if port is not None and port not in ports:
        raise BadAddress(
            f"this process listens on {shown}, not on {port}: start the server on port {port}, or "
            "announce the port on which it listens"
        )
    places = [one for one in listening if port in (None, one.port)]
    return min(places, key=_by_reach)


def _by_reach(one: OwnSocket) -> tuple[bool, bool, str]:
    """Prefer a socket that listens everywhere, then IPv4."""
    return not ip_address(one.host).is_unspecified, ":" in one.host, one.host
