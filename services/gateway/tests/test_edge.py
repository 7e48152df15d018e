"""What the edge lets in: 27 hostile inputs, limits, hop-by-hop hygiene, trusted proxies."""

import asyncio
from ipaddress import ip_network

import pytest
from gateway.downstream.listener import TOLD_OVER_LIMIT
from gateway.proxy.context import PortLimits
from gateway.routing.table import Route, Table

pytestmark = pytest.mark.anyio

HEAD = b"POST /car-evaluation/x HTTP/1.1\r\nHost: h\r\n"
GET = b"GET /car-evaluation/x HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"

HOSTILE = {
    "CL+TE": (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE+CL": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", {400}),
    "dup CL diff": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    "dup CL same": (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", {400}),
    "CL +1": (HEAD + b"Content-Length: +1\r\n\r\na", {400}),
    "TE xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "TE chunked,identity": (
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        {400, 501},
    ),
    "TE in HTTP/1.0": (
        CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n",
        {400, 426},
    ),
    "space before colon": (GET + b"X-A : b\r\n\r\n", {400}),
    "obs-fold": (GET + b"X-A: b\r\n c\r\n\r\n", {400}),
    "bare LF": (GET.replace(b"\r\n", b"\n") + b"\n", {400}),
    "bare CR in value": (GET + b"X-A: b\rc\r\n\r\n", {400}),
    "NUL in value": (GET + b"X-A: b\0c\r\n\r\n", {400}),
    "chunk ext": (CHUNKED + b"\r\n3;x=y\r\nabc\r\n0\r\n\r\n", {200}),
    "chunk bad term": (CHUNKED + b"\r\n3\r\nabcXX0\r\n\r\n", {400}),
    "chunk LF term": (CHUNKED + b"\r\n3\nabc\n0\n\n", {400}),
    "chunk 0x": (CHUNKED + b"\r\n0x3\r\nabc\r\n0\r\n\r\n", {400}),
    "no Host": (b"GET /car-evaluation/x HTTP/1.1\r\n\r\n", {400}),
    "two Hosts": (GET + b"Host: h\r\n\r\n", {400}),
    "abs URI": (b"GET http://a@b/car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n", {400}),
    "fragment": (b"GET /car-evaluation/x#f HTTP/1.1\r\nHost: h\r\n\r\n", {400}),
    "HTTP/1.9": (b"GET /car-evaluation/x HTTP/1.9\r\nHost: h\r\n\r\n", {400, 426}),
    "ws in name": (GET + b"X A: b\r\n\r\n", {400}),
    "GET w/ body": (GET + b"Content-Length: 2\r\n\r\nab", {200}),
    "Expect": (HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab", {100}),
    "1MB header": (GET + b"X-A: " + b"a" * 2**20 + b"\r\n\r\n", {400, 431}),
    "5000 headers": (GET + b"X-A: b\r\n" * 5000 + b"\r\n", {400, 431}),
}
"""Input and what the strictest of five proxies and two servers answers to it; what all of them
take is taken (measured: uvicorn with httptools and with h11, nginx 1.31, HAProxy 2.8, Caddy 2.11,
Envoy 1.40, Traefik 3.7)."""

MORE_HOSTILE = {
    "chunks in a kept HTTP/1.0": (
        CHUNKED.replace(b"1.1", b"1.0") + b"Proxy-Connection: keep-alive\r\n\r\n0\r\n\r\n",
        400,
    ),
    "CONNECT": (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "TRACE": (b"TRACE /car-evaluation/x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    "Host with a path": (b"GET /car-evaluation/x HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
    "two names in Host": (b"GET /car-evaluation/x HTTP/1.1\r\nHost: h, i\r\n\r\n", 400),
    "dot segments": (b"GET /car-evaluation/../skl-kmeans/x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "encoded dot segments": (b"GET /car-evaluation/%2e%2E/y HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "encoded NUL": (b"GET /car-evaluation/%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "long target": (b"GET /car-evaluation/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "endless target": (b"GET /car-evaluation/" + b"a" * 400_000, 414),
    "101 fields": (GET + b"".join(b"X-%d: b\r\n" % n for n in range(101)) + b"\r\n", 431),
    "33 KiB head": (GET + b"X-A: " + b"a" * 33 * 1024 + b"\r\n\r\n", 431),
    "gzip before chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity before chunked": (
        HEAD + b"Transfer-Encoding: identity, Chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "two fields of TE": (
        HEAD + b"Transfer-Encoding: identity\r\n" + CHUNKED[len(HEAD) :] + b"\r\n0\r\n\r\n",
        400,
    ),
    "the same TE twice": (CHUNKED + CHUNKED[len(HEAD) :] + b"\r\n0\r\n\r\n", 400),
    "TE without a coding": (HEAD + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400),
    "negative CL": (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    "chunk size overflow": (CHUNKED + b"\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_input_is_refused_as_strictly_as_anybody_does(world, name: str):
    """All 27 rows; what is refused never reaches an instance, and the connection is closed."""
    raw, statuses = HOSTILE[name]
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(raw)

    reply = await wire.reply()

    assert reply.status in statuses
    if reply.status == 100:
        assert (await wire.reply()).status == 200
    elif reply.status == 200:
        assert b"chunked" not in instance.executed[0].raw.lower()
        assert b";x=y" not in instance.executed[0].raw
    else:
        assert reply.one("content-type") == "application/problem+json"
        assert reply.one("connection") == "close"
        assert await wire.ended()
        assert not instance.executed


@pytest.mark.parametrize("name", MORE_HOSTILE)
async def test_more_hostile_input(world, name: str):
    """Beyond the table: what a proxy must not do, and what routes must not be fooled by."""
    raw, status = MORE_HOSTILE[name]
    instance = await world.instance()
    gateway = await world.gateway(instance)

    assert (await gateway.ask(raw)).status == status
    assert not instance.executed


@pytest.mark.parametrize("name", [*HOSTILE, *MORE_HOSTILE])
async def test_hostile_input_cut_anywhere_is_the_same(world, name: str):
    """The verdict does not depend on how the bytes were split into packets."""
    raw, statuses = {**HOSTILE, **MORE_HOSTILE}[name]
    gateway = await world.gateway(await world.instance())
    allowed = statuses if isinstance(statuses, set) else {statuses}
    for step in {1, 2, len(raw) // 3 + 1} if len(raw) < 300 else {len(raw) // 7 + 1}:
        wire = await gateway.connect()
        for start in range(0, len(raw), step):
            wire.send(raw[start : start + step])
            await asyncio.sleep(0)

        assert (await wire.reply()).status in allowed
        wire.close()


@pytest.mark.parametrize("behind", [GET + b"\r\n", b"junk\r\n\r\n"])
@pytest.mark.parametrize(
    ("last", "status"),
    [
        (b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404),
        (b"GET /car-evaluation/x HTTP/1.1\r\nHost: /\r\n\r\n", 400),
    ],
)
async def test_nothing_is_done_behind_the_last_answer(world, last: bytes, status, behind: bytes):
    """What came in one packet with a request that ends the connection is dropped, good or bad."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    wire.send(last + behind)

    assert (await wire.reply()).status == status
    assert await wire.ended()
    assert not instance.executed


@pytest.mark.parametrize("said", ["HTTP/1.1\r\nConnection: close", "HTTP/1.0"])
@pytest.mark.parametrize("behind", [b"GET /", GET, b"\r\n", b"\0"])
async def test_bytes_behind_the_last_request_take_nothing_from_it(world, said: str, behind: bytes):
    """The request had been sent to an instance, and its client got a 400 for what came after."""
    go = asyncio.Event()
    instance = await world.instance(world.answering_after(go))
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    head = f"POST /car-evaluation/x {said}\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
    wire.send(head.encode())
    await world.until(lambda: bool(instance.executed))

    wire.send(behind)
    ticks = gateway.port.ticks
    await world.until(lambda: gateway.port.ticks > ticks + 1)
    go.set()

    assert (await wire.reply()).status == 200
    assert await wire.ended()
    assert len(instance.executed) == 1


async def test_the_name_of_the_coding_has_no_case(world):
    """RFC 9112, 7: `Chunked` is `chunked`."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    raw = HEAD + b"Transfer-Encoding: Chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    assert (await gateway.ask(raw)).status == 200
    assert instance.executed[0].body == b"abc"


TWO_FIELDS = b"gzip\r\nTransfer-Encoding: chunked"


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"gzip", b"identity", b"", TWO_FIELDS], ids=str
)
async def test_an_answer_with_another_transfer_coding_is_none(world, coding: bytes):
    """502: its name would end here, and the client would take coded bytes for the body."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n" % coding
    instance = await world.instance(world.answering(head + b"2\r\nok\r\n0\r\n\r\n"))
    gateway = await world.gateway(instance)

    reply = await gateway.call("/x")

    assert reply.status == 502
    assert "http_protocol_error" in reply.one("proxy-status")


async def test_an_answer_that_asks_for_an_upgrade_says_to_what(world):
    """RFC 9110, 15.5.22 and 7.8: a 426 keeps `Upgrade`, named in `Connection`; no other does."""
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"
    replies = {}
    for status in (200, 426):
        head = b"HTTP/1.1 %d X\r\n%b" % (status, fields)
        gateway = await world.gateway(await world.instance(world.answering(head)))
        replies[status] = await gateway.call()

    assert replies[426].status == 426
    assert (replies[426].all("upgrade"), replies[426].all("connection")) == (
        ["websocket"], ["upgrade"],
    )  # fmt: skip
    assert (replies[200].all("upgrade"), replies[200].all("connection")) == ([], [])


@pytest.mark.parametrize(("status", "name"), [(426, b"Upgrade"), (429, b"Retry-After")])
async def test_repeated_fields_of_a_response_are_joined_by_a_comma_alone(world, status, name):
    """The gateway renders both fields anew; their values stay as they were always sent."""
    head = b"HTTP/1.1 %d X\r\nConnection: upgrade\r\n%b: 7\r\n%b: 8\r\nContent-Length: 0\r\n\r\n"
    instance = await world.instance(world.answering(head % (status, name, name)))
    gateway = await world.gateway(instance)

    reply = await gateway.call()

    assert (reply.status, reply.all(name.decode().lower())) == (status, ["7,8"])


async def test_an_absolute_target_that_names_the_host_is_served(world):
    """RFC 9112, 3.2.2: a server must accept it; the instance gets the path."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    reply = await gateway.ask(b"GET http://H/car-evaluation/x?q=1 HTTP/1.1\r\nHost: h\r\n\r\n")

    assert reply.status == 200
    assert instance.executed[0].line == "GET /x?q=1 HTTP/1.1"


async def test_the_target_passes_byte_for_byte(world):
    """Escapes, double slashes and the query are the service's business."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    await gateway.call("/a%2Fb//c;d?x=%20&y=/../z", "GET")

    assert instance.executed[0].line == "GET /a%2Fb//c;d?x=%20&y=/../z HTTP/1.1"


async def test_hop_by_hop_fields_end_here(world):
    """Both directions: Connection, what it names, and the fixed list; the rest keeps its order."""

    async def talkative(instance, wire):
        await instance.take(wire)
        wire.send(
            b"HTTP/1.1 200 OK\r\nB: 1\r\nSet-Cookie: a\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=5\r\nTrailer: T\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"
        )
        await wire.reader.read()

    instance = await world.instance(talkative)
    gateway = await world.gateway(instance)

    reply = await gateway.ask(
        GET + b"Accept: a\r\nConnection: keep-alive, X-Secret, Authorization, Host\r\n"
        b"X-Secret: 1\r\nAuthorization: mine\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: T\r\n"
        b"Proxy-Connection: x\r\nProxy-Authorization: x\r\naccept: b\r\n\r\n"
    )

    request = instance.executed[0]
    assert request.all("accept") == ["a", "b"]
    assert request.all("authorization") == ["mine"]
    for name in ("x-secret", "connection", "keep-alive", "te", "trailer", "proxy-connection",
                 "proxy-authorization", "transfer-encoding"):  # fmt: skip
        assert not request.all(name)
    assert reply.all("set-cookie") == ["a", "b"]
    for name in ("x-hop", "keep-alive", "trailer", "connection"):
        assert not reply.all(name)


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ("gateway_console=secret", []),
        ("a=1; gateway_console=secret; b=2", ["a=1; b=2"]),
        ("a=1;b=2", ["a=1;b=2"]),
        (
            "my_gateway_console=1; x=gateway_console=2",
            ["my_gateway_console=1; x=gateway_console=2"],
        ),
    ],
)
async def test_no_service_sees_the_session_of_the_console(world, sent: str, passed: list[str]):
    """To a browser the admin port is the same site, so an operator's cookie comes here, too."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    assert (await gateway.call(Cookie=sent, X_After="x")).status == 200

    assert instance.executed[0].all("cookie") == passed
    assert instance.executed[0].one("x-after") == "x"


async def test_the_instance_learns_who_asks(world):
    """A stranger's account of itself is replaced; Host is the instance's own."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    await gateway.call(
        X_Forwarded_For="6.6.6.6", X_Forwarded_Host="evil", X_Forwarded_Proto="https",
        Forwarded="for=6.6.6.6",
    )  # fmt: skip

    request = instance.executed[0]
    assert request.one("host") == f"127.0.0.1:{instance.port}"
    assert request.one("x-forwarded-for") == "127.0.0.1"
    assert request.one("x-forwarded-host") == "h"
    assert request.one("x-forwarded-proto") == "http"
    assert request.one("x-forwarded-prefix") == "/car-evaluation"
    assert request.one("via") == "1.1 gateway"
    assert not request.all("forwarded")


async def test_a_trusted_proxy_is_believed(world):
    """Its account is continued."""
    instance = await world.instance()
    gateway = await world.gateway(instance, trusted=[ip_network("127.0.0.0/8")])

    await gateway.call(X_Forwarded_For="9.9.9.9", X_Forwarded_Proto="https", X_Forwarded_Host="pub")

    request = instance.executed[0]
    assert request.one("x-forwarded-for") == "9.9.9.9, 127.0.0.1"
    assert request.one("x-forwarded-proto") == "https"
    assert request.one("x-forwarded-host") == "pub"


async def test_a_loop_is_cut(world):
    """A request that has our own name in Via comes from ourselves."""
    instance = await world.instance()
    gateway = await world.gateway(instance)

    assert (await gateway.call(Via="1.0 other, 1.1 gateway (x)")).status == 508
    assert (await gateway.call(Via="1.1 other")).status == 200
    assert instance.executed[0].one("via") == "1.1 other, 1.1 gateway"


async def test_request_ids_and_traces(world):
    """A well-formed id is kept, any other replaced; traceparent passes if it is one."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    kept = await gateway.call(X_Request_Id="abc.DEF-1_2", traceparent=trace)
    made = await gateway.call(X_Request_Id="no good", traceparent="00-zz-zz-01")
    other = await gateway.call()

    first, second, _ = instance.executed
    assert first.one("x-request-id") == kept.one("x-request-id") == "abc.DEF-1_2"
    assert first.one("traceparent") == trace
    assert second.one("x-request-id") == made.one("x-request-id") != "no good"
    assert not second.all("traceparent")
    assert made.one("x-request-id")[14] == "7"
    assert made.one("x-request-id") != other.one("x-request-id")


async def test_a_slow_head_is_given_up(world):
    """408, then the connection is closed: slow headers do not hold a place."""
    gateway = await world.gateway(await world.instance(), port_limits=PortLimits(head=0.05))
    wire = await gateway.connect()
    wire.send(b"GET /car-evaluation/x HTT")

    assert (await wire.reply()).status == 408
    assert await wire.ended()


async def test_a_slow_body_is_given_up(world):
    """408 for a small body that does not come, before any instance is bothered."""
    instance = await world.instance()
    gateway = await world.gateway(instance, port_limits=PortLimits(body=0.05))
    wire = await gateway.connect()
    wire.send(HEAD + b"Content-Length: 10\r\n\r\nabc")

    assert (await wire.reply()).status == 408
    assert await wire.ended()
    assert instance.connections == 0


async def test_a_slow_large_body_is_given_up(world):
    """The same when it is being streamed; its instance is not blamed."""
    instance = await world.instance()
    gateway = await world.gateway(instance, port_limits=PortLimits(body=0.05))
    wire = await gateway.connect()
    wire.send(HEAD + b"Content-Length: 200000\r\n\r\nabc")

    assert (await wire.reply()).status == 408
    assert await wire.ended()
    (member,) = gateway.service.balancer.members.values()
    assert (member.in_flight, member.ejection.consecutive) == (0, 0)


async def test_an_idle_connection_is_closed(world):
    """Also one on which nothing was ever sent."""
    gateway = await world.gateway(await world.instance(), port_limits=PortLimits(idle=0.05))
    wire = await gateway.connect()

    assert await wire.ended()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_limit_is_refused(world, framing: str):
    """413: at once where the length is stated, as soon as it is known where not."""
    instance = await world.instance()
    table = Table(base=Route("by-name", "", max_body=1000))
    gateway = await world.gateway(instance, table=table)
    if framing == "length":
        raw = HEAD + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    else:
        raw = CHUNKED + b"\r\n3e9\r\n" + b"a" * 1001 + b"\r\n"

    assert (await gateway.ask(raw)).status == 413
    assert not instance.executed


async def test_too_many_connections_are_told_so(world):
    """503 with Retry-After, at once."""
    gateway = await world.gateway(await world.instance(), port_limits=PortLimits(connections=2))
    kept = [await gateway.connect() for _ in range(2)]
    for wire in kept:
        wire.send(GET + b"\r\n")
        assert (await wire.reply()).status == 200

    reply = await gateway.ask(GET + b"\r\n")

    assert reply.status == 503
    assert reply.one("retry-after") == "1"


async def test_a_crowd_at_the_door_is_bounded(world):
    """Who is refused may linger, but only so many: each takes a descriptor."""
    gateway = await world.gateway(await world.instance(), port_limits=PortLimits(connections=2))
    crowd = [await gateway.connect() for _ in range(2 + 2 * TOLD_OVER_LIMIT)]
    await world.until(
        lambda: gateway.port.over_limit == 2 * TOLD_OVER_LIMIT, "all have been at the door"
    )
    await world.until(lambda: len(gateway.port.connections) <= 2 + TOLD_OVER_LIMIT)

    crowd[0].send(GET + b"\r\n")
    assert (await crowd[0].reply()).status == 200


async def test_requests_sent_ahead_are_answered_in_order(world):
    """Pipelining, all in one packet: serialised, none lost."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    bodies = [b"a", b"bb", b"", b"dddd"]
    wire.send(
        b"".join(HEAD + b"X-N: %d\r\nContent-Length: %d\r\n\r\n%b" % (n, len(body), body)
                 for n, body in enumerate(bodies))
    )  # fmt: skip

    replies = [await wire.reply() for _ in bodies]

    assert [reply.status for reply in replies] == [200] * 4
    assert [request.body for request in instance.executed] == bodies
    assert [request.one("x-n") for request in instance.executed] == ["0", "1", "2", "3"]


async def test_a_refusal_keeps_the_connection_where_it_can(world):
    """A 404 with a small body leaves the connection usable."""
    gateway = await world.gateway(await world.instance())
    wire = await gateway.connect()
    wire.send(b"POST /nobody/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + GET + b"\r\n")

    assert (await wire.reply()).status == 404
    assert (await wire.reply()).status == 200


async def test_a_refusal_after_a_drain_began_closes_the_connection(world):
    """While the gateway drains, every response ends its connection, also one of its own."""
    gateway = await world.gateway(await world.instance())
    wire = await gateway.connect()
    wire.send(b"POST /nobody/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
    await world.until(lambda: len(gateway.context.active) == 1)
    gateway.context.draining = True
    wire.send(b"bc" + GET + b"\r\n")

    reply = await wire.reply()

    assert (reply.status, reply.one("connection")) == (404, "close")
    assert await wire.ended()


async def test_http_1_0_clients_are_served(world):
    """Close-delimited or with keep-alive, as they ask."""

    async def chunking(instance, wire):
        await instance.take(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        await wire.reader.read()

    gateway = await world.gateway(await world.instance(chunking))

    reply = await gateway.ask(b"GET /car-evaluation/x HTTP/1.0\r\n\r\n")

    assert (reply.status, reply.body) == (200, b"ok")
    assert not reply.all("transfer-encoding")
    assert reply.one("connection") == "close"


async def test_an_offer_of_http2_is_ignored(world):
    """Java's client offers h2c with every first request, bodies included: nothing is lost."""
    instance = await world.instance()
    gateway = await world.gateway(instance)
    wire = await gateway.connect()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    wire.send(HEAD + offer + b"Content-Length: 3\r\n\r\nabc")
    wire.send(HEAD + offer + b"Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n")
    wire.send(GET + offer + b"\r\n" + GET + b"\r\n")

    assert [(await wire.reply()).status for _ in range(4)] == [200] * 4
    assert [request.body for request in instance.executed] == [b"abc", b"def", b"", b""]
    assert not instance.executed[0].all("upgrade")
    assert not instance.executed[0].all("http2-settings")
