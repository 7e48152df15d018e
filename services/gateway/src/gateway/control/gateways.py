"""The gateways of one name in Nacos, among which the limits of routes are divided.

A gateway that comes has its part at once, and the others give it up when Nacos tells them, usually
within a second. A gateway that goes keeps its part while it drains, and the others have the whole
as soon as it is out of Nacos. So for that long a limit may be over by the part of one gateway.
While Nacos is silent the last list counts, and without any the gateway takes itself for alone.
"""

import logging
from collections.abc import Iterable
from typing import Any

from failover import Instance, in_brackets
from nacos_client import Announcement, Discovery, Known, Snapshot

from gateway.routing.limits import Ledger

ADMIN = "gateway.admin"
"""Metadata of a gateway: `HOST:PORT` of its admin port, `:PORT` at the gateway's own address."""
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is asked for, not what is bound

_log = logging.getLogger(__name__)


def place_among(own: str, listed: Iterable[Instance]) -> tuple[int, int]:
    """Return how many gateways there are with this one, and its place among them, from 0.

    Args:
        own: its address; "" while that is not known.
        listed: the gateways in Nacos, with or without this one.
    """
    others = {one.address for one in listed if one.healthy and one.enabled} - {own}
    return 1 + len(others), sum(address < own for address in others)


def admin_place(host: str, port: int) -> str:
    """Return where an admin port that listens at a host is found, as `ADMIN` has it."""
    return f"{'' if host in EVERYWHERE else in_brackets(host)}:{port}"


class GatewayNumber:
    """Follows the gateways in Nacos and divides the limits among them."""

    def __init__(self, discovery: Discovery, announcement: Announcement, ledger: Ledger) -> None:
        """Take this gateway for the only one.

        Args:
            discovery: of the gateways.
            announcement: of this one.
            ledger: where its workers count.
        """
        self._discovery = discovery
        self._announcement = announcement
        self._ledger = ledger
        self._own = ""

    def follow(self) -> None:
        """Follow the gateways from now on."""
        self._discovery.subscribe(self._take)

    def state(self) -> dict[str, Any]:
        """Return the number of gateways and this one's place, for /readyz."""
        number, place = self._ledger.gateways
        return {"ok": True, "number": number, "place": place}

    def _take(self, snapshot: Snapshot) -> None:
        if not isinstance(snapshot, Known):
            return
        wanted = self._announcement.state.wanted
        if wanted is not None and wanted.ip:  # a gateway that has left counts itself till its end
            self._own = wanted.address
        both = place_among(self._own, snapshot.instances)
        if both != self._ledger.gateways:
            self._ledger.divide(*both)
            _log.info("limits_divided", extra={"gateways": both[0], "place": both[1]})
