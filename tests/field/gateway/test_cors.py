"""Pages of other origins: the gateway answers for its services, before keys, limits and methods."""

import hashlib

import pytest
from pydantic import ValidationError

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"
TOKEN = "a-long-and-random-token"  # noqa: S105 - of a test
PAGE = "https://app.example.com"
CORS = {"origins": [PAGE, "https://*.partner.example"], "expose": ["X-Total"], "credentials": True}
CLOSED = {
    "path": "/closed", "service": NAME, "methods": ["POST"],
    "keys": [hashlib.sha256(TOKEN.encode()).hexdigest()],
}  # fmt: skip


def ask(method: str, target: str, origin: str = PAGE, **fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n{lines}\r\n".encode()


def preflight(target: str, method: str = "POST", origin: str = PAGE) -> bytes:
    return ask("OPTIONS", target, origin, Access_Control_Request_Method=method,
               Access_Control_Request_Headers="authorization, content-type")  # fmt: skip


@pytest.mark.parametrize("target", ["/closed/x", f"/{NAME}/x", "/nobody/x"])
async def test_a_preflight_is_answered_before_keys_and_methods(world, by_document, target: str):
    """It was a 401 on a route with keys, and a 405 on one with methods."""
    instance = await world.instance()
    gateway = await world.gateway(instance, table=by_document(CLOSED, cors=CORS))

    reply = await gateway.ask(preflight(target))

    assert reply.status == 204
    assert reply.one("access-control-allow-origin") == PAGE
    assert reply.one("access-control-allow-methods") == "POST"
    assert reply.one("access-control-allow-headers") == "authorization, content-type"
    assert reply.one("access-control-allow-credentials") == "true"
    assert reply.one("access-control-max-age") == "600"
    assert not instance.executed


@pytest.mark.parametrize(
    ("target", "status"), [("/closed", 401), ("/nobody/x", 404), (f"/{NAME}/x", 200)]
)
async def test_every_answer_can_be_read_by_the_page(world, by_document, target: str, status: int):
    """Without the fields, a page sees "network error" instead of what went wrong."""
    said = (b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nX-Total: 3\r\n"
            b"Content-Length: 2\r\n\r\nok")  # fmt: skip
    gateway = await world.gateway(
        await world.instance(world.answering(said)), table=by_document(CLOSED, cors=CORS)
    )

    reply = await gateway.ask(ask("POST", target, Content_Length="0"))

    assert (reply.status, reply.all("access-control-allow-origin")) == (status, [PAGE])
    assert reply.all("vary") == ["Origin"]
    assert reply.one("access-control-expose-headers") == "X-Total"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (PAGE, True),
        ("https://a.partner.example", True),
        ("https://partner.example", False),
        ("https://a.partner.example.evil.example", False),
        ("http://app.example.com", False),
        ("https://app.example.com.evil", False),
        ("null", False),
    ],
)
async def test_pages_that_are_not_named_read_nothing(
    world, by_document, origin: str, *, allowed: bool
):
    """The preflight is refused, and an answer has no field that lets the page read it."""
    gateway = await world.gateway(await world.instance(), table=by_document(cors=CORS))

    asked = await gateway.ask(preflight(f"/{NAME}/x", origin=origin))
    answered = await gateway.ask(ask("GET", f"/{NAME}/x", origin))

    assert asked.status == (204 if allowed else 403)
    assert answered.status == 200
    assert bool(answered.all("access-control-allow-origin")) is allowed


async def test_a_route_has_its_own_policy_and_others_pass_the_services_own(world, by_document):
    """The document's policy is for those that say nothing; without any, services answer."""
    own = {"path": "/own", "service": NAME, "cors": {"origins": ["*"]}}
    said = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: x\r\nContent-Length: 2\r\n\r\nok"
    gateway = await world.gateway(
        await world.instance(world.answering(said)), table=by_document(own)
    )

    replies = [await gateway.ask(ask("GET", target)) for target in ("/own", f"/{NAME}/x")]

    assert [reply.one("access-control-allow-origin") for reply in replies] == ["*", "x"]


@pytest.mark.parametrize("origin", ["*", "null"])
def test_credentials_for_every_page_are_refused(by_document, origin: str):
    """Any page could act in the name of its reader, and any can be `null`: in a sandboxed frame."""
    with pytest.raises(ValidationError, match="any page act"):
        by_document(cors={"origins": [PAGE, origin], "credentials": True})


@pytest.mark.parametrize(
    "origin", [f"{PAGE}:443", "http://a.example:80", "https://*.a.example:443"]
)
def test_an_origin_that_no_browser_sends_is_refused(by_document, origin: str):
    """Browsers leave the usual port out; the origin was accepted and never matched."""
    with pytest.raises(ValidationError, match="without the port"):
        by_document(cors={"origins": [origin]})


async def test_the_policy_is_that_of_the_route_for_the_method(world, by_document):
    """Everybody's policy for GET let every page call, and read, what the route for POST answers."""
    routes = (
        {"name": "read", "path": "/a", "service": NAME, "methods": ["GET"],
         "cors": {"origins": ["*"]}},
        {"name": "write", "path": "/a", "service": NAME, "methods": ["POST"],
         "cors": {"origins": [PAGE]}},
    )  # fmt: skip
    gateway = await world.gateway(await world.instance(), table=by_document(*routes))
    other = "https://other.example"

    asked = [(await gateway.ask(preflight("/a", method, other))).status
             for method in ("GET", "POST", "PUT")]  # fmt: skip
    replies = [await gateway.ask(ask(method, "/a", other, Content_Length="0"))
               for method in ("GET", "POST", "PUT")]  # fmt: skip

    assert asked == [204, 403, 204]
    assert [(reply.status, reply.all("access-control-allow-origin")) for reply in replies] == [
        (200, ["*"]), (200, []), (405, ["*"]),
    ]  # fmt: skip


async def test_an_answer_that_depends_on_the_origin_says_so_to_every_cache(world, by_document):
    """A cache gave the answer to a request without `Origin` to a page, which could not read it."""
    table = by_document(
        {"path": "/all", "service": NAME, "cors": {"origins": ["*"]}},
        {"path": "/some", "service": NAME, "cors": CORS},
        {"path": "/none", "service": NAME},
    )
    gateway = await world.gateway(await world.instance(), table=table)

    replies = [
        await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        for target in ("/all", "/some", "/none")
    ]

    assert [reply.all("vary") for reply in replies] == [[], ["Origin"], []]


async def test_a_field_that_the_route_sets_takes_the_place_of_the_policys(world, by_document):
    """Two values of Access-Control-Allow-Origin let no page read the answer."""
    headers = {"set": {"access-control-allow-origin": "https://other.example"}, "remove": ["Vary"]}
    table = by_document({"path": "/a", "service": NAME, "cors": CORS, "response_headers": headers})
    gateway = await world.gateway(await world.instance(), table=table)

    reply = await gateway.ask(ask("GET", "/a"))

    assert reply.all("access-control-allow-origin") == ["https://other.example"]
    assert reply.one("access-control-allow-credentials") == "true"
    assert not reply.all("vary")
