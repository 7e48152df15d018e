"""The console as its readers, and others, ask for it: who sees what, who may do what."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser

import httpx
import pytest
import uvicorn
from failover import Instance
from fastapi import FastAPI
from gateway.__main__ import Alone
from gateway.console.app import MAX_STREAMS, Console
from gateway.console.timeline import EventKind
from gateway.control.admin import create_app
from gateway.control.commands import Worker
from gateway.control.order_desk import OrderDesk
from gateway.control.places import MAX_PLACES
from gateway.settings import GatewaySettings
from gateway.worker import data_path
from nacos_client.testing import FakeNacos
from service_kit import HealthChecks

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"
TOKEN = "correct-horse-battery"  # noqa: S105 - of these tests alone
ORIGIN = {"origin": "http://gateway"}
EVIL = '<img src=x onerror="alert(1)">'


@dataclass
class Served:
    """A worker, the console of its gateway, and a reader."""

    fake: FakeNacos
    worker: Worker
    console: Console
    app: FastAPI
    http: httpx.AsyncClient
    data: httpx.AsyncClient

    async def sign_in(self, token: str = TOKEN) -> httpx.Response:
        """Show a token."""
        return await self.http.post("/console/sign-in", data={"token": token}, headers=ORIGIN)

    async def order(self, do: str, address: str, **headers: str) -> httpx.Response:
        """Give a confirmed order."""
        form = {"do": do, "of": SERVICE, "instance": address}
        return await self.http.post("/console/order", data=form, headers=headers or ORIGIN)

    def kinds(self) -> list[EventKind]:
        """The kinds of what is in the timeline."""
        return [event.kind for event in self.console.recorder.timeline.events]


@asynccontextmanager
async def served(fake: FakeNacos, token: str | None = TOKEN):
    """A gateway in this process whose Nacos is a fake."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    settings = GatewaySettings(SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False)
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        alone = Alone(worker)
        orders, health = OrderDesk(alone), HealthChecks("gateway", "1")
        health.add("workers", alone.check)
        app = create_app(alone, health, version="1", token=token, orders=orders)
        console = Console(alone, health, orders, alone.counters, build="1", token=token)
        console.add_to(app)
        await port.open()
        host, number = port.address
        try:
            async with (
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://gateway"
                ) as http,
                httpx.AsyncClient(base_url=f"http://{host}:{number}", trust_env=False) as data,
            ):
                yield Served(fake, worker, console, app, http, data)
        finally:
            await port.drain()
            await port.close()


class Elements(HTMLParser):
    """The elements of a page, by tag, and the text of it all."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.events = ""
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.tags.append(tag)
        self.events += dict(attrs).get("data-events") or ""
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data):
        """Keep text."""
        self.text += data


async def test_a_reader_sees_the_services_and_what_is_wrong(world):
    """Instances, the route in force, a refused document with its reason; in two languages."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, world.instance_at(instance, {"model_version": "1.0.0", "zone": "b"}))
    fake.publish("gateway", f"routes: [{{path: /cars, service: {SERVICE}}}]")
    async with served(fake, token=None) as gateway:
        assert (await gateway.data.get("/cars/x")).status_code == 200
        fake.publish("gateway", "routes:\n  - path: /cars\n    servce: x\n")
        await world.until(lambda: gateway.worker.news()["document"]["rejected"] is not None)
        gateway.console.recorder.note()

        page = Elements((await gateway.http.get(f"/?service={SERVICE}")).text)
        chinese = await gateway.http.get("/", headers={"accept-language": "zh-CN"})

    for told in (SERVICE, f"127.0.0.1:{instance.port}", "1.0.0", "b DEFAULT", "/cars", "servce"):
        assert told in page.text
    assert len(page.ids) == len(set(page.ids))
    assert 'lang="zh"' in chinese.text
    assert "实例" in chinese.text
    assert EventKind.REFUSED in gateway.kinds()


async def test_a_language_that_was_chosen_stays():
    """It is kept by the browser; the link to the other language is in that language."""
    async with served(FakeNacos(), token=None) as gateway:
        await gateway.http.get("/?lang=zh")

        assert 'lang="zh"' in (await gateway.http.get("/")).text


async def test_names_and_metadata_of_strangers_are_text(world):
    """Markup in whatever Nacos says is shown as it is written, and the policy allows no script."""
    said = EVIL.replace('"', '\\"')
    fake, instance = FakeNacos(), await world.instance(telling(f'model_psi{{of="{said}"}} 1\n'))
    labels = {"model_version": EVIL, "zone": EVIL}
    fake.put_instance(SERVICE, world.instance_at(instance, labels))
    fake.publish("gateway", f"routes: [{{path: /cars, service: {SERVICE}, name: '{EVIL}'}}]")
    async with served(fake, token=None) as gateway:
        await gateway.data.get("/cars")
        fake.publish("gateway", f"routes: [{{path: '{EVIL}', service: x}}]")
        await world.until(lambda: gateway.worker.news()["document"]["rejected"] is not None)
        answer = await gateway.http.get("/", params={"service": SERVICE, "find": EVIL[:90]})
        plain = await opened(gateway, SERVICE, "Drift")
        form = {"method": "GET", "target": "/x", "fields": EVIL}
        asked = await gateway.http.post("/console/where", data=form, headers=ORIGIN)

    for html in (answer.text, plain, asked.text):
        page = Elements(html)
        assert "img" not in page.tags
        assert page.tags.count("script") == 1
        assert page.handlers == []
    assert f"{EVIL}1.00much" in Elements(plain).text
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def telling(metrics: str):
    """Tell these metrics, and answer all else."""
    body = metrics.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def behaviour(instance, wire) -> None:
        while True:
            request = await instance.take(wire)
            wire.send(head + body if request.line.startswith("GET /metrics ") else OK)

    return behaviour


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MODEL = """model_psi{of="safety"} 0.31
model_psi{of="doors"} 0.12
model_psi{of="class"} 0.02
model_predictions_total{label="acc",model_version="1.0.0"} 30.0
model_predictions_total{label="unacc",model_version="1.0.0"} 70.0
http_problems_total{status="422",type="invalid-rows"} 25.0
http_request_duration_seconds_count{method="POST",route="/p",status="200"} 100.0
"""


async def opened(gateway: Served, name: str, told: str) -> str:
    """The page of a service, once it tells this."""
    for _ in range(1200):  # one that is too late is asked again after 30 s
        html = (await gateway.http.get("/", params={"service": name})).text
        if told in html:
            return html
        await asyncio.sleep(0.05)
    pytest.fail(f"{told} did not come")


async def test_an_opened_service_shows_what_its_model_meets_and_answers(world):
    """The drift in a word, the shares of the classes and of refused inputs; nothing of a Spring's.

    Two instances are one; nobody asks the instances of a service that nobody has opened.
    """
    fake = FakeNacos()
    instances = [await world.instance(telling(MODEL)) for _ in range(2)]
    other = await world.instance(telling(MODEL))
    for instance in instances:
        fake.put_instance(SERVICE, world.instance_at(instance, {}))
    fake.put_instance("other", world.instance_at(other, {}))
    async with served(fake, token=None) as gateway:
        for name in (SERVICE, "other"):
            await gateway.data.get(f"/{name}/x")
        asked = [len(one.executed) for one in (*instances, other)]
        assert "Drift" not in (await gateway.http.get("/")).text

        page = Elements(await opened(gateway, SERVICE, "Drift"))
        chinese = await gateway.http.get(f"/?service={SERVICE}&lang=zh")
        now = [len(one.executed) for one in (*instances, other)]

    for told in (
        "2 of 2 instances told their metrics", "safety0.31much", "doors0.12some", "class0.02little",
        "unacc70 %", "acc30 %", "invalid-rows25 %",
    ):  # fmt: skip
        assert told in page.text
    assert "与训练数据的偏移" in chinese.text
    assert [after - before for before, after in zip(asked, now, strict=True)] == [1, 1, 0]


async def test_few_instances_in_traffic_are_asked_for_metrics(world):
    """Canaries among them, whatever their address; none that is disabled, or of another service."""
    fake = FakeNacos()
    for number in range(1, 20):
        fake.put_instance(SERVICE, Instance(f"10.0.0.{number}", 80, enabled=number > 1))
    fake.put_instance(SERVICE, Instance("10.0.9.9", 80, metadata={"gateway.canary": "true"}))
    fake.publish("gateway", f"routes: [{{path: /cars, service: {SERVICE}}}]")
    async with served(fake, token=None) as gateway:

        def places():
            return gateway.worker.ask({"do": "places", "services": [SERVICE, "absent"]})

        await world.until(lambda: any(places().values()))
        told = places()

    assert list(told) == [SERVICE]
    assert [one["host"] for one in told[SERVICE]][:1] == ["10.0.9.9"]
    assert len(told[SERVICE]) == MAX_PLACES
    assert "10.0.0.1" not in {one["host"] for one in told[SERVICE]}


async def test_a_service_without_metrics_of_a_model_is_shown_as_ever(world):
    """One that answers whatever it is asked has no part of models; a bad one has one plain line."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    bad = await world.instance(telling('model_psi{of="x} 1\n'))
    fake.put_instance("bad", world.instance_at(bad, {}))
    async with served(fake, token=None) as gateway:
        for name in (SERVICE, "bad"):
            await gateway.data.get(f"/{name}/x")
        await gateway.http.get("/", params={"service": SERVICE})
        await world.until(lambda: len(instance.executed) == 2)
        await opened(gateway, "bad", "cannot be read")
        page = (await gateway.http.get("/", params={"service": SERVICE})).text

    assert "Drift" not in page
    assert "cannot be read" not in page


async def test_the_form_of_a_question_stays_as_it_was_filled_in():
    """Browsers send line ends as CR LF; asked again, the question is the same."""
    fields = "accept: text/html\r\nx-caller: somebody"
    async with served(FakeNacos(), token=None) as gateway:
        form = {"target": "/x", "fields": fields}
        page = (await gateway.http.post("/console/where", data=form, headers=ORIGIN)).text

    assert ">accept: text/html\nx-caller: somebody</textarea>" in page


async def test_nothing_is_shown_without_the_token():
    """With a token set, a page, its stream and its answers want a session."""
    fake = FakeNacos()
    fake.put_instance(SERVICE, Instance("10.0.0.1", 1))
    fake.publish("gateway", f"routes: [{{path: /cars, service: {SERVICE}}}]")
    async with served(fake) as gateway:
        page = await gateway.http.get("/")
        events = await gateway.http.get("/console/events")
        where = await gateway.http.post("/console/where", data={"target": "/"}, headers=ORIGIN)
        assert SERVICE not in page.text
        assert (events.status_code, where.status_code) == (401, 401)

        assert (await gateway.sign_in("wrong")).status_code == 401
        answer = await gateway.sign_in()
        cookie = answer.headers["set-cookie"]
        assert (answer.status_code, answer.headers["location"]) == (303, "../")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert SERVICE in (await gateway.http.get("/")).text

        await gateway.http.post("/console/sign-out", headers=ORIGIN)
        assert SERVICE not in (await gateway.http.get("/")).text


async def test_an_order_is_asked_about_carried_out_told_and_taken_back(world):
    """Drain: first a question that does nothing, then the order; the timeline has its undo."""
    fake, instance = FakeNacos(), await world.instance()
    address = f"127.0.0.1:{instance.port}"
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.data.get(f"/{SERVICE}/x")
        await gateway.sign_in()
        query = {"do": "drain", "of": SERVICE, "instance": address}
        question = Elements((await gateway.http.get("/", params=query)).text)
        assert "No other instance is in traffic" in question.text
        assert gateway.worker.drained() == {}

        answer = await gateway.order("drain", address)
        assert answer.status_code == 303
        assert gateway.worker.drained() == {SERVICE: [address]}
        page = (await gateway.http.get("/")).text
        assert "was drained" in page
        assert "Undo" in page
        assert "drained by an operator" in page

        await gateway.order("undrain", address)
        assert gateway.worker.drained() == {}
        assert gateway.kinds()[-2:] == [EventKind.DRAINED, EventKind.UNDRAINED]
        assert (
            (await gateway.order("restore", address))
            .headers["location"]
            .endswith("notice=nothing_to_do")
        )


async def test_an_order_by_the_api_is_told_too(world):
    """Whoever gives an order, the timeline has it."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.data.get(f"/{SERVICE}/x")
        path = f"/api/services/{SERVICE}/instances/127.0.0.1:{instance.port}/drain"
        bearer = {"authorization": f"Bearer {TOKEN}"}
        page = {**bearer, "origin": "http://elsewhere.example"}

        assert (await gateway.http.post(path, headers=page)).status_code == 403
        assert gateway.worker.drained() == {}
        assert (await gateway.http.post(path, headers=bearer)).status_code == 200

        assert gateway.kinds()[-1] is EventKind.DRAINED


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8010", 200), ("localhost", 200), ("[::1]:8010", 200), ("evil.example:8010", 403)],
)
async def test_without_a_token_no_name_of_a_stranger_is_the_own_origin(world, host, status):
    """A page can let its own name lead to loopback; its Origin and Host are then the same."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    async with served(fake, token=None) as gateway:
        await gateway.data.get(f"/{SERVICE}/x")
        path = f"/api/services/{SERVICE}/instances/127.0.0.1:{instance.port}/drain"

        answer = await gateway.http.post(path, headers={"host": host, "origin": f"http://{host}"})

        assert answer.status_code == status
        assert bool(gateway.worker.drained()) is (status == 200)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://elsewhere.example", "http://gateway:1", "gateway", ""]
)
async def test_no_other_page_changes_anything(world, origin):
    """Without the console's own origin every POST is refused, session or not."""
    fake, instance = FakeNacos(), await world.instance()
    address = f"127.0.0.1:{instance.port}"
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    headers = {"x-other": "1"} if origin is None else {"origin": origin}
    async with served(fake) as gateway:
        await gateway.data.get(f"/{SERVICE}/x")
        await gateway.sign_in()
        told = [await gateway.order("drain", address, **headers)]
        told += [
            await gateway.http.post(f"/console/{path}", data={"token": TOKEN}, headers=headers)
            for path in ("sign-in", "sign-out", "where")
        ]

        assert [one.status_code for one in told] == [403] * 4
        assert gateway.worker.drained() == {}


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_nobody_acts_without_the_token(world, token):
    """Not without a session, and not at all where the gateway has no token."""
    fake, instance = FakeNacos(), await world.instance()
    address = f"127.0.0.1:{instance.port}"
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    async with served(fake, token) as gateway:
        await gateway.data.get(f"/{SERVICE}/x")
        if token is None:
            assert (await gateway.sign_in("")).status_code == 401
            assert "no GATEWAY_ADMIN_TOKEN" in (await gateway.http.get("/")).text

        assert (await gateway.order("drain", address)).status_code == 401
        assert gateway.worker.drained() == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a" * 100_000, 413),
        (b"\xff\xfe=1", 400),
        (b"&".join(b"n%d=1" % number for number in range(99)), 400),
        (b"do=explode&of=x&instance=y", 422),
        (b"", 422),
    ],
)
async def test_a_bad_form_is_refused(body, status):
    """Too large, no form, too many fields, an order that there is not."""
    async with served(FakeNacos()) as gateway:
        await gateway.sign_in()

        answer = await gateway.http.post("/console/order", content=body, headers=ORIGIN)

    assert answer.status_code == status


class Events:
    """A browser's end of a stream, on a real connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, query: str = "") -> "Events":
        """Ask for the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        writer.write(f"GET /console/events{query} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        return cls(reader, writer)

    async def status(self) -> int:
        """Read the head."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    async def parts(self) -> dict[str, str]:
        """Read the next parts."""
        async with asyncio.timeout(10):
            while not (line := await self.reader.readline()).startswith(b"data: "):
                assert line
        return dict(json.loads(line.removeprefix(b"data: ")))

    async def ended(self) -> bool:
        """Read to the end."""
        async with asyncio.timeout(10):
            while await self.reader.read(65536):
                pass
        return True


@asynccontextmanager
async def on_a_port(app: FastAPI):
    """The application behind a real server; yields its port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def test_a_page_gets_what_changes(world):
    """First every part, then those that changed alone; a row for each busy service."""
    fake, instance = FakeNacos(), await world.instance()
    fake.put_instance(SERVICE, world.instance_at(instance, {}))
    async with served(fake, token=None) as gateway, on_a_port(gateway.app) as port:
        await gateway.data.get(f"/{SERVICE}/x")
        events = await Events.open(port)
        assert await events.status() == 200
        first = await events.parts()
        assert {"alerts", "services", "timeline", "routes"} <= first.keys()

        gateway.worker.ask(
            {"do": "drain", "service": SERVICE, "drained": True,
             "instance": f"127.0.0.1:{instance.port}"}
        )  # fmt: skip
        changed = await events.parts()

        assert f"service-{SERVICE}" in changed
        assert "drained by an operator" in changed["trouble"]
        assert "routes" not in changed
        events.writer.close()
        await world.until(lambda: gateway.console.streams == 0)


async def test_the_links_of_a_page_lead_to_the_console_after_an_answer_too(world):
    """The answer's page is at another address: what its stream sends is relative to that one."""
    fake = FakeNacos()
    fake.put_instance(SERVICE, Instance("10.0.0.1", 1))
    fake.publish("gateway", f"routes: [{{path: /cars, service: {SERVICE}}}]")
    async with served(fake, token=None) as gateway, on_a_port(gateway.app) as port:
        await world.until(lambda: gateway.worker.directory.services[SERVICE].known)
        asked = await gateway.http.post("/console/where", data={"target": "/"}, headers=ORIGIN)
        stream = Elements(asked.text).events
        assert stream.startswith("../console/events?")

        events = await Events.open(port, stream.removeprefix("../console/events"))
        assert await events.status() == 200
        services = (await events.parts())["services"]
        events.writer.close()

    assert f'href="../?service={SERVICE}#service"' in services
    assert 'action="../"' in services


async def test_streams_are_bounded_and_end_with_the_gateway(world):
    """One more page than there may be is told to come back; a drain ends all of them."""
    async with served(FakeNacos(), token=None) as gateway, on_a_port(gateway.app) as port:
        pages = [await Events.open(port) for _ in range(MAX_STREAMS)]
        assert [await one.status() for one in pages] == [200] * MAX_STREAMS
        refused = await gateway.http.get("/console/events")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers

        await gateway.console.drain()
        for one in pages:
            async with asyncio.timeout(10):
                assert (await one.reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        await world.until(lambda: gateway.console.streams == 0)
        for one in pages:
            one.writer.close()
