"""The admin port: services, instances, routes, and the orders that an operator may give."""

import hmac
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from nacos_client import NacosError
from service_kit import HealthChecks, Problem, add_docs, add_health

from gateway.control.orders import (
    Change,
    OrderBook,
    order_of,
    with_drain,
    with_restore,
    without_drain,
)

ADMIN_PORT = "admin port"
"""The giver of an order who does not say another name."""
Giver = Annotated[str, Query(max_length=256)]

Command = Mapping[str, Any]


class Workers(Protocol):
    """The workers behind the admin port: one in this process, or several in others."""

    def check(self) -> dict[str, Any]:
        """Return whether every worker serves, for /readyz."""

    async def ask(self, command: Command) -> list[Any]:
        """Send a command to every worker and return their answers."""

    async def refresh(self) -> None:
        """Have the workers' states ready to be read."""


def create_app(
    workers: Workers,
    health: HealthChecks,
    *,
    version: str,
    token: str | None,
    orders: OrderBook | None = None,
) -> FastAPI:
    """Return the application of the admin port.

    Args:
        workers: the data paths.
        health: what /readyz tells.
        version: of the gateway.
        token: bearer token for `/api`, None if none is asked for.
        orders: where an order is written for every gateway; None: it is for this one alone.
    """
    app = FastAPI(
        title="Gateway admin",
        version=version,
        description=__doc__,
        docs_url=None,
        redoc_url=None,
    )
    add_health(app, health)
    add_docs(app)

    def authorised(authorization: Annotated[str, Header()] = "") -> None:
        expected = f"Bearer {token}".encode()
        if token is not None and not hmac.compare_digest(authorization.encode(), expected):
            raise Problem(401, "The admin token is needed.", headers={"WWW-Authenticate": "Bearer"})

    app.include_router(_api(workers, orders), dependencies=[Depends(authorised)])
    return app


def _api(workers: Workers, orders: OrderBook | None) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["gateway"])

    @router.get("/services")
    async def services() -> list[dict[str, Any]]:
        """List the services with their instances, each worker's view."""
        views = await workers.ask({"do": "services"})
        names = sorted({name for view in views for name in view})
        return [{"name": name, "workers": [view.get(name) for view in views]} for name in names]

    @router.get("/services/{name}")
    async def service(name: str) -> dict[str, Any]:
        """Show one service."""
        views = [view.get(name) for view in await workers.ask({"do": "services"})]
        if not any(views):
            raise Problem(404, f"No service {name} is followed: no route names it, nobody asked.")
        return {"name": name, "workers": views}

    @router.get("/routes")
    async def routes() -> Any:
        """Show the routes in force and why the last document was refused, if it was."""
        answers = await workers.ask({"do": "routes"})
        if not answers:
            raise Problem(503, "No worker answers; see /readyz.")
        return answers[0]

    _add_orders(router, workers, orders)
    return router


def _add_orders(router: APIRouter, workers: Workers, orders: OrderBook | None) -> None:
    path = "/services/{name}/instances/{address}"

    async def tell(name: str, address: str, change: Change, **command: Any) -> dict[str, Any]:
        done = await workers.ask({"service": name, "instance": address, **command})
        if not any(done) and not (orders and await listed(name, address)):
            raise Problem(404, f"Nothing to do: {address} of {name} is not there, or not ejected.")
        if command.get("drained") and not all(done):  # some workers do not know the service yet
            done = await workers.ask({"do": "keep", "drained": {name: [address]}})
        reached = await reach(orders, change)
        told = {"service": name, "instance": address, "workers": sum(map(bool, done))}
        return told | {"gateways": reached}

    async def listed(name: str, address: str) -> bool:
        """Return whether an instance is there: another gateway may have ejected it."""
        views = [view.get(name) or {} for view in await workers.ask({"do": "services"})]
        return any(one["address"] == address for view in views for one in view.get("instances", ()))

    @router.post(path + "/drain")
    async def drain(
        name: str, address: str, by: Giver = ADMIN_PORT, reason: Giver = ""
    ) -> dict[str, Any]:
        """Send nothing new to an instance."""
        change = partial(with_drain, place=(name, address), order=order_of(by, reason))
        return await tell(name, address, change, do="drain", drained=True)

    @router.delete(path + "/drain")
    async def undrain(name: str, address: str) -> dict[str, Any]:
        """Let a drained instance serve again."""
        change = partial(without_drain, place=(name, address))
        return await tell(name, address, change, do="drain", drained=False)

    @router.delete(path + "/ejection")
    async def restore(
        name: str, address: str, by: Giver = ADMIN_PORT, reason: Giver = ""
    ) -> dict[str, Any]:
        """End an instance's ejection."""
        change = partial(with_restore, place=(name, address), order=order_of(by, reason))
        return await tell(name, address, change, do="restore")


async def reach(orders: OrderBook | None, change: Change) -> str:
    """Write an order for every gateway; returns `all`, or why this gateway alone has it."""
    if orders is None:
        return "this one alone"
    try:
        await orders.write(change)
    except NacosError as error:
        return f"this one alone: {orders.data_id} cannot be written: {error}"
    return "all"
