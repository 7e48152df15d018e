"""The number of gateways of one name, among which the limits of routes are divided.

A gateway that comes has its part at once, and the others give it up when Nacos tells them, usually
within a second. A gateway that goes keeps its part while it drains, and the others have the whole
as soon as it is out of Nacos. So for that long a limit may be over by the part of one gateway.
While Nacos is silent the last list counts, and without any the gateway takes itself for alone.
"""

import ipaddress
import logging
from typing import Any

from failover import in_brackets

from gateway.routing.limits import Ledger
from gateway.upstream.neighbours import Neighbours

ADMIN = "gateway.admin"
"""Metadata of a gateway: `HOST:PORT` of its admin port, `:PORT` at the gateway's own address."""
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is asked for, not what is bound

_log = logging.getLogger(__name__)


def admin_place(host: str, port: int) -> str:
    """Return where an admin port that listens at a host is found, as `ADMIN` has it."""
    return f"{'' if host in EVERYWHERE else in_brackets(host)}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether an admin port at this host can be reached from that host alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GatewayNumber:
    """Divides the limits among the gateways that there are."""

    def __init__(self, ledger: Ledger) -> None:
        """Take this gateway for the only one, and the ledger where its workers count."""
        self._ledger = ledger

    def state(self) -> dict[str, Any]:
        """Return the number of gateways and this one's place, for /readyz."""
        number, place = self._ledger.gateways
        return {"ok": True, "number": number, "place": place}

    def divide(self, neighbours: Neighbours) -> None:
        """Divide the limits anew, if there are other gateways than before."""
        number, place = neighbours.place
        if (number, place) != self._ledger.gateways:
            self._ledger.divide(number, place)
            _log.info("limits_divided", extra={"gateways": number, "place": place})
