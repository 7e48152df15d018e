"""The admin port: services, instances, routes, and the orders that an operator may give."""

import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Security
from fastapi.security import HTTPBearer
from service_kit import HealthChecks, Problem, add_health

from gateway.control.gateways import is_loopback
from gateway.control.order_desk import Instruction, OrderDesk, is_own_origin

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
    orders: OrderDesk | None = None,
) -> FastAPI:
    """Return the application of the admin port.

    Args:
        workers: the data paths.
        health: what /readyz tells.
        version: of the gateway.
        token: bearer token for `/api`, None if none is asked for.
        orders: carries orders out; None: in this gateway alone, and nobody is told.
    """
    app = FastAPI(
        title="Gateway admin",
        version=version,
        description=__doc__,
        docs_url=None,
        redoc_url=None,
    )
    add_health(app, health)

    def authorised(authorization: Annotated[str, Header(include_in_schema=False)] = "") -> None:
        expected = f"Bearer {token}".encode()
        if token is not None and not hmac.compare_digest(authorization.encode(), expected):
            raise Problem(401, "The admin token is needed.", headers={"WWW-Authenticate": "Bearer"})

    api = _api(workers, orders or OrderDesk(workers), has_token=token is not None)
    # The scheme refuses nobody: it tells the document's readers where the token goes.
    scheme = HTTPBearer(auto_error=False, description="The admin token.")
    app.include_router(api, dependencies=[Depends(authorised), Security(scheme)])
    return app


def _api(workers: Workers, orders: OrderDesk, *, has_token: bool) -> APIRouter:
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

    _add_orders(router, orders, has_token=has_token)
    return router


def _check_page(request: Request, *, has_token: bool) -> None:
    """Refuse orders of a page that is not the gateway's own; programs send no `Origin`.

    A stranger's page can give its own name the gateway's address (DNS rebinding). With a token that
    helps nobody; without one the port is on loopback, where a name but `localhost` is a stranger's.

    Raises:
        Problem: 403.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is None:
        return
    name = request.url.hostname or ""
    if not is_own_origin(origin, host) or not (has_token or is_loopback(name)):
        raise Problem(403, "A page of another origin must not give orders.")


def _add_orders(router: APIRouter, orders: OrderDesk, *, has_token: bool) -> None:
    path = "/services/{name}/instances/{address}"

    async def tell(
        request: Request, instruction: Instruction, by: str = ADMIN_PORT, reason: str = ""
    ) -> dict[str, Any]:
        _check_page(request, has_token=has_token)
        name, address = instruction.service, instruction.instance
        done = await orders.carry_out(instruction, by, reason)
        if done is None:
            raise Problem(404, f"Nothing to do: {address} of {name} is not there, or not ejected.")
        told = {"service": name, "instance": address}
        return told | {"workers": done.workers, "gateways": done.gateways}

    @router.post(path + "/drain")
    async def drain(
        request: Request, name: str, address: str, by: Giver = ADMIN_PORT, reason: Giver = ""
    ) -> dict[str, Any]:
        """Send nothing new to an instance."""
        return await tell(request, Instruction("drain", name, address), by, reason)

    @router.delete(path + "/drain")
    async def undrain(request: Request, name: str, address: str) -> dict[str, Any]:
        """Let a drained instance serve again."""
        return await tell(request, Instruction("undrain", name, address))

    @router.delete(path + "/ejection")
    async def restore(
        request: Request, name: str, address: str, by: Giver = ADMIN_PORT, reason: Giver = ""
    ) -> dict[str, Any]:
        """End an instance's ejection."""
        return await tell(request, Instruction("restore", name, address), by, reason)
