"""The desk for an operator's orders, given by the API or the console: carried out, and told.

An order is carried out by the workers of this gateway, and written to the document that every
gateway of its name follows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol

from nacos_client import NacosError

from gateway.control.orders import (
    Change,
    Order,
    OrderBook,
    Place,
    order_of,
    with_drain,
    with_restore,
    without_drain,
)

COMMANDS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "drain": {"do": "drain", "drained": True},
        "undrain": {"do": "drain", "drained": False},
        "restore": {"do": "restore"},
    }
)
"""What a worker is told, by the name of the order."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is to be done: `drain`, `undrain` or `restore`, and to which instance of a service."""

    do: str
    service: str
    instance: str

    def change(self, order: Order) -> Change:
        """Return the change of the document that all gateways follow."""
        place: Place = self.service, self.instance
        if self.do == "undrain":
            return partial(without_drain, place=place)
        return partial(with_drain if self.do == "drain" else with_restore, place=place, order=order)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """An order that was carried out: in how many workers, and which gateways it reaches.

    Attributes:
        workers: those of this gateway that had something to do.
        gateways: `all`, or why this gateway alone has the order.
    """

    workers: int
    gateways: str


class Asking(Protocol):
    """The workers, as far as orders need them."""

    async def ask(self, command: Mapping[str, Any]) -> list[Any]:
        """Send a command to every worker and return their answers."""


class OrderDesk:
    """Carries orders out in every worker and every gateway, and tells who wants to know."""

    def __init__(self, workers: Asking, book: OrderBook | None = None) -> None:
        """Take this gateway's workers, and where orders are written for all; None: nowhere."""
        self._workers = workers
        self._book = book
        self._told: list[Callable[[Instruction, str], None]] = []

    def tell(self, told: Callable[[Instruction, str], None]) -> None:
        """Call `told` with each order that was carried out, and who gave it."""
        self._told.append(told)

    async def carry_out(
        self, instruction: Instruction, by: str, reason: str = ""
    ) -> CarriedOut | None:
        """Carry an order out; return None if there is nothing to do.

        Args:
            instruction: what to do.
            by: who gave the order.
            reason: why.
        """
        name, address = instruction.service, instruction.instance
        command = COMMANDS[instruction.do]
        done = await self._workers.ask({"service": name, "instance": address, **command})
        if not any(done) and not (self._book and await self._is_listed(name, address)):
            return None
        if command.get("drained") and not all(done):  # some workers do not know the service yet
            done = await self._workers.ask({"do": "keep", "drained": {name: [address]}})
        reached = await self._reach(instruction.change(order_of(by, reason)))
        for told in self._told:
            told(instruction, by)
        return CarriedOut(sum(map(bool, done)), reached)

    async def _is_listed(self, name: str, address: str) -> bool:
        """Return whether an instance is there: another gateway may have ejected it."""
        views = [view.get(name) or {} for view in await self._workers.ask({"do": "services"})]
        return any(one["address"] == address for view in views for one in view.get("instances", ()))

    async def _reach(self, change: Change) -> str:
        """Write an order for every gateway; returns `all`, or why this gateway alone has it."""
        if self._book is None:
            return "this one alone"
        try:
            await self._book.write(change)
        except NacosError as error:
            return f"this one alone: {self._book.data_id} cannot be written: {error}"
        return "all"


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether a page that was loaded from this host sent a request.

    Args:
        origin: the field `Origin`, which browsers send with each request that may change something.
        host: the field `Host`.
    """
    scheme, _, authority = origin.partition("://")
    return scheme in {"http", "https"} and bool(host) and authority.lower() == host.lower()
