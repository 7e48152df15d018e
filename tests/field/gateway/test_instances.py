"""Instances as Java registers them: with TLS, over IPv6, in another group or namespace."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from failover import Instance
from gateway.settings import GatewaySettings
from gateway.upstream.service import ServiceLimits
from gateway.worker import data_path
from nacos_client import InstanceTls
from nacos_client.testing import FakeNacos
from pydantic import ValidationError

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"
SECURE = {"secure": "true", "gateway.idempotent": "POST /declared"}


def asking_for(certificate: tuple[Path, Path], *, ask: Path | None = None) -> ssl.SSLContext:
    """Make the context of an instance, which asks its callers for a certificate of `ask`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    if ask is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ask)
    return context


async def test_an_instance_that_listens_for_tls_is_called_by_tls(world, certificate):
    """`secure=true` was called in plain text: a 502 always."""
    instance = await world.instance(tls=asking_for(certificate))
    tls = InstanceTls(ca=certificate[0], name="localhost")
    gateway = await world.gateway(instance, limits=ServiceLimits(tls=tls), metadata=SECURE)

    replies = [await gateway.call() for _ in range(3)]

    assert [(reply.status, reply.body) for reply in replies] == [(200, b"ok")] * 3
    assert instance.connections == 1
    assert instance.executed[0].one("host") == f"127.0.0.1:{instance.port}"


@pytest.mark.parametrize("name", ["localhost", "{service}.internal", None])
async def test_the_certificate_has_to_be_the_instances(world, certificate, name: str | None):
    """A wrong name or authority is a refused connection: nothing was sent, another is asked."""
    liar = await world.instance(tls=asking_for(certificate))
    honest = await world.instance()
    trusts = (
        InstanceTls(name=name) if name == "localhost" else InstanceTls(certificate[0], name=name)
    )
    gateway = await world.gateway(liar, honest, limits=ServiceLimits(tls=trusts), metadata=SECURE)
    both = [Instance("127.0.0.1", liar.port, metadata=SECURE), Instance("127.0.0.1", honest.port)]
    gateway.service.sync(both, 0.0)
    gateway.prefer(liar)

    reply = await gateway.call("/undeclared")

    assert (reply.status, reply.attempts) == (200, 2)
    assert not liar.executed


async def test_an_instance_may_ask_for_the_gateways_certificate(world, certificate):
    """Mutual TLS: the gateway shows its own."""
    instance = await world.instance(tls=asking_for(certificate, ask=certificate[0]))
    tls = InstanceTls(certificate[0], *certificate, name="localhost")
    gateway = await world.gateway(instance, limits=ServiceLimits(tls=tls), metadata=SECURE)

    assert (await gateway.call()).status == 200


async def test_a_service_may_change_to_tls_while_it_serves(world, certificate):
    """Connections of before are not used for what is registered now."""
    instance = await world.instance()
    tls = InstanceTls(certificate[0], name="localhost")
    gateway = await world.gateway(instance, limits=ServiceLimits(tls=tls))
    assert (await gateway.call("/x", "GET")).status == 200
    (member,) = gateway.service.balancer.members.values()

    gateway.service.sync([replace(member.instance, metadata={"secure": "TRUE"})], 0.0)
    refused = await gateway.call("/x", "GET")
    gateway.service.sync([replace(member.instance, metadata={})], 0.0)
    again = await gateway.call("/x", "GET")

    assert (refused.status, again.status) == (503, 200)


def test_a_file_that_cannot_be_read_is_told_at_the_start(tmp_path: Path):
    """With the variable and the file, not at the first request."""
    with pytest.raises(ValidationError, match=r"GATEWAY_UPSTREAM_TLS.*nowhere"):
        GatewaySettings(SERVICE_NAME="gateway", GATEWAY_UPSTREAM_TLS_CA=tmp_path / "nowhere.pem")


@pytest.mark.parametrize("registered", ["::1", "[::1]"])
async def test_an_ipv6_instance_is_dialled_and_named_as_one(world, registered: str):
    """`Host: ::1:9301` is a 400 from Tomcat, and `[::1]` was never dialled."""
    instance = await world.instance(host="::1")
    gateway = await world.gateway()
    gateway.service.sync([Instance(registered, instance.port)], 0.0)

    reply = await gateway.call("/x", "GET")

    assert reply.status == 200
    assert instance.executed[0].one("host") == f"[::1]:{instance.port}"


async def test_clients_come_over_ipv6_too(world):
    """An address without brackets in X-Forwarded-For, as proxies write it."""
    instance = await world.instance()
    gateway = await world.gateway(instance, host="::1")

    reply = await gateway.ask(b"GET /car-evaluation/x HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n")

    assert reply.status == 200
    assert instance.executed[0].one("x-forwarded-for") == "::1"
    assert instance.executed[0].one("x-forwarded-host") == "[::1]:8000"


@asynccontextmanager
async def gateway_on(fake: FakeNacos):
    """Run a data path on a Nacos; yields a client of its port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, _):
        await port.open()
        host, number = port.address
        url = f"http://{host}:{number}"
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                yield client
        finally:
            port.stop_accepting()
            for connection in list(port.connections):
                connection.reset()
            await port.close()


async def test_a_route_names_a_service_of_another_group_or_namespace(world):
    """By name a stranger reaches the gateway's own group and namespace only."""
    own, group, namespace = [await world.instance(world.answering(answer(text)))
                             for text in (b"own", b"group", b"namespace")]  # fmt: skip
    fake = FakeNacos()
    fake.put_instance("pay", Instance("127.0.0.1", own.port))
    fake.put_instance("pay", Instance("127.0.0.1", group.port), group="PAY_GROUP")
    fake.put_instance("pay", Instance("127.0.0.1", namespace.port), namespace="team-b")
    fake.publish(
        "gateway",
        "routes: [{path: /g, service: PAY_GROUP@@pay},"
        " {path: /n, service: pay, namespace: team-b}]",
    )

    async with gateway_on(fake) as client:
        async with asyncio.timeout(20):
            replies = {path: await client.get(path) for path in ("/pay/x", "/g/x", "/n/x")}
        others = [await client.get(path) for path in ("/PAY_GROUP@@pay/x", "/team-b/pay/x")]

    assert {path: reply.text for path, reply in replies.items()} == {
        "/pay/x": "own", "/g/x": "group", "/n/x": "namespace",
    }  # fmt: skip
    assert [reply.status_code for reply in others] == [404, 404]


def answer(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
