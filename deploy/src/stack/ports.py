"""Free TCP ports, and the family of ports that one Nacos server takes."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

LOWEST, HIGHEST = 18_000, 30_000
"""The range of the free ports: below the one that the system uses for outgoing connections."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def claim(*ports: int) -> bool:
    """Claim ports for the servers of this process, and tell whether all of them were to be had.

    No other caller of this function, in whatever process, gets a claimed port until this process
    ends: the claim is the UDP port of the same number, which is bound and never closed.
    """
    with ExitStack() as stack:
        claims = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in ports
        ]
        try:
            for one, port in zip(claims, ports, strict=True):
                one.bind(("127.0.0.1", port))
        except OSError:
            return False
        if not all(map(is_free, ports)):
            return False
        for one in claims:
            one.detach()
    return True


def free_port() -> int:
    """Return a port on which nobody listens, claimed for this process."""
    return next(port for port in _candidates() if claim(port))


def _candidates() -> Iterable[int]:
    return iter(lambda: random.randint(LOWEST, HIGHEST), 0)  # noqa: S311 - not a secret


@dataclass(frozen=True, slots=True)
class NacosPorts:
    """The ports of one Nacos server: HTTP and console are chosen, the others follow from HTTP."""

    http: int
    console: int

    @property
    def all(self) -> dict[str, int]:
        """Every port by its purpose."""
        return {
            "HTTP": self.http,
            "console": self.console,
            "gRPC": self.http + 1000,
            "gRPC between servers": self.http + 1001,
            "raft": self.http - 1000,
        }

    def members(self, size: int) -> tuple["NacosPorts", ...]:
        """Return the ports of a cluster's members: these first, then others ten apart."""
        others = range(self.http + 10, self.http + 10 * size, 10)
        return (self, *(NacosPorts(http, http + 1) for http in others))

    @classmethod
    def free(cls) -> "NacosPorts":
        """Return a family of ports that are all free, claimed for this process."""
        return next(
            family
            for family in (cls(port, port + 1) for port in _candidates())
            if claim(*family.all.values())
        )
