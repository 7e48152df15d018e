"""One instance of a service, as discovery knows it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})
MAX_IN_FLIGHT: Final = "gateway.max-in-flight"
"""Metadata: requests one caller may have under way at this instance."""
TIMEOUT: Final = "gateway.timeout"
"""Metadata: seconds after which the service itself gives a request up."""
CANARY: Final = "gateway.canary"
"""Metadata: "true" keeps the instance out of the traffic of callers who do not ask for it."""
SECURE: Final = "secure"
"""Metadata: "true" in any case if the instance listens for TLS."""
_COUNT: Final = re.compile(r"[1-9][0-9]{0,6}")
_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
MAX_TIMEOUT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Instance:
    """The place where one process of a service listens, and what its registration says of it.

    Attributes:
        ip: IPv4 or IPv6 literal, never in brackets, in which Java registers the latter.
        port: TCP port.
        weight: share of traffic relative to its peers, 0 or more (Nacos scale: 1.0 is normal).
        healthy: what Nacos believes; necessary for traffic, never sufficient.
        enabled: False while an operator or the instance itself keeps it out of traffic.
        cluster: Nacos cluster name; callers prefer their own.
        metadata: free labels; `gateway.canary`, `gateway.idempotent`, `gateway.max-in-flight`,
            `gateway.timeout`, `secure` and `model_version` mean something to us.
    """

    ip: str
    port: int
    weight: float = 1.0
    healthy: bool = True
    enabled: bool = True
    cluster: str = "DEFAULT"
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA, hash=False)

    def __post_init__(self) -> None:
        if self.ip.startswith("["):
            object.__setattr__(self, "ip", without_brackets(self.ip))

    @property
    def host(self) -> str:
        """Return the IP literal as it stands in a URL, and as Java registers it."""
        return in_brackets(self.ip)

    @property
    def address(self) -> str:
        """Return `ip:port` or `[ip]:port`, the key under which load and ejection are kept."""
        return f"{in_brackets(self.ip)}:{self.port}"

    @property
    def secure(self) -> bool:
        """Return whether the instance listens for TLS: metadata `secure`, as Spring reads it."""
        return self.metadata.get(SECURE, "").lower() == "true"

    @property
    def canary(self) -> bool:
        """Return whether only callers who ask for labels of the instance meet it."""
        return self.metadata.get(CANARY, "").lower() == "true"

    @property
    def share(self) -> float:
        """Return the weight among the instances that a caller may choose from.

        A canary has no weight in Nacos, so that callers in Java do not meet it: there it counts as
        normal.
        """
        return 1.0 if self.weight == 0 and self.canary else self.weight

    @property
    def max_in_flight(self) -> int | None:
        """Return how many requests of one caller the instance takes; None if it names no number."""
        said = self.metadata.get(MAX_IN_FLIGHT, "")
        return int(said) if _COUNT.fullmatch(said) else None

    @property
    def timeout(self) -> float | None:
        """Return the seconds that the instance gives a request; None if it names no number."""
        said = self.metadata.get(TIMEOUT, "")
        seconds = float(said) if _SECONDS.fullmatch(said) else 0.0
        return seconds if 0.0 < seconds <= MAX_TIMEOUT else None


def in_brackets(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 literal in brackets, all else unchanged."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def without_brackets(host: str) -> str:
    """Return a host as sockets take it: an IPv6 literal without brackets, all else unchanged."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def one_each(instances: Iterable[Instance], cluster: str) -> Iterable[Instance]:
    """Keep one instance for each address.

    Nacos lists an instance twice that is in two clusters, or that two clients registered.

    Args:
        instances: as listed.
        cluster: preferred, after what is enabled and healthy.
    """
    found: dict[str, Instance] = {}
    for one in instances:
        other = found.get(one.address)
        if other is None or _claim(one, cluster) > _claim(other, cluster):
            found[one.address] = one
    return found.values()


def _claim(one: Instance, cluster: str) -> tuple[bool, bool, bool, str]:
    return one.enabled, one.healthy, one.cluster == cluster, one.cluster
