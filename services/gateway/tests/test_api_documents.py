"""OpenAPI documents of services, which are strangers' text, asked for on real connections."""

import asyncio
import gzip
import json
import ssl

import pytest
from gateway.console.api_documents import (
    AT_ONCE,
    FRESH_SECONDS,
    MAX_BYTES,
    PIECE_BYTES,
    TROUBLE_SECONDS,
    Api,
    ApiDocuments,
    Trouble,
    UnshownError,
    in_pieces,
    oldest_beyond,
    read_api,
)
from gateway.console.fetching import Place
from hypothesis import given, strategies as st
from nacos_client import InstanceTls

pytestmark = pytest.mark.anyio
GOOD = {
    "openapi": "3.1.0",
    "info": {"title": "Cars", "version": "1"},
    "paths": {"/a": {"get": {}, "post": {}, "parameters": []}},
}
JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.sampled_from(["#/a", "http://elsewhere.example", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "get", "servers", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def reply(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def place_of(instance, **more) -> Place:
    return Place("cars", "127.0.0.1", instance.port, **more)


def shown(document) -> dict:
    return json.loads(b"".join(read_api(json.dumps(document).encode()).with_servers(["/cars"])))


def references(part) -> list[str]:
    """Every reference in a document that leads out of it."""
    if isinstance(part, dict):
        own = part.get("$ref")
        mine = [own] if isinstance(own, str) and not own.startswith("#") else []
        return mine + [one for inner in part.values() for one in references(inner)]
    return [one for inner in part for one in references(inner)] if isinstance(part, list) else []


@given(info=JSON, paths=JSON, rest=JSON)
def test_nothing_of_a_document_leads_elsewhere(info, paths, rest):
    """Whatever a document holds: its servers are the gateway's, and no reference leaves it."""
    document = {
        "openapi": "3.0.1", "info": {"a": info}, "paths": {"/a": paths}, "components": rest,
        "servers": [{"url": "https://elsewhere.example"}],
    }  # fmt: skip

    found = shown(document)

    assert found["servers"] == [{"url": "/cars"}]
    assert references(found) == []


def test_servers_of_a_path_and_an_operation_are_taken_out():
    """A request that is tried out goes to the gateway, whatever stands in the document."""
    evil = [{"url": "http://elsewhere.example"}]
    paths = {"/a": {"servers": evil, "get": {"servers": evil, "responses": {}}}}

    assert shown({**GOOD, "paths": paths})["paths"] == {"/a": {"get": {"responses": {}}}}


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("/api/v2", "/cars/api/v2"),
        ("http://10.0.0.1:8081/api/", "/cars/api"),
        ("http://10.0.0.1:8081", "/cars"),
        ("/{version}", "/cars"),
        ("/../admin", "/cars"),
        ("/%2e%2e/admin", "/cars"),
        ("/a//b", "/cars"),
        ("/%2f/elsewhere.example", "/cars"),
        ("/a%3fb", "/cars"),
        ("/a%23b", "/cars"),
        ("javascript:alert(1)", "/cars"),
        ("http://[", "/cars"),
        (7, "/cars"),
    ],
)
def test_the_path_of_a_services_own_server_stays(url, server):
    """A document's paths stand below its server's path, which the gateway does not take off."""
    assert shown({**GOOD, "servers": [{"url": url}]})["servers"] == [{"url": server}]


async def test_readers_share_one_document():
    """A reader who takes nothing holds a piece of it, and no document of his own."""
    api = read_api(json.dumps({**GOOD, "x": "y" * 3 * PIECE_BYTES}).encode())

    first, *pieces = [one async for one in in_pieces(*api.with_servers(["/cars"]))]

    assert len(first) < 100
    assert len(pieces) == 4
    assert all(one.obj is api.body and len(one) <= PIECE_BYTES for one in pieces)
    assert json.loads(first.tobytes() + b"".join(pieces))["servers"] == [{"url": "/cars"}]


@pytest.mark.parametrize(
    ("more", "keyed"),
    [
        ({"x": [{"$ref": ""}] * 60_000}, False),
        ({"security": [{}] * 90_000, "x": "y" * 1_000_000}, True),
    ],
)
def test_a_document_that_grows_beyond_the_bound_is_not_shown(more, keyed):
    """What is put in its gaps counts as what the service has answered."""
    data = json.dumps({**GOOD, **more}).encode()
    assert len(data) <= MAX_BYTES

    with pytest.raises(UnshownError) as raised:
        read_api(data, keyed=keyed)

    assert raised.value.trouble is Trouble.TOO_LARGE


OAUTH = {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "http://elsewhere.example"}}}


@pytest.mark.parametrize(
    "components",
    [
        {"securitySchemes": {"own": OAUTH}},
        {"securitySchemes": {"own": {"type": "openIdConnect", "openIdConnectUrl": "http://e.e"}}},
        {"securitySchemes": {"own": {"$ref": "#/x"}}},
        {"securitySchemes": {"own": {"$ref": "#/x", "type": "http"}}},
        {"securitySchemes": {"own": {"type": {"$ref": "#/x/type"}, "flows": {}}}},
        {"securitySchemes": {"own": {"type": ["http"]}}},
        {"securitySchemes": {"$ref": "#/y"}},
        {"securitySchemes": ["own"]},
        {"$ref": "#/z"},
        {"allOf": [{"$ref": "#/z"}]},
        7,
    ],
)
def test_no_way_to_log_in_leads_elsewhere(components):
    """Swagger UI would open the address that a document names, in the reader's browser."""
    wanted = [{"own": ["a"]}]
    document = {
        **GOOD, "components": components, "security": wanted, "x": OAUTH, "y": {"own": OAUTH},
        "z": {"securitySchemes": {"own": OAUTH}}, "paths": {"/a": {"get": {"security": wanted}}},
    }  # fmt: skip

    found = shown(document)

    assert found["components"] == {"securitySchemes": {}}
    assert found["security"] == found["paths"]["/a"]["get"]["security"] == [{}]


def test_a_way_to_log_in_with_a_field_stays():
    """Without what could be put in its place by a reference."""
    own = {"type": "apiKey", "in": "header", "name": "X-Key"}
    schemes = {"own": {**own, "allOf": [OAUTH]}}

    assert shown({**GOOD, "components": {"securitySchemes": schemes}})["components"] == {
        "securitySchemes": {"own": own}
    }


@pytest.mark.parametrize("name", ["$ref", "$dynamicRef", "$recursiveRef", "$id"])
def test_no_schema_is_taken_from_elsewhere(name):
    """Neither by a reference nor by an address from which all references are read."""
    schema = {name: "http://elsewhere.example/a"}
    found = shown({**GOOD, "components": {"schemas": {"A": {**schema, "b": {name: "#b"}}}}})

    assert name not in found["components"]["schemas"]["A"]


def test_a_long_reference_is_told_in_part():
    """Its beginning says which it was."""
    found = shown({**GOOD, "x": {"$ref": "http://elsewhere.example/" + "y" * 1000}})["x"]

    assert "http://elsewhere.example/" in found["description"]
    assert len(found["description"]) < 300


@pytest.mark.parametrize(
    ("wanted", "then"),
    [
        (None, [{"gateway-key": []}]),
        ([], [{"gateway-key": []}]),
        ([{"own": []}, {}], [{"own": [], "gateway-key": []}, {"gateway-key": []}]),
        ([{"absent": []}], [{"gateway-key": []}]),
        ("nonsense", [{"gateway-key": []}]),
    ],
)
def test_a_reader_can_say_the_key_of_a_route(wanted, then):
    """Beside what the service itself wants, whatever of it is there."""
    operation = {} if wanted is None else {"security": wanted}
    document = {
        **GOOD, "security": wanted, "paths": {"/a": {"get": operation}},
        "components": {"securitySchemes": {"own": {"type": "http", "scheme": "basic"}}},
    }  # fmt: skip

    told = json.loads(read_api(json.dumps(document).encode(), keyed=True).body)

    assert told["components"]["securitySchemes"]["gateway-key"]["name"] == "X-Api-Key"
    assert told["security"] == then
    assert told["paths"]["/a"]["get"].get("security", then) == then


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"<html>", Trouble.NO_JSON),
        (b"[" * 100_000, Trouble.NO_JSON),
        (b"\xff", Trouble.NO_JSON),
        (
            b'{"openapi": "3.0.0", "info": {}, "x": ' + b"[" * 600 + b"]" * 600 + b"}",
            Trouble.NO_OPENAPI,
        ),
        (b"[]", Trouble.NO_OPENAPI),
        (b'{"swagger": "2.0"}', Trouble.NO_OPENAPI),
        (b'{"openapi": "3.0.0"}', Trouble.NO_OPENAPI),
        (
            b'{"openapi": "3.0.0", "info": {}, "paths": {}, "x": [' + b"[]," * 100_000 + b"[]]}",
            Trouble.TOO_LARGE,
        ),
        (b'{"openapi": "3.0.0", "info": {}, "paths": []}', Trouble.NO_OPENAPI),
    ],
)
def test_what_is_no_document_is_told_as_such(data, trouble):
    """The trouble has a name, whatever was answered."""
    with pytest.raises(UnshownError) as raised:
        read_api(data)

    assert raised.value.trouble is trouble


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 100)), st.integers(0, 300))
def test_the_oldest_are_forgotten_until_the_others_have_room(sizes, most):
    """No more than need be, and in the order in which they came."""
    gone = oldest_beyond(sizes, most)

    assert gone == list(sizes)[: len(gone)]
    assert sum(size for name, size in sizes.items() if name not in gone) <= most
    if gone:
        assert sum(size for name, size in sizes.items() if name not in gone[:-1]) > most


def by_path(answers: dict[str, bytes]):
    """Answer each path with its bytes, all others with 404."""

    async def behaviour(instance, wire) -> None:
        while True:
            request = await instance.take(wire)
            path = request.line.split(" ")[1]
            wire.send(answers.get(path, reply(b"no", "404 Not Found")))

    return behaviour


BODY = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    ("answers", "root", "expected"),
    [
        ({"/openapi.json": reply(BODY)}, "", None),
        ({"/v3/api-docs": reply(BODY)}, "", None),
        ({"/openapi.json": reply(b"<html>"), "/v3/api-docs": reply(BODY)}, "", None),
        ({"/app/v3/api-docs": reply(BODY)}, "/app", None),
        ({}, "", Trouble.NONE),
        ({"/openapi.json": reply(b"", "302 Found", "Location: /x\r\n")}, "", Trouble.REFUSED),
        ({"/openapi.json": reply(b"", "401 Unauthorized")}, "", Trouble.REFUSED),
        ({"/openapi.json": reply(b"{")}, "", Trouble.NO_JSON),
        ({"/openapi.json": reply(b" " * (MAX_BYTES + 1))}, "", Trouble.TOO_LARGE),
        (
            {"/openapi.json": reply(gzip.compress(BODY), more="Content-Encoding: gzip\r\n")},
            "",
            Trouble.NO_JSON,
        ),
        ({"/openapi.json": b"no HTTP\r\n\r\n"}, "", Trouble.UNREACHABLE),
    ],
)
async def test_an_instance_is_asked_at_both_places(world, answers, root, expected):
    """A good document at either counts, below the service's own path; else the trouble is told."""
    instance = await world.instance(by_path(answers))
    documents = ApiDocuments()

    found = await documents.look({"cars": place_of(instance, root=root)}, ["cars"], 10)

    if expected is None:
        assert isinstance(found["cars"], Api)
        assert (found["cars"].title, found["cars"].operations) == ("Cars", 2)
    else:
        assert found == {"cars": expected}


async def test_a_service_that_does_not_answer_costs_the_others_nothing(world):
    """Others' documents are there at once; the slow one is told as such when its time is over."""
    never = asyncio.Event()
    slow, good = (
        await world.instance(world.answering_after(never)),
        await world.instance(world.answering(reply(BODY))),
    )
    places = {"slow": place_of(slow), "gone": place_of(world.refusing()), "good": place_of(good)}
    places["no port"] = Place("cars", "127.0.0.1", 99999)
    documents = ApiDocuments()

    asking = asyncio.create_task(documents.look(places, list(places), 10))
    await world.until(lambda: bool(slow.executed))
    first = await documents.look({**places, "empty": None}, ["good", "empty"], 10)
    await asking
    later = await documents.look(places, list(places), 10)

    assert isinstance(first["good"], Api)
    assert first["slow"] is Trouble.UNASKED
    assert first["empty"] is Trouble.NO_INSTANCE
    assert later["gone"] is Trouble.UNREACHABLE
    assert later["no port"] is Trouble.UNREACHABLE
    assert later["slow"] is Trouble.SLOW


async def test_a_document_is_asked_for_only_when_it_is_wanted_and_then_kept(world):
    """Once in minutes while the version is the same, and not at all while nobody looks."""
    instance = await world.instance(world.answering(reply(BODY)))
    now = [0.0]
    documents = ApiDocuments(clock=lambda: now[0])
    places = {"cars": place_of(instance, version="1"), "other": place_of(instance)}

    async def asked(version: str = "1") -> int:
        places["cars"] = place_of(instance, version=version)
        await documents.look(places, ["cars"], 10)
        return len(instance.executed)

    assert [await asked(), await asked()] == [1, 1]
    now[0] = FRESH_SECONDS - 1
    assert await asked() == 1
    assert await asked("2") == 2
    now[0] += FRESH_SECONDS
    assert await asked("2") == 3
    await documents.look({"cars": place_of(instance, version="2", keyed=True)}, ["cars"], 10)
    assert len(instance.executed) == 4
    assert (await documents.look(places, [], 0))["other"] is Trouble.UNASKED


async def test_a_trouble_is_asked_about_again_soon(world):
    """A service that is mended has its document without a restart of the gateway."""
    answers: dict[str, bytes] = {}
    instance = await world.instance(by_path(answers))
    now = [0.0]
    documents, places = ApiDocuments(clock=lambda: now[0]), {"cars": place_of(instance)}
    assert await documents.look(places, ["cars"], 10) == {"cars": Trouble.NONE}
    answers["/openapi.json"] = reply(BODY)

    assert await documents.look(places, ["cars"], 10) == {"cars": Trouble.NONE}
    now[0] = TROUBLE_SECONDS
    assert isinstance((await documents.look(places, ["cars"], 10))["cars"], Api)


async def test_few_services_are_asked_at_a_time(world):
    """However many somebody looks at."""
    crowd = world.holding(reply(BODY))
    instance = await world.instance(crowd)
    documents = ApiDocuments()
    places = {f"s{number}": place_of(instance) for number in range(AT_ONCE * 3)}
    looking = asyncio.create_task(documents.look(places, list(places), 10))
    await world.until(lambda: crowd.under_way == AT_ONCE)
    crowd.go.set()
    found = await looking

    assert crowd.most == AT_ONCE
    assert all(isinstance(one, Api) for one in found.values())


async def test_what_is_asked_for_ends_with_the_gateway(world):
    """An instance that never answers keeps nothing from ending."""
    instance = await world.instance(world.answering_after(asyncio.Event()))
    documents = ApiDocuments()
    await documents.look({"cars": place_of(instance)}, ["cars"], 0)
    await world.until(lambda: bool(instance.executed))

    async with asyncio.timeout(2):
        await documents.close()

    assert await documents.look({"cars": None}, [], 0) == {"cars": Trouble.NO_INSTANCE}


async def test_an_instance_with_tls_is_trusted_as_the_gateway_trusts_it(world, certificate):
    """The authority and the name are those of the settings; without them nothing is asked."""
    cert, key = certificate
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    instance = await world.instance(world.answering(reply(BODY)), tls=tls)
    places = {"cars": place_of(instance, secure=True)}

    trusting = ApiDocuments(InstanceTls(ca=cert, name="localhost"))
    assert isinstance((await trusting.look(places, ["cars"], 10))["cars"], Api)
    others = ApiDocuments(InstanceTls(ca=cert, name="other.example"))
    assert await others.look(places, ["cars"], 10) == {"cars": Trouble.UNREACHABLE}
