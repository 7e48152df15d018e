"""The orders of an operator, which every gateway of one name follows: a document in Nacos.

An instance that is drained stays out of traffic for as long as the document names it, also where a
gateway starts later or again. An ejection is ended once, by every worker that runs when the order
arrives: what an instance does after that is judged anew. Who may write the document decides who
may give orders; who did is in its entries, as they say it, and in Nacos' history, as Nacos knows
it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from nacos_client import BadDocument, Conflict, Nacos
from nacos_client.documents import explained, validated
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.upstream.service import NAME

KEPT_RESTORES = 100
"""Ended ejections that the document keeps, the newest."""
ATTEMPTS = 5
"""Attempts to write an order while others write theirs."""
PAUSE = 0.2
"""Seconds between two attempts: a server may still show the document that was there before."""

Service = Annotated[
    str,
    StringConstraints(
        pattern=rf"^([A-Za-z0-9_-]{{1,64}}/)?([A-Za-z0-9._:-]{{1,128}}@@)?{NAME}$", max_length=300
    ),
]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\[\]-]{1,128}:[0-9]{1,5}$")]
Told = Annotated[str, StringConstraints(max_length=256)]


class Order(BaseModel):
    """An order about one instance, as its giver describes it.

    Attributes:
        by: who gave it.
        at: when, in UTC.
        reason: why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Told = ""
    at: Told = ""
    reason: Told = ""


Orders = Annotated[dict[Address, Order], Field(max_length=1000)]


class OrdersDocument(BaseModel):
    """The document `GATEWAY.orders`: orders by service and address.

    Attributes:
        drained: instances that get nothing new.
        restored: instances whose ejection was ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    drained: Annotated[dict[Service, Orders], Field(max_length=1000)] = Field(default_factory=dict)
    restored: Annotated[dict[Service, Orders], Field(max_length=1000)] = Field(default_factory=dict)


Place = tuple[str, str]
"""A service and the address of one of its instances."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a worker has to do for another document, each a list of services and addresses."""

    drain: tuple[Place, ...]
    undrain: tuple[Place, ...]
    restore: tuple[Place, ...]


def orders_id(gateway: str) -> str:
    """Return the data id of the orders to the gateways of this name."""
    return f"{gateway}.orders"


def listed(orders: Mapping[str, Mapping[str, Order]]) -> dict[Place, Order]:
    """Return orders by service and address."""
    return {
        (service, address): order
        for service, those in orders.items()
        for address, order in those.items()
    }


def changes(before: OrdersDocument, after: OrdersDocument) -> Changes:
    """Decide what a worker has to do that has followed one document and gets another.

    An order that stays is not carried out again: whatever was done to the instance since, by the
    admin port while Nacos was away, holds.
    """
    was, now = listed(before.drained), listed(after.drained)
    done = listed(before.restored).items()
    return Changes(
        drain=tuple(place for place in now if place not in was),
        undrain=tuple(place for place in was if place not in now),
        restore=tuple(place for place, order in listed(after.restored).items()
                      if (place, order) not in done),
    )  # fmt: skip


def with_drain(document: OrdersDocument, place: Place, order: Order) -> OrdersDocument:
    """Return the document with an instance drained; a drain that is there keeps its giver."""
    drained = {place: order} | listed(document.drained)
    return OrdersDocument(drained=_by_service(drained), restored=document.restored)


def without_drain(document: OrdersDocument, place: Place) -> OrdersDocument:
    """Return the document with an instance let back."""
    drained = listed(document.drained)
    drained.pop(place, None)
    return OrdersDocument(drained=_by_service(drained), restored=document.restored)


def with_restore(document: OrdersDocument, place: Place, order: Order) -> OrdersDocument:
    """Return the document with an instance's ejection ended, and without the oldest such orders."""
    restored = listed(document.restored) | {place: order}
    newest = sorted(restored.items(), key=lambda entry: entry[1].at)[-KEPT_RESTORES:]
    return OrdersDocument(drained=document.drained, restored=_by_service(dict(newest)))


def _by_service(orders: Mapping[Place, Order]) -> dict[str, dict[str, Order]]:
    found: dict[str, dict[str, Order]] = {}
    for (service, address), order in orders.items():
        found.setdefault(service, {})[address] = order
    return found


def order_of(by: str, reason: str, now: datetime | None = None) -> Order:
    """Return an order that is given now."""
    at = (now or datetime.now(UTC)).isoformat()
    return Order(by=by, at=at, reason=reason)


Change = Callable[[OrdersDocument], OrdersDocument]


class OrderBook:
    """The document in Nacos, to be read and written."""

    def __init__(self, nacos: Nacos, gateway: str) -> None:
        """Take a client whose user may write the document, if orders are to be given."""
        self.data_id = orders_id(gateway)
        self._nacos = nacos

    async def read(self) -> tuple[OrdersDocument, str]:
        """Return the orders in force and their version: the document's MD5, "" for none.

        Raises:
            BadDocument: the document is wrong, so gateways follow an earlier one.
            NacosError: Nacos does not answer or refuses.
        """
        found = await self._nacos.fetch(self.data_id)
        documents = [(self.data_id, found)] if found else []
        return validated(OrdersDocument, documents), found.md5 if found else ""

    async def write(self, change: Change) -> str:
        """Change the document; returns the MD5 of the one that is then there.

        Raises:
            BadDocument: the document in Nacos is wrong, or would be: an order that there cannot be,
                or one too many.
            Conflict: others wrote the document all the time.
            NacosError: Nacos does not answer or refuses; a server before 2.3.2 refuses to change
                a document that is there.
        """
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE * attempt)
            document, md5 = await self.read()
            try:
                changed = change(document)
            except ValidationError as error:
                raise BadDocument(explained(error, OrdersDocument)) from error
            if changed == document:
                return md5
            content = changed.model_dump_json(exclude_defaults=True) + "\n"  # JSON is YAML
            try:
                await self._nacos.publish(self.data_id, content, cas_md5=md5 or None)
            except Conflict:
                continue
            return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
        raise Conflict(f"{self.data_id} was changed by others {ATTEMPTS} times: try again")
