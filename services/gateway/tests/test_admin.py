"""What an operator tells instances that are not there yet."""

import socket
from contextlib import asynccontextmanager

import httpx
import pytest
from failover import Instance
from gateway.__main__ import Alone
from gateway.control.admin import create_app
from gateway.settings import GatewaySettings
from gateway.worker import data_path
from nacos_client.testing import FakeNacos
from service_kit import HealthChecks

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"
ADDRESS = "10.0.0.1:8001"


@asynccontextmanager
async def admin_of(fake: FakeNacos):
    """A worker that was told of a drained instance, and a client of its admin port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        worker.keep_drained({SERVICE: [ADDRESS]})
        app = create_app(Alone(worker), HealthChecks("gateway", "1"), version="1", token=None)
        transport = httpx.ASGITransport(app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
                yield worker, http
        finally:
            port.stop_accepting()
            sock.close()


@pytest.mark.parametrize(("method", "drained"), [("DELETE", False), ("POST", True)])
async def test_an_order_to_an_awaited_instance_is_carried_out_and_said_so(world, method, drained):
    """A drained instance that has not come yet can be let back, or drained again."""
    fake = FakeNacos()
    async with admin_of(fake) as (worker, http):
        path = f"/api/services/{SERVICE}/instances/{ADDRESS}/drain"

        answer = await http.request(method, path)

        assert answer.status_code == 200
        assert worker.drained() == ({SERVICE: [ADDRESS]} if drained else {})
        host, port = ADDRESS.split(":")
        fake.put_instance(SERVICE, Instance(host, int(port)))
        await world.until(lambda: bool(worker.services()[SERVICE]["instances"]))
        (found,) = worker.services()[SERVICE]["instances"]
        assert found["drained"] is drained


async def test_an_order_to_an_unknown_instance_is_refused():
    """Nobody awaits it: 404, and nothing is remembered."""
    async with admin_of(FakeNacos()) as (worker, http):
        answer = await http.delete(f"/api/services/{SERVICE}/instances/10.0.0.9:1/drain")

        assert answer.status_code == 404
        assert worker.drained() == {SERVICE: [ADDRESS]}
