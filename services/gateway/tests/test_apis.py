"""The page of all APIs: what it shows of strangers' documents, and who may try what out."""

import asyncio
import json
import re
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser

import httpx
import pytest
from failover import Instance
from fastapi import FastAPI, Request
from gateway.__main__ import Alone
from gateway.console.api_documents import ApiDocuments
from gateway.console.apis import ApiPages
from gateway.console.app import Console
from gateway.console.tryout import (
    AT_ONCE,
    MAX_ANSWER_BYTES,
    MAX_BODY_BYTES,
    DataPortPlace,
    TryOut,
    trust_in,
)
from gateway.control.admin import create_app
from gateway.control.order_desk import OrderDesk
from gateway.settings import GatewaySettings
from gateway.worker import data_path
from nacos_client.testing import FakeNacos
from service_kit import HealthChecks, Problem

pytestmark = pytest.mark.anyio
TOKEN = "correct-horse-battery"  # noqa: S105 - of these tests alone
ORIGIN = {"origin": "http://gateway"}
MARK = {"x-gateway-docs": "1"}
TITLE = "Cars 1, operations: 1"
EVIL = '"><script>alert(1)</script>'


def reply(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def documented(title: str = "Cars", answer: bytes = reply(b"{}")):
    """Answer /openapi.json with a document, and all else with this answer."""
    info = {"title": title, "version": "1"}
    document = {"openapi": "3.1.0", "info": info, "paths": {"/predict": {"post": {}}}}

    async def behaviour(instance, wire) -> None:
        while True:
            request = await instance.take(wire)
            is_document = request.line.split(" ")[1] == "/openapi.json"
            wire.send(reply(json.dumps(document).encode()) if is_document else answer)

    return behaviour


@dataclass
class Served:
    """The admin port of a gateway, and a client of each of its ports."""

    http: httpx.AsyncClient
    data: httpx.AsyncClient
    tryout: TryOut

    async def sign_in(self) -> None:
        """Show the token."""
        form = {"token": TOKEN}
        answer = await self.http.post("/console/sign-in", data=form, headers=ORIGIN)
        assert answer.status_code == 303

    async def follow(self, *names: str) -> None:
        """Have the gateway follow services."""
        for name in names:
            await self.data.get(f"/{name}/")


@asynccontextmanager
async def served(fake: FakeNacos, token: str | None = TOKEN, certificate=None, *, docs=False):
    """A gateway in this process whose Nacos is a fake."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    cert, key = certificate or (None, None)
    settings = GatewaySettings(
        SERVICE_NAME="gateway", GATEWAY_ACCESS_LOG=False, GATEWAY_DOCS=docs,
        GATEWAY_TLS_CERT=cert, GATEWAY_TLS_KEY=key,
    )  # fmt: skip
    async with fake.client() as nacos, data_path(settings, nacos, sock) as (port, worker):
        alone, health = Alone(worker), HealthChecks("gateway", "1")
        orders = OrderDesk(alone)
        await port.open()
        host, number = port.address
        app = create_app(alone, health, version="1", token=token, orders=orders)
        console = Console(alone, health, orders, alone.counters, build="1", token=token)
        console.add_to(app)
        tls = trust_in(cert) if cert else None
        tryout = TryOut(DataPortPlace(host, number, cert))
        documents = ApiDocuments()
        ApiPages(alone, documents, console=console, tryout=tryout).add_to(app, "/docs")
        scheme = "https" if tls else "http"
        try:
            async with (
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://gateway"
                ) as http,
                httpx.AsyncClient(
                    base_url=f"{scheme}://{host}:{number}",
                    trust_env=False,
                    verify=tls or True,
                ) as data,
            ):
                yield Served(http, data, tryout)
        finally:
            await documents.close()
            await port.drain()
            await port.close()


class Elements(HTMLParser):
    """The elements of a page by tag, their attributes, and the text of it all."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this tag."""
        return [attributes for one, attributes in self.found if one == tag]


async def test_every_service_is_there_with_its_document_or_its_trouble(world):
    """A service without a document, or with a broken one, is shown as such and breaks nothing."""
    fake = FakeNacos()
    behaviours = {"cars": documented(), "broken": world.answering(reply(b"<html>")), "bare":
                  world.answering(reply(b"", "404 Not Found"))}  # fmt: skip
    for name, behaviour in behaviours.items():
        instance = await world.instance(behaviour)
        fake.put_instance(name, world.instance_at(instance, {}))
    fake.publish("gateway", "routes: [{path: /c, service: cars, strip_prefix: /c}]")
    async with served(fake) as gateway:
        await gateway.follow("cars", "broken", "bare")
        await gateway.sign_in()
        page = Elements((await gateway.http.get("/docs?lang=en")).text)
        chinese = await gateway.http.get("/docs?lang=zh")
        one = await gateway.http.get("/docs?lang=en&service=cars")
        document = (await gateway.http.get("/docs/openapi.json?service=cars")).json()
        bad = await gateway.http.get("/docs?lang=en&service=broken")
        none = await gateway.http.get("/docs/openapi.json?service=broken")
        unknown = await gateway.http.get("/docs?lang=en&service=elsewhere")
        folder = await gateway.http.get("/docs/")

    for told in ("Cars 1, operations: 1", "/c, /cars", "is no JSON", "It has no document"):
        assert told in page.text
    assert "不是 JSON" in chinese.text
    (port,) = re.findall(r"data-gateway=\"http://gateway:(\d+)\"", one.text)
    assert [one["url"] for one in document["servers"]] == [
        f"http://gateway:{port}/c",
        f"http://gateway:{port}/cars",
    ]
    assert "is no JSON" in bad.text
    assert "swagger-ui" not in bad.text
    assert none.status_code == 404
    assert "No service of this name is followed" in unknown.text
    assert folder.headers["location"] == "../docs"


def docs_of(page: httpx.Response) -> dict[str, str | None]:
    """What the page's script is told of the document."""
    (docs,) = [one for one in Elements(page.text).all("div") if one.get("id") == "docs"]
    return docs


async def test_the_gateways_own_api_is_shown_at_the_admin_port_and_tried_with_its_token():
    """Its document is that port's own, is called there, and says where the token goes."""
    async with served(FakeNacos()) as gateway:
        await gateway.sign_in()
        listed = await gateway.http.get("/docs?lang=en")
        docs = docs_of(await gateway.http.get("/docs?own=1"))
        document = (await gateway.http.get("/openapi.json")).json()
        off = await gateway.data.get("/docs")
        refused = await gateway.http.get("/api/services", headers={"authorization": "Bearer x"})
        token = {"authorization": f"Bearer {TOKEN}"}
        tried = await gateway.http.get("/api/services", headers=token)

    assert 'href="docs?own=1"' in listed.text
    assert (docs["data-document"], "data-gateway" in docs) == ("openapi.json", False)
    assert "data-try" in docs
    services = document["paths"]["/api/services"]["get"]
    ((name, _),) = services["security"][0].items()
    assert "parameters" not in services
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert (refused.status_code, tried.status_code) == (401, 200)
    assert off.status_code == 404


async def test_what_makes_the_page_is_no_service_of_an_operator(world):
    """The way from the data port's page to the gateway's own port is not listed to be drained."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake, docs=True) as gateway:
        await gateway.follow("cars")
        await gateway.sign_in()
        token = {"authorization": f"Bearer {TOKEN}"}
        services = await gateway.http.get("/api/services", headers=token)
        console = await gateway.http.get("/?lang=en")

    assert [one["name"] for one in services.json()] == ["cars"]
    assert "service=cars" in console.text
    assert "service=gateway%3Adocs" not in console.text


async def test_without_any_token_the_page_gives_no_orders():
    """The gateway's own API is shown there, and nothing of it can be tried out."""
    async with served(FakeNacos(), token=None) as gateway:
        page = await gateway.http.get("/docs?own=1&lang=en")

    assert docs_of(page)["data-document"] == "openapi.json"
    assert "data-try" not in docs_of(page)
    assert "Nothing can be tried out here" in page.text


async def test_names_and_titles_of_strangers_are_text(world):
    """Whatever stands in a document or an address is escaped, and no inline script may run."""
    fake, instance = FakeNacos(), await world.instance(documented(EVIL))
    fake.put_instance("cars", world.instance_at(instance, {"version": EVIL}))
    async with served(fake) as gateway:
        await gateway.follow("cars")
        await gateway.sign_in()
        pages = [
            await gateway.http.get("/docs", params={"find": find, "service": service})
            for find, service in (("", ""), ("", "cars"), (EVIL, ""), ("", EVIL))
        ]

    assert EVIL in Elements(pages[0].text).text
    for answer in pages:
        page = Elements(answer.text)
        assert all(one.get("src") in {"docs/swagger-ui-bundle.js", "docs/docs.js"}
                   for one in page.all("script"))  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "connect-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_nothing_is_shown_or_asked_without_the_token(world):
    """With a token set, the page, its documents and what is tried out want a session."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.follow("cars")
        asked = len(instance.executed)
        page = await gateway.http.get("/docs")
        document = await gateway.http.get("/docs/openapi.json?service=cars")
        tried = await gateway.http.post("/docs/try/cars/predict", headers=MARK)

        assert "cars" not in page.text
        assert (document.status_code, tried.status_code) == (401, 401)
        assert len(instance.executed) == asked


async def test_without_any_token_the_page_can_be_read_and_nothing_be_tried(world):
    """No request of a page changes anything where the gateway has no token."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake, token=None) as gateway:
        await gateway.follow("cars")
        page = await gateway.http.get("/docs?lang=en&service=cars")
        tried = await gateway.http.post("/docs/try/cars/predict", headers=MARK)

    assert "Nothing can be tried out here" in page.text
    assert "data-try" not in page.text
    assert tried.status_code == 401


async def test_what_is_tried_out_goes_through_the_gateway_without_the_session(world):
    """The instance has method, target, fields and body as the page sent them, and no cookie."""
    answer = reply(b'{"a": 1}', "201 Created", "Content-Type: application/json\r\n")
    fake, instance = FakeNacos(), await world.instance(documented(answer=answer))
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.sign_in()
        tried = await gateway.http.put(
            "/docs/try/cars/predict/a%2fb?x=%20", content=b"body",
            headers={**MARK, **ORIGIN, "authorization": "Bearer x", "content-type": "text/x"},
        )  # fmt: skip

    request = instance.executed[-1]
    assert (tried.status_code, tried.json()) == (201, {"a": 1})
    assert request.line == "PUT /predict/a%2fb?x=%20 HTTP/1.1"
    assert request.body == b"body"
    assert (request.one("authorization"), request.one("content-type")) == ("Bearer x", "text/x")
    assert request.all("cookie") == request.all("origin") == request.all("x-gateway-docs") == []
    assert tried.headers["x-gateway-attempts"] == "1"


async def test_what_a_service_answers_has_no_power_over_the_console(world):
    """No cookie, no way to elsewhere, no script: the answer stands at the console's own origin."""
    more = (
        "Content-Type: text/html\r\nSet-Cookie: gateway_console=x\r\nLocation: /console/order\r\n"
        "Clear-Site-Data: *\r\nWWW-Authenticate: Basic\r\nContent-Security-Policy: x\r\n"
        "Refresh: 0; url=/\r\nLink: </a.css>; rel=stylesheet\r\n"
    )
    answer = reply(b"<script>alert(1)</script>", "307 Temporary Redirect", more)
    fake, instance = FakeNacos(), await world.instance(documented(answer=answer))
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.sign_in()
        tried = await gateway.http.get("/docs/try/cars/x", headers=MARK)

    assert tried.status_code == 307
    assert tried.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert tried.headers["x-content-type-options"] == "nosniff"
    for name in ("set-cookie", "location", "clear-site-data", "www-authenticate", "refresh",
                 "link"):  # fmt: skip
        assert name not in tried.headers


async def test_fields_of_any_bytes_are_passed_on(world):
    """Field values beyond ASCII, as HTTP allows them and services send them, stay as they are."""
    named = 'attachment; filename="名.txt"'.encode()
    more = b"Content-Disposition: " + named + b"\r\nX-Content-Type-Options: x\r\n"
    answer = b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: 0\r\n\r\n"
    fake, instance = FakeNacos(), await world.instance(documented(answer=answer))
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.sign_in()
        tried = await gateway.http.get(
            "/docs/try/cars/x", headers=[(b"X-Gateway-Docs", b"1"), (b"X-Name", "é".encode())]
        )

    assert tried.status_code == 200
    assert [value for name, value in tried.headers.raw if name == b"content-disposition"] == [named]
    assert tried.headers.get_list("x-content-type-options") == ["nosniff"]
    assert instance.executed[-1].one("x-name").encode("latin-1") == "é".encode()


async def test_a_target_that_is_no_urls_is_the_readers_fault():
    """Bytes beyond ASCII in the path or the query are told as such."""
    scope = {"type": "http", "method": "GET", "headers": [(b"x-gateway-docs", b"1")]}
    tryout = TryOut(DataPortPlace("127.0.0.1", 9))

    with pytest.raises(Problem) as raised:
        await tryout.send(Request(scope), b"/caf\xc3\xa9")

    assert raised.value.status == 400


@pytest.mark.parametrize(
    "headers",
    [{}, ORIGIN, {**MARK, "origin": "http://elsewhere.example"}, {**MARK, "origin": "null"}],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_other_page_tries_anything(world, headers, method):
    """Without the mark that only the own page can set, or of another origin: refused, not sent."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.follow("cars")
        await gateway.sign_in()
        asked = len(instance.executed)

        tried = await gateway.http.request(method, "/docs/try/cars/x", headers=headers)
        question = {"origin": "http://elsewhere.example", "access-control-request-method": method}
        allowed = await gateway.http.options(
            "/docs/try/cars/x",
            headers={**question, "access-control-request-headers": "x-gateway-docs"},
        )

        assert tried.status_code == 403
        assert "access-control-allow-origin" not in allowed.headers
        assert len(instance.executed) == asked


async def test_what_is_tried_out_is_bounded(world):
    """Too many at a time and too large a body are refused, and a lost answer is told."""
    go = asyncio.Event()
    fake, instance = FakeNacos(), await world.instance(world.answering_after(go))
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.sign_in()
        trying = [
            asyncio.create_task(gateway.http.get("/docs/try/cars/x", headers=MARK))
            for _ in range(AT_ONCE)
        ]
        await world.until(lambda: len(instance.executed) >= AT_ONCE)
        many = await gateway.http.get("/docs/try/cars/x", headers=MARK)
        go.set()
        assert {(await one).status_code for one in trying} == {200}
        large = await gateway.http.post(
            "/docs/try/cars/x", headers=MARK, content=b"x" * (MAX_BODY_BYTES + 1)
        )

    assert (many.status_code, large.status_code) == (503, 413)


async def test_an_answer_is_under_way_until_the_reader_has_it(world):
    """Readers that take nothing hold no more answers in memory than may be tried out at a time."""
    answer = reply(b"x" * MAX_ANSWER_BYTES)
    fake, instance = FakeNacos(), await world.instance(documented(answer=answer))
    fake.put_instance("cars", world.instance_at(instance, {}))
    taken, waiting = asyncio.Event(), 0

    async def lazy(message) -> None:
        nonlocal waiting
        if message["type"] == "http.response.body" and not taken.is_set():
            waiting += 1
            await taken.wait()

    async with served(fake) as gateway:
        await gateway.sign_in()
        scope = {
            "type": "http", "method": "GET", "headers": [(b"x-gateway-docs", b"1")],
            "asgi": {"spec_version": "2.4"},
        }  # fmt: skip

        async def read() -> None:
            messages = iter([{"type": "http.request", "body": b""}])

            async def receive():
                for message in messages:
                    return message
                return await asyncio.Event().wait()  # the reader stays

            got = await gateway.tryout.send(Request(scope, receive), b"/cars/x")
            await got(scope, receive, lazy)

        reading = [asyncio.create_task(read()) for _ in range(AT_ONCE)]
        await world.until(lambda: waiting == AT_ONCE)
        many = await gateway.http.get("/docs/try/cars/x", headers=MARK)
        taken.set()
        await asyncio.gather(*reading)
        then = await gateway.http.get("/docs/try/cars/x", headers=MARK)

    assert (many.status_code, then.status_code) == (503, 200)
    assert then.content == b"x" * MAX_ANSWER_BYTES


async def test_too_large_an_answer_is_told(world):
    """The reader learns the bound, and the next request has its turn."""
    answer = reply(b"x" * (MAX_ANSWER_BYTES + 1))
    fake, instance = FakeNacos(), await world.instance(documented(answer=answer))
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake) as gateway:
        await gateway.sign_in()
        tried = [
            await gateway.http.get("/docs/try/cars/x", headers=MARK) for _ in range(AT_ONCE + 1)
        ]

    assert {one.status_code for one in tried} == {502}
    assert str(MAX_ANSWER_BYTES) in tried[-1].text


async def test_a_data_port_with_tls_is_called_by_its_own_certificate(world, certificate):
    """The gateway's own certificate names callers' hosts, not loopback, and is trusted alone."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    async with served(fake, certificate=certificate) as gateway:
        await gateway.sign_in()
        tried = await gateway.http.get("/docs/try/cars/x", headers=MARK)
        page = await gateway.http.get("/docs?service=cars")

    assert tried.status_code == 200
    assert 'data-gateway="https://gateway:' in page.text


async def test_a_renewed_certificate_of_the_data_port_is_trusted(world, certificate, tmp_path):
    """The file is read for each request, so that a renewed one needs no new gateway."""
    fake, instance = FakeNacos(), await world.instance(documented())
    fake.put_instance("cars", world.instance_at(instance, {}))
    scope = {"type": "http", "method": "GET", "headers": [(b"x-gateway-docs", b"1")]}

    async def receive():
        return {"type": "http.request", "body": b""}

    async with served(fake, certificate=certificate) as gateway:
        place = gateway.tryout.place
        file = tmp_path / "certificate.pem"
        tryout = TryOut(DataPortPlace(place.host, place.port, file))
        with pytest.raises(Problem) as raised:
            await tryout.send(Request(scope, receive), b"/cars/x")
        file.write_bytes(certificate[0].read_bytes())
        tried = await tryout.send(Request(scope, receive), b"/cars/x")

    assert (raised.value.status, tried.status_code) == (502, 200)


async def shown(http: httpx.AsyncClient, number: int) -> None:
    """Wait until the page has this many documents."""
    async with asyncio.timeout(60):
        while True:
            page = Elements((await http.get("/docs?lang=en")).text)
            if page.text.count(TITLE) >= number:
                return
            await asyncio.sleep(0.01)


@dataclass
class Answering:
    """Workers that give these answers, and none of any service after them."""

    answers: list[list[dict]]
    asked: int = 0

    def check(self) -> dict:
        """Serve."""
        return {"ok": True}

    async def refresh(self) -> None:
        """Have nothing to do."""

    async def ask(self, command) -> list:
        """Give the next answer."""
        assert command == {"do": "documented"}
        self.asked += 1
        return self.answers.pop(0) if self.answers else []


@pytest.mark.parametrize("empty", [[], [{}], [{}, {}]])
async def test_one_empty_answer_of_the_workers_forgets_nothing(world, empty):
    """Workers that begin anew know no service yet; its document is not asked for again."""
    instance = await world.instance(documented())
    asked = {"service": "cars", "host": "127.0.0.1", "port": instance.port}
    prefixes = [{"path": "/cars", "route": "", "below": "", "keyed": False}]
    workers = Answering([[{"cars": {"asked": asked, "prefixes": prefixes}}], empty])
    documents, app = ApiDocuments(), FastAPI(docs_url=None)
    ApiPages(workers, documents).add_to(app, "/docs")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        await shown(http, 1)
        async with asyncio.timeout(30):
            while workers.asked < 2:
                await asyncio.sleep(0.01)
                page = await http.get("/docs?lang=en")
    await documents.close()

    assert TITLE in Elements(page.text).text
    assert len(instance.executed) == 1


async def test_two_hundred_services_of_fifty_instances_stay_usable(world):
    """The page comes soon, has a bound, and finds by name; each service is asked once."""
    fake, instance = FakeNacos(), await world.instance(documented())
    for number in range(200):
        name = f"service-{number:03}"
        fake.put_instance(name, world.instance_at(instance, {}))
        for other in range(49):
            fake.put_instance(name, Instance(f"127.1.0.{other + 1}", 9))
    routes = [f"{{path: /r{number}, service: service-{number:03}}}" for number in range(200)]
    fake.publish("gateway", f"routes: [{', '.join(routes)}]")
    async with served(fake) as gateway:
        await gateway.sign_in()
        await shown(gateway.http, 200)
        started = time.monotonic()
        again = Elements((await gateway.http.get("/docs?lang=en")).text)
        took = time.monotonic() - started
        found = Elements((await gateway.http.get("/docs?lang=en&find=service-19")).text)

    assert 200 <= len(instance.executed) < 220  # one that was slow is asked again
    assert len(again.all("tr")) == 202
    assert len(found.all("tr")) == 12
    assert took < 15
