"""The orders of an operator: one document, followed by every worker of every gateway."""

import argparse
import asyncio
import io
import json
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import httpx
import pytest
from failover import Cause, Instance
from gateway.__main__ import Alone
from gateway.control.admin import create_app
from gateway.control.gateways import ADMIN, admin_place
from gateway.control.order_desk import OrderDesk
from gateway.control.orders import (
    KEPT_RESTORES,
    OrderBook,
    OrdersDocument,
    changes,
    listed,
    order_of,
    with_drain,
    with_restore,
    without_drain,
)
from gateway.control.orders_command import parser, plain, run
from gateway.control.overview import GatewayView, admin_address, read_view
from gateway.settings import GatewaySettings
from gateway.worker import data_path
from hypothesis import given, strategies as st
from nacos_client.command import FAILED, USAGE
from nacos_client.testing import FakeNacos
from service_kit import HealthChecks

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"
PLACES = st.tuples(
    st.sampled_from(["shop", "GROUP@@pay", "team/lab"]),
    st.sampled_from(["10.0.0.1:1", "10.0.0.2:2", "[::1]:3"]),
)
STEPS = st.lists(st.tuples(st.sampled_from(["drain", "undrain", "restore"]), PLACES), max_size=20)


def changed(document: OrdersDocument, what: str, place: tuple[str, str], at: int) -> OrdersDocument:
    """The document after one order."""
    order = order_of("somebody", "", datetime.fromtimestamp(at, UTC))
    if what == "undrain":
        return without_drain(document, place)
    return (with_drain if what == "drain" else with_restore)(document, place, order)


@given(STEPS, STEPS)
def test_a_worker_does_what_differs_between_two_documents(before, after):
    """Drains are those that are there now, ended ejections those that came; nothing is repeated."""
    old = OrdersDocument()
    for at, (what, place) in enumerate(before):
        old = changed(old, what, place, at)
    new = old
    for at, (what, place) in enumerate(after):
        new = changed(new, what, place, 1000 + at)

    todo = changes(old, new)

    drained = (set(listed(old.drained)) | set(todo.drain)) - set(todo.undrain)
    assert drained == set(listed(new.drained))
    assert not set(todo.drain) & set(listed(old.drained))
    assert set(todo.restore) == {place for what, place in after if what == "restore"}
    assert changes(new, new) == changes(OrdersDocument(), OrdersDocument())


@given(STEPS)
def test_a_document_reads_as_it_was_written(steps):
    """Whatever orders were given, and by whom."""
    document = OrdersDocument()
    for at, (what, place) in enumerate(steps):
        document = changed(document, what, place, at)

    written = document.model_dump_json(exclude_defaults=True)

    assert OrdersDocument.model_validate_json(written, strict=True) == document


def test_ended_ejections_are_kept_for_a_while():
    """The document does not grow with every order: the newest stay."""
    document = OrdersDocument()
    for number in range(KEPT_RESTORES + 20):
        document = changed(document, "restore", ("shop", f"10.0.0.1:{number}"), number)

    kept = {int(address.rpartition(":")[2]) for _, address in listed(document.restored)}
    assert kept == set(range(20, KEPT_RESTORES + 20))


def test_a_drain_keeps_its_giver():
    """Whoever orders it again does not take the name of the first one away."""
    place = ("shop", "10.0.0.1:1")
    first, second = (order_of(name, "") for name in ("alice", "bob"))

    document = with_drain(with_drain(OrdersDocument(), place, first), place, second)

    assert listed(document.drained)[place].by == "alice"


@pytest.mark.parametrize(
    "drained",
    [
        {"no name!": {"10.0.0.1:1": {}}},
        {"shop": {"10.0.0.1": {}}},
        {"shop": {"10.0.0.1:1": {"x": 1}}},
    ],
)
def test_orders_about_nothing_are_refused(drained):
    """A service that none can be, an address without a port, a key that nobody reads."""
    with pytest.raises(ValueError, match="validation error"):
        OrdersDocument.model_validate({"drained": drained})


@asynccontextmanager
async def gateways_on(fake: FakeNacos, count: int):
    """Data paths with one Nacos, each with a client of its admin port."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
            nacos = await stack.enter_async_context(fake.client())
            port, worker = await stack.enter_async_context(data_path(settings, nacos, sock))
            stack.callback(port.stop_accepting)
            app = create_app(
                Alone(worker), HealthChecks("gateway", "1"), version="1", token=None,
                orders=OrderDesk(Alone(worker), OrderBook(nacos, "gateway")),
            )  # fmt: skip
            transport = httpx.ASGITransport(app)
            http = httpx.AsyncClient(transport=transport, base_url="http://gateway")
            found.append((worker, await stack.enter_async_context(http)))
        yield found


def shown(worker) -> dict[str, bool]:
    """Whether each instance is drained, by its address."""
    described = worker.services().get(SERVICE, {"instances": []})["instances"]
    return {one["address"]: one["drained"] for one in described}


async def test_an_order_at_one_admin_port_reaches_every_gateway(world):
    """A drain, and its undo; a gateway that starts between them follows it too."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.publish("gateway", f"routes: [{{path: /x, service: {SERVICE}}}]")
    async with gateways_on(fake, 2) as ((one, admin), (other, _)):
        await world.until(lambda: shown(one) == shown(other) == {address: False})
        path = f"/api/services/{SERVICE}/instances/{address}/drain"

        answer = await admin.post(path, params={"by": "alice", "reason": "its disk"})

        assert answer.json()["gateways"] == "all"
        await world.until(lambda: shown(one) == shown(other) == {address: True})
        (order,) = listed(
            OrdersDocument.model_validate_json(fake.stored("gateway.orders").content).drained
        ).values()
        assert (order.by, order.reason) == ("alice", "its disk")
        async with gateways_on(fake, 1) as ((late, _),):
            await world.until(lambda: shown(late) == {address: True})
            assert (await admin.delete(path)).json()["gateways"] == "all"
            await world.until(lambda: shown(one) == shown(other) == shown(late) == {address: False})


@pytest.mark.parametrize("later", [False, True])
async def test_an_order_reaches_a_service_by_each_of_its_names(world, later):
    """With its group and without it, whether the gateway follows that name before or after."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    routes = f"routes: [{{path: /x, service: {SERVICE}}}]"
    fake.publish("gateway", "routes: []" if later else routes)
    ordered = f"drained: {{DEFAULT_GROUP@@{SERVICE}: {{'{address}': {{}}}}}}"
    async with gateways_on(fake, 1) as ((worker, _),):
        fake.publish("gateway.orders", ordered)
        await world.until(lambda: f"DEFAULT_GROUP@@{SERVICE}" in worker.directory.services)
        fake.publish("gateway", routes)
        await world.until(lambda: shown(worker) == {address: True})

        fake.publish("gateway.orders", "{}")

        await world.until(lambda: shown(worker) == {address: False})


async def test_an_instance_that_comes_again_is_still_drained(world):
    """Its order stands until it is undrained, whether it was there all the time or not."""
    fake = FakeNacos()
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.put_instance(SERVICE, Instance("10.0.0.2", 8001))
    fake.publish("gateway.orders", f"drained: {{{SERVICE}: {{'10.0.0.1:8001': {{}}}}}}")
    async with gateways_on(fake, 1) as ((worker, _),):
        both = {"10.0.0.1:8001": True, "10.0.0.2:8001": False}
        await world.until(lambda: shown(worker) == both)
        fake.remove_instance(SERVICE, "10.0.0.1:8001")
        await world.until(lambda: len(shown(worker)) == 1)
        fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
        await world.until(lambda: shown(worker) == both)


async def test_an_ejection_is_ended_in_every_gateway_that_has_it(world):
    """Also where the gateway that takes the order has not ejected the instance itself."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.publish("gateway", f"routes: [{{path: /x, service: {SERVICE}}}]")
    async with gateways_on(fake, 2) as ((one, admin), (other, _)):
        await world.until(lambda: len(shown(one)) == len(shown(other)) == 1)
        member = other.directory.services[SERVICE].balancer.members[address]
        path = f"/api/services/{SERVICE}/instances/{address}/ejection"
        for _ in range(2):  # an order that is like the last one is a new order
            member.ejection.eject(Cause.CONSECUTIVE, time.monotonic(), 0.5)

            answer = await admin.delete(path)

            assert answer.json()["gateways"] == "all"
            await world.until(lambda: member.ejection.cause is None)
        assert (await admin.delete(path.replace("10.0.0.1", "10.0.0.9"))).status_code == 404


async def test_an_order_that_cannot_be_written_is_for_one_gateway_and_says_so(world):
    """Nacos is away: the instance is drained here, and the answer says that nobody else knows."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.publish("gateway", f"routes: [{{path: /x, service: {SERVICE}}}]")
    async with gateways_on(fake, 1) as ((worker, admin),):
        await world.until(lambda: len(shown(worker)) == 1)
        fake.stop()

        answer = await admin.post(f"/api/services/{SERVICE}/instances/{address}/drain")

        assert answer.status_code == 200
        assert answer.json()["gateways"].startswith("this one alone: gateway.orders cannot be")
        assert shown(worker) == {address: True}
        assert worker.drained() == {SERVICE: [address]}, "its successor is told"


async def test_an_instance_by_a_host_name_can_be_drained(world):
    """Nacos takes names for addresses, also those with an underscore that Compose makes."""
    fake, address = FakeNacos(), "stack_model_1:8001"
    fake.put_instance(SERVICE, Instance("stack_model_1", 8001))
    fake.publish("gateway", f"routes: [{{path: /x, service: {SERVICE}}}]")
    async with gateways_on(fake, 1) as ((worker, admin),):
        await world.until(lambda: shown(worker) == {address: False})

        answer = await admin.post(f"/api/services/{SERVICE}/instances/{address}/drain")

        assert answer.json()["gateways"] == "all"


async def test_an_order_that_the_document_cannot_hold_is_carried_out_here_alone(world):
    """The answer says so, and why: the instance is drained all the same."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.publish("gateway", f"routes: [{{path: /x, service: {SERVICE}}}]")
    full = {SERVICE: {f"10.9.9.9:{port}": {} for port in range(1000)}}
    fake.publish("gateway.orders", json.dumps({"drained": full}))
    async with gateways_on(fake, 1) as ((worker, admin),):
        await world.until(lambda: shown(worker) == {address: False})

        answer = await admin.post(f"/api/services/{SERVICE}/instances/{address}/drain")

        assert "this one alone: gateway.orders cannot be written" in answer.json()["gateways"]
        assert "at most 1000" in answer.json()["gateways"]
        assert shown(worker) == {address: True}


async def test_bad_orders_change_nothing(world):
    """The orders before stay in force, and nothing can be written over the bad ones unseen."""
    fake, address = FakeNacos(), "10.0.0.1:8001"
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))
    fake.publish("gateway.orders", f"drained: {{{SERVICE}: {{'{address}': {{}}}}}}")
    async with gateways_on(fake, 1) as ((worker, admin),):
        await world.until(lambda: shown(worker) == {address: True})
        fake.publish("gateway.orders", "drained: [everything]")

        answer = await admin.delete(f"/api/services/{SERVICE}/instances/{address}/drain")

        assert "drained" in answer.json()["gateways"]
        assert fake.stored("gateway.orders").content == "drained: [everything]"


async def test_orders_given_at_the_same_time_are_all_kept():
    """Each writer reads again what another has written meanwhile."""
    fake = FakeNacos()
    fake.publish("gateway.orders", "{}")

    def order(port: int) -> partial:
        return partial(with_drain, place=("shop", f"10.0.0.1:{port}"), order=order_of("", ""))

    async with fake.client() as nacos:
        book = OrderBook(nacos, "gateway")
        await asyncio.gather(*(book.write(order(port)) for port in range(3)))
        orders, md5 = await book.read()

    assert len(listed(orders.drained)) == 3
    assert md5 == fake.stored("gateway.orders").md5


def command(fake: FakeNacos, *argv: str) -> tuple[int, str, str]:
    """Run the command; returns its exit status and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    status = run(parser().parse_args(argv), {}, out, err, connect=fake.connect)
    return status, out.getvalue(), err.getvalue()


def test_the_command_orders_nothing_about_what_is_not_there():
    """A wrong address, or one that is not drained: exit status 1, the reason, nothing written."""
    fake = FakeNacos()
    fake.put_instance(SERVICE, Instance("10.0.0.1", 8001))

    for action, told in (
        ("drain", "no instance 10.0.0.9:1 in Nacos, it has 10.0.0.1:8001"),
        ("uneject", "no instance 10.0.0.9:1"),
        ("undrain", "is not drained"),
    ):
        status, _, err = command(fake, action, SERVICE, "10.0.0.9:1")
        assert (status, told in err) == (FAILED, True), err
    assert fake.stored("gateway.orders") is None


def test_the_command_says_which_gateway_it_cannot_ask():
    """A gateway that does not say where its admin port is, and one whose port is its host's own."""
    fake = FakeNacos()
    fake.put_instance("gateway", Instance("10.0.0.1", 8000))
    there = {ADMIN: admin_place("127.0.0.1", 8010)}
    fake.put_instance("gateway", Instance("192.0.2.1", 8000, metadata=there))

    status, out, _ = command(fake, "show")

    assert status == 0
    first, second = out.splitlines()
    assert "do not say where its admin port is" in first
    assert "set GATEWAY_ADMIN_HOST" in second


def test_a_stranger_among_the_gateways_keeps_the_command_from_nothing():
    """Whoever registers under their name says where to ask: an address that there cannot be."""
    fake = FakeNacos()
    for number, place in enumerate(("\u0661:80", "a\x00b:80", "[::1:80")):
        strange = Instance(f"10.255.255.{number}", 8000, metadata={ADMIN: place})
        fake.put_instance("gateway", strange)

    status, out, err = command(fake, "show")

    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_a_bad_environment_of_the_command_is_named():
    """Exit status 2, and the variable."""
    out, err = io.StringIO(), io.StringIO()
    options = argparse.Namespace(action="show")

    assert run(options, {"NACOS_SERVER_ADDR": "::"}, out, err) == USAGE
    assert "NACOS_SERVER_ADDR" in err.getvalue()


def test_where_an_admin_port_is_found():
    """At the gateway's own address where it listens everywhere, else where it listens."""
    for host, found in (("0.0.0.0", "10.0.0.1:8010"), ("10.9.9.9", "10.9.9.9:8010")):  # noqa: S104
        gateway = Instance("10.0.0.1", 8000, metadata={ADMIN: admin_place(host, 8010)})
        assert admin_address(gateway) == found
    own = Instance("127.0.0.1", 8000, metadata={ADMIN: admin_place("127.0.0.1", 8010)})
    assert admin_address(own) == "127.0.0.1:8010"


def test_what_is_no_gateway_is_not_taken_for_one():
    """Another program's metrics, and no metrics at all."""
    assert isinstance(read_view("a:1", 'gateway_build_info{form="f",version="v"} 1\n'), GatewayView)
    infinite = 'gateway_build_info{form="f"} 1\ngateway_limit_gateways +Inf\n'
    for text in ("", "up 1\n", "<html>", infinite):
        with pytest.raises(ValueError, match=r"."):
            read_view("a:1", text)


@pytest.mark.parametrize(
    "line", ["gateway_orders_followed 1", 'gateway_instance_ejected{service="shop"} 1']
)
def test_metrics_that_lack_a_label_are_read_as_far_as_they_go(line):
    """A gateway of another version, or a stranger: what it does not say is not known."""
    text = f'gateway_build_info{{form="f",version="v"}} 1\n{line}\n'

    assert read_view("a:1", text).version == "v"


@given(st.text())
def test_what_strangers_wrote_steers_no_terminal(text):
    """An escape sequence of a version or a reason is spelled, and nothing else changes."""
    told = plain(text)

    assert told.isprintable()
    assert not text.isprintable() or told == text
    assert plain("1.0\x1b[2J") == "1.0\\u001b[2J"
