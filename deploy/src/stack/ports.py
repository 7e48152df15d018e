"""Free TCP ports, and the family of ports that one Nacos server takes."""

import random
import socket
from collections.abc import Iterable
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


def free_port() -> int:
    """Return a port on which nobody listens (another process may still take it first)."""
    return next(port for port in _candidates() if is_free(port))


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

    @classmethod
    def free(cls) -> "NacosPorts":
        """Return a family of ports that are all free."""
        return next(
            family
            for family in (cls(port, port + 1) for port in _candidates())
            if all(is_free(port) for port in family.all.values())
        )
