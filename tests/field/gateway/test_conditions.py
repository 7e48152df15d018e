"""Routes by host, header, query and cookie; canaries by value; header fields set and removed."""

from time import process_time

import pytest
from gateway.http.heads import Head
from gateway.routing.pattern import TextPattern
from pydantic import ValidationError

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"


@pytest.mark.parametrize(
    ("when", "meets", "misses"),
    [
        ({"hosts": ["Shop.example"]}, "Host: shop.EXAMPLE:8000", "Host: other.example"),
        ({"hosts": ["*.example"]}, "Host: a.b.example", "Host: example"),
        ({"hosts": ["shop.example."]}, "Host: shop.example.:80", "Host: shop.example.org"),
        ({"hosts": ["shop.example"]}, "Host: shop.example.", "Host: .shop.example"),
        ({"hosts": ["*.example"]}, "Host: a.example.", "Host: .example"),
        ({"hosts": ["[::1]"]}, "Host: [::1]:8000", "Host: [::2]:8000"),
        ({"headers": {"X-Tenant": "blue"}}, "x-tenant: blue", "X-Tenant: blue2"),
        ({"headers": {"X-Id": {"regex": r"\d+"}}}, "X-Id: 42", "X-Id: 42a"),
        ({"headers": {"X-Id": "2"}}, "X-Id: 1\r\nX-Id: 2", "X-Id: 1"),
        ({"cookies": {"beta": "1"}}, "Cookie: a=b; beta=1", "Cookie: beta=2"),
        ({"query": {"v": "2"}}, "?v=%32", "?v=1"),
        ({"query": {"v": {"regex": ".*"}}}, "?v", "?w"),
        ({"query": {"city": "Köln"}}, "?city=K%C3%B6ln", "?city=M%C3%BCnchen&x=%FF"),
        ({"query": {"city": {"regex": "K.ln"}}}, "?city=K%C3%B6ln", "?city=K%C3ln%FF"),
        ({"query": {"v": "a b"}}, "?v=a+b", "?v=a%2Bb"),
        ({"headers": {"X-Id": {"regex": "a|b"}}}, "X-Id: b", "X-Id: bc"),
    ],
)
async def test_a_condition_decides_the_route(
    world, by_document, when: dict, meets: str, misses: str
):
    """With the same path the route with conditions is asked first, wherever it stands."""
    instance = await world.instance()
    table = by_document(
        {"name": "all", "path": "/a", "service": NAME},
        {"name": "some", "path": "/a", "service": NAME, "rewrite": "/some", "strip_prefix": "/a",
         "when": when},
    )  # fmt: skip
    gateway = await world.gateway(instance, table=table)

    for said in (meets, misses, meets):
        query, fields = (said, "") if said.startswith("?") else ("", f"{said}\r\n")
        host = "" if said.startswith("Host") else "Host: h\r\n"
        await gateway.ask(f"GET /a{query} HTTP/1.1\r\n{host}{fields}\r\n".encode())

    lines = [one.line.split(" ")[1].partition("?")[0] for one in instance.executed]
    assert lines == ["/some", "/a", "/some"]


async def test_a_protected_path_stays_protected_where_a_condition_is_not_met(world, by_document):
    """The shorter, open route is not the way around the conditions of the longer one."""
    table = by_document(
        {"path": "/app", "service": NAME},
        {"name": "x", "path": "/app/admin", "service": NAME, "keys": ["0" * 64],
         "when": {"hosts": ["admin.example"]}},
        {"name": "y", "path": "/app/admin", "service": NAME, "keys": ["0" * 64]},
        by_name=False,
    )  # fmt: skip
    gateway = await world.gateway(await world.instance(), table=table)

    for host in ("admin.example", "h"):
        reply = await gateway.ask(f"GET /app/admin HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert reply.status == 401


@pytest.mark.parametrize(
    ("field", "canary"),
    [("X-User: alice", True), ("X-User: eve", False), ("X-Nothing: 1", False)],
)
async def test_a_canary_is_for_named_users(world, by_document, field: str, *, canary: bool):
    """By header, cookie or user value, whatever the weights say."""
    old, new = await world.instance(), await world.instance()
    table = by_document({
        "path": "/a", "service": NAME,
        "split": [{"metadata": {"v": "2"},
                   "when": {"headers": {"X-User": {"regex": "alice|bob"}}}}],
    })  # fmt: skip
    gateway = await world.gateway(old, new, table=table)
    gateway.service.sync(
        [world.instance_at(old, {"v": "1"}), world.instance_at(new, {"v": "2"})], 0.0
    )

    for _ in range(4):
        await gateway.ask(f"GET /a HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n".encode())

    assert (len(old.executed), len(new.executed)) == ((0, 4) if canary else (4, 0))


async def test_a_cookie_decides_the_share_of_a_split(world, by_document):
    """The same value has the same instances always."""
    old, new = await world.instance(), await world.instance()
    table = by_document({
        "path": "/a", "service": NAME, "sticky_cookie": "uid",
        "split": [{"metadata": {"v": "2"}, "weight": 50}],
    })  # fmt: skip
    gateway = await world.gateway(old, new, table=table)
    gateway.service.sync(
        [world.instance_at(old, {"v": "1"}), world.instance_at(new, {"v": "2"})], 0.0
    )

    for user in range(20):
        before = len(old.executed), len(new.executed)
        for _ in range(3):
            head = f"GET /a HTTP/1.1\r\nHost: h\r\nCookie: a=1; uid={user}\r\n\r\n"
            await gateway.ask(head.encode())
        assert 0 in (len(old.executed) - before[0], len(new.executed) - before[1])
    assert old.executed
    assert new.executed


async def test_fields_are_set_added_and_removed_both_ways(world, by_document):
    """On the way to the service and back."""
    said = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-A: 1\r\nX-B: 1\r\nContent-Length: 2\r\n\r\nok"
    instance = await world.instance(world.answering(said))
    changes = {"set": {"X-A": "2"}, "add": {"X-B": "2"}, "remove": ["Server", "Cookie"]}
    table = by_document({"path": "/a", "service": NAME, "request_headers": changes,
                         "response_headers": changes})  # fmt: skip
    gateway = await world.gateway(instance, table=table)

    reply = await gateway.ask(
        b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 3\r\nX-B: 1\r\nCookie: c=1\r\n\r\n"
    )

    (request,) = instance.executed
    for message in (request, reply):
        assert message.all("x-a") == ["2"]
        assert message.all("x-b") == ["1", "2"]
        assert message.all("cookie") == message.all("server") == []


async def test_a_field_that_is_set_has_one_value_in_the_gateways_own_replies_too(
    world, by_document
):
    """A 401 had two values of Content-Type, and readers of such a response choose either."""
    table = by_document({"path": "/a", "service": NAME, "keys": ["0" * 64],
                         "response_headers": {"set": {"Content-Type": "text/plain"}}})  # fmt: skip
    gateway = await world.gateway(await world.instance(), table=table)

    reply = await gateway.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (reply.status, reply.all("content-type")) == (401, ["text/plain"])


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Request-Id", "connection"])
def test_the_gateways_own_fields_are_not_for_a_route(by_document, name: str):
    """To change the framing or the request's id would break what stands on them."""
    with pytest.raises(ValidationError, match="written by the gateway"):
        by_document({"path": "/a", "service": NAME, "request_headers": {"set": {name: "1"}}})


async def test_a_fallback_answers_where_no_instance_did(world, by_document):
    """A page gets something that it can show; the log and Proxy-Status keep the failure."""
    fallback = {"status": 200, "body": '{"items": []}'}
    table = by_document({"path": "/a", "service": NAME, "fallback": fallback},
                        {"path": "/b", "service": NAME, "fallback": {}})  # fmt: skip
    gateway = await world.gateway(world.refusing(), table=table)

    a = await gateway.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    b = await gateway.ask(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (a.status, a.body, a.one("content-type")) == (200, b'{"items": []}', "application/json")
    assert "connection_refused" in a.one("proxy-status")
    assert (b.status, b.body) == (503, b"")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        *[
            ({"path": path, "service": "a"}, "reads .* as /a/b, so write that")
            for path in ("/a//b", "/a/./b", "/a/x/../b", "/a;x/b", "//a/b", "/a/b/.")
        ],
        ({"path": "/a", "service": "a", "rewrite": "//evil.example"}, "write that"),
        ({"path": "/a", "service": "a", "fallback": {"status": 204, "body": "{}"}}, "no body"),
        ({"path": "/a", "service": "a", "fallback": {"status": 304, "body": "{}"}}, "no body"),
        (
            {"path": "/a", "redirect": {"to": "/b"}, "rate_limit": {"per_second": 1, "burst": 1}},
            "rate_limit are for routes with a service",
        ),
        (
            {"path": "/a", "redirect": {"to": "/b"}, "strip_prefix": "/a", "timeout": 3},
            "timeout, strip_prefix are for routes with a service",
        ),
        ({"path": "/a", "redirect": {"to": "//b.example"}}, "https://host/path"),
        ({"path": "/a", "redirect": {"to": "b.example"}}, "https://host/path"),
        ({"path": "a", "service": "a"}, "begins with a slash"),
        ({"path": "/a b", "service": "a"}, "begins with a slash"),
        ({"path": "/a", "service": "a", "when": {"hosts": ["b.example:80"]}}, "without a port"),
        ({"path": "/a", "service": "a", "when": {"hosts": ["a.*"]}}, "without a port"),
        ({"path": "/a", "service": "a", "cors": {"origins": ["b.example"]}}, "https://host"),
        (
            {"path": "/a", "service": "a", "cors": {"origins": ["https://b.example/"]}},
            "https://host",
        ),
        ({"path": "/a", "service": "a", "keys": ["secret"]}, "SHA-256"),
        (
            {"path": "/a", "service": "a", "request_headers": {"set": {"X-A": "a\r\nb"}}},
            "visible ASCII",
        ),
        ({"path": "/a", "redirect": {"to": "/b?c=d", "keep_path": True}}, "leave out .*[?]"),
        ({"id": "a", "uri": "lb://a", "predicates": ["Path=/a/**"]}, "write service: NAME"),
        ({"path": "/a", "service": "a", "filters": ["StripPrefix=1"]}, "write strip_prefix"),
        ({"path": "/a"}, "needs a service"),
        ({"path": "/a", "service": "a", "when": {}}, "no condition"),
        (
            {"path": "/a", "service": "a", "when": {"headers": {"X-A": "1", "x-a": "2"}}},
            "two conditions for x-a",
        ),
        ({"path": "/a", "service": "a", "when": {"headers": {"X A": "1"}}}, "name of a field"),
        (
            {"path": "/a", "service": "a", "request_headers": {"set": {"X-A": "1", "x-a": "2"}}},
            "two values for x-a",
        ),
        ({"path": "/a", "service": "a", "when": {"headers": {"a": {"regex": "("}}}}, "unclosed"),
        (
            {"path": "/a", "service": "a", "when": {"headers": {"a": {"regex": "a)|(b"}}}},
            "unopened",
        ),
        (
            {"path": "/a", "service": "a", "when": {"query": {"a": {"regex": "(?!a)b"}}}},
            "look-around, .* is not supported",
        ),
    ],
)
def test_a_mistake_is_refused_with_what_to_write(by_document, entry: dict, told: str):
    """Spring's common spellings are refused with their translation."""
    with pytest.raises(ValidationError, match=told):
        by_document(entry)


def test_no_value_makes_an_expression_slow():
    """`(a+)+b` took twice the time for each further `a`; one request stopped a worker for good."""
    pattern = TextPattern("(a+)+b")

    assert not pattern.matches(b"a" * 8000)
    assert pattern.matches(b"a" * 8000 + b"b")


def test_conditions_of_many_routes_read_a_request_once(by_document):
    """A query of 4,000 parameters was read for each of 1,000 routes, which took two seconds."""
    routes = [
        {"name": str(number), "path": "/a", "service": NAME,
         "when": {"query": {"v": str(number)}, "cookies": {"c": "1"}, "headers": {"X-A": "1"}}}
        for number in range(1000)
    ]  # fmt: skip
    table = by_document(*routes)
    lines = b"Cookie: %b\r\n" % b"; ".join([b"c=1"] * 2000) + b"X-A: 1\r\n"
    target = b"/a?" + b"a&" * 3000 + b"v=999"
    head = Head(b"GET", target, b"/a", lines=lines, handled={}, length=0, close=False, http10=False)

    began = process_time()
    route, *_ = table.match(head)
    took = process_time() - began

    assert route.name == "999"
    assert took < 0.5
