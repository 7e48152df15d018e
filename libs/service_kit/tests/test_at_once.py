"""Requests that are answered at once, and those of the same route that are not."""

import asyncio
import gzip
import logging
import time
from itertools import pairwise

import httptools
import pytest
import uvicorn
from hypothesis import given, strategies as st
from prometheus_client import REGISTRY
from service_kit import AtOnce, Problem, RequestEdge, logs
from service_kit.at_once import AtOnceHttp
from service_kit.content_codings import WORTH_PACKING_BYTES
from service_kit.http import close_late
from uvicorn.server import ServerState

PATH = "/predict"
LIMIT = 100
DATE = (b"date", b"today")
_log = logging.getLogger(__name__)


class Wire(asyncio.Transport):
    """A client's end of a connection: it keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data) -> None:
        """Keep it, as a client would that is still there."""
        if not self.closed:
            self.sent += data

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def pause_reading(self) -> None:
        """Go on: the test decides what arrives."""

    def resume_reading(self) -> None:
        """Go on: the test decides what arrives."""


class Response:
    """A response that was parsed."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.body = b""
        self.status = 0


class Responses:
    """The responses in what a client was sent."""

    def __init__(self, sent: bytes) -> None:
        self.all: list[Response] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(sent)

    def on_message_begin(self) -> None:
        """Begin one."""
        self.all.append(Response())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a field."""
        self.all[-1].fields[name] = value

    def on_body(self, body: bytes) -> None:
        """Add to the body."""
        self.all[-1].body += body

    def on_message_complete(self) -> None:
        """End it."""
        self.all[-1].status = self._parser.get_status_code()


async def application(_scope, receive, send):
    """Answer with the way's name and the body, after a pause of one turn."""
    body = (await receive())["body"]
    await asyncio.sleep(0)
    _log.info("application")
    document = b"application " + body
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(document)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": document})


def answer(scope) -> bytes | None:
    """Answer with the way's name and the body; leave `wait` to the application."""
    _log.info("at once")
    if scope["body"] == b"problem":
        raise Problem(422, "no", type="invalid")
    if scope["body"] == b"bug":
        raise RuntimeError("a bug")
    return None if scope["body"] == b"wait" else b"at once " + scope["body"]


class Client:
    """A connection to a service that has one route which answers at once."""

    def __init__(self, fields=(DATE,), *, edge: RequestEdge | None = None) -> None:
        self.state, self.wire = ServerState(), Wire()
        self.state.default_headers = [*fields]
        app = edge or RequestEdge(application, max_body_bytes=LIMIT, at_once=AtOnce(PATH, answer))
        config = uvicorn.Config(
            app, http=AtOnceHttp, log_config=None, proxy_headers=False, access_log=False
        )
        self.connection = AtOnceHttp(config, self.state, {})
        self.connection.connection_made(self.wire)

    async def send(self, *pieces: bytes) -> None:
        """Have each piece arrive in a turn of its own; return when all answers are there."""
        for piece in pieces:
            if not self.wire.closed:
                self.connection.data_received(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while self.state.tasks:
                await asyncio.gather(*self.state.tasks)
                await asyncio.sleep(0)

    def responses(self) -> list[Response]:
        """Return what arrived at the client."""
        return Responses(self.wire.sent).all

    def end(self) -> None:
        """Go away; `was_closed` is whether the service had closed the connection before."""
        self.was_closed = self.wire.closed
        self.connection.connection_lost(None)


async def asked(*pieces: bytes, fields=(DATE,), edge: RequestEdge | None = None) -> Client:
    client = Client(fields, edge=edge)
    await client.send(*pieces)
    client.end()
    return client


def post(body: bytes, *fields: bytes, target: bytes = b"/predict", version=b"1.1") -> bytes:
    length = b"Content-Length: %d" % len(body)
    head = (b"POST %b HTTP/%b" % (target, version), b"Host: a", length, *fields)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@pytest.mark.anyio
async def test_an_answer_at_once_has_the_head_of_any_other():
    """A request gets the same status and field names in the same order by either way."""
    for path_only, way in ((b"/predict", b"at once 1"), (b"/other", b"application 1")):
        client = await asked(post(b"1", b"X-Request-Id: r-1", target=path_only))
        (response,) = client.responses()

        assert response.body == way
        assert response.status == 200
        assert list(response.fields.items()) == [
            DATE,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(way)),
            (b"x-request-id", b"r-1"),
        ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"wait"),
        post(b"1", target=b"/predict/"),
        post(b"1", target=b"/predict%20"),
        post(b"1", target=b"http://a/predict"),
        post(b"1", b"Connection: keep-alive", version=b"1.0"),
        post(b"1").replace(b"POST", b"PUT"),
        post(b"problem"),
        post(b"bug"),
    ],
)
async def test_what_is_not_answered_at_once_is_left_to_the_application(request_bytes):
    """Another path, method or version goes to the application, and what the route leaves."""
    (response,) = (await asked(request_bytes)).responses()

    assert response.status == 200
    assert response.body.startswith(b"application ")


@pytest.mark.anyio
async def test_a_request_in_pieces_is_left_to_the_application():
    """A request that does not arrive at once is not waited for: its limits are the edge's."""
    whole = post(b"1")
    (response,) = (await asked(whole[:-1], whole[-1:])).responses()

    assert response.body == b"application 1"


OFFER = (b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMA", b"Upgrade: h2c")


@pytest.mark.anyio
async def test_an_offer_of_another_protocol_changes_nothing():
    """Java offers HTTP/2 with each request, which keeps its body wherever its packets begin."""
    whole = post(b"1", *OFFER) + post(b"2", *OFFER, target=b"/other")
    (first, second) = (await asked(whole)).responses()

    assert (first.body, second.body) == (b"at once 1", b"application 2")
    for cut in range(1, len(whole)):
        found = (await asked(whole[:cut], whole[cut:])).responses()
        assert [each.body[-1:] for each in found] == [b"1", b"2"], whole[:cut]


@pytest.mark.anyio
async def test_many_offers_in_one_packet_are_answered():
    """Requests that follow one another each keep their body."""
    found = (await asked(post(b"1", *OFFER) * 2000)).responses()

    assert [each.body for each in found] == [b"at once 1"] * 2000


@pytest.mark.anyio
@pytest.mark.parametrize("offer", [(), OFFER])
async def test_a_tunnel_is_refused_with_an_offer_too(offer):
    """CONNECT is no request for us, whatever else it offers."""
    lines = (b"CONNECT a:80 HTTP/1.1", b"Host: a", *offer, b"", b"")
    (response,) = (await asked(b"\r\n".join(lines))).responses()

    assert response.status == 400


@pytest.mark.anyio
@pytest.mark.parametrize("arrived", [100_000, 0], ids=["its-body", "a-request-before"])
async def test_a_large_beginning_is_no_large_head(arrived):
    """The limit of heads counts no byte of a body, nor of the requests before, in one packet."""
    edge = RequestEdge(application, at_once=AtOnce(PATH, answer))
    before, whole = post(b"1" * (100_000 - arrived)), post(b"1" * 200_000)
    cut = len(before) + arrived + 20
    sent = before + whole
    (*_, response) = (await asked(sent[:cut], sent[cut:], edge=edge)).responses()

    assert response.status == 200
    assert response.body.endswith(b" " + b"1" * 200_000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b"x" * (LIMIT + 1)), 413),
        (post(b"1", b"Content-Encoding: gzip"), 400),
        (post(b"1", b"Content-Encoding: br"), 415),
        (post(b"1", b"X-Request-Timeout-Ms: soon"), 400),
        (post(b"1", b"X-Request-Timeout-Ms: 0"), 504),
        (post(b"1").replace(b"Host: a", b"Host\x00: a"), 400),
        (post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"junk", 400),
    ],
)
async def test_the_edge_refuses_what_it_refuses_elsewhere(request_bytes, status):
    """Limits, encodings, deadlines and bad bytes are answered on this route as on any other."""
    (response,) = (await asked(request_bytes)).responses()

    assert response.status == status
    assert response.fields[b"content-type"] == b"application/problem+json"


@pytest.mark.anyio
async def test_a_compressed_body_is_left_to_the_application():
    """A body that has to be unpacked first is not answered in the turn in which it arrives."""
    (response,) = (await asked(post(gzip.compress(b"1"), b"Content-Encoding: gzip"))).responses()

    assert response.body == b"application 1"


@pytest.mark.anyio
async def test_a_large_answer_at_once_is_packed_for_who_asks():
    """An answer at once is gzip under the same conditions as any other."""
    edge = RequestEdge(application, at_once=AtOnce(PATH, answer))
    fields = b"Accept-Encoding: gzip"
    large = b"1" * WORTH_PACKING_BYTES
    sent = (post(large, fields), post(large), post(b"1", fields))
    found = (await asked(b"".join(sent), edge=edge)).responses()

    assert [b"content-encoding" in response.fields for response in found] == [True, False, False]
    assert gzip.decompress(found[0].body) == found[1].body == b"at once " + large


@pytest.mark.anyio
async def test_a_bug_at_once_is_logged_with_the_request_s_id(caplog):
    """What fails at once is in the log, with its traceback, before the application answers."""
    await asked(post(b"bug"))

    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.getMessage() == "answer_at_once_failed"
    assert record.exc_info


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"1", b"wait"])
async def test_logs_know_the_request_while_it_is_answered(body, caplog):
    """Its id is that of all that is logged for it, by either way, and of nothing afterwards."""
    seen: list[str | None] = []
    before = logs.request_id.get()

    def note(_record: logging.LogRecord) -> bool:
        seen.append(logs.request_id.get())
        return True

    with caplog.at_level(logging.INFO):
        _log.addFilter(note)
        client = await asked(post(body))
        _log.removeFilter(note)
    (response,) = client.responses()

    assert set(seen) == {response.fields[b"x-request-id"].decode()}
    assert logs.request_id.get() == before


@pytest.mark.anyio
async def test_an_answer_at_once_is_counted():
    """The request's metric counts it under the route's path."""
    labels = {"method": "POST", "route": PATH, "status": "200", "model_version": "counted"}
    name = "http_request_duration_seconds_count"
    edge = RequestEdge(application, at_once=AtOnce(PATH, answer), model_version="counted")
    await asked(post(b"1"), post(b"1"), edge=edge)

    assert REGISTRY.get_sample_value(name, labels) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("field", "fields"),
    [((b"Connection: close",), (DATE,)), ((), (DATE, (b"connection", b"close")))],
    ids=["asked", "draining"],
)
async def test_the_last_answer_says_so_and_closes(field, fields):
    """A client that asks for it, and any client of a draining service, has to connect anew."""
    client = await asked(post(b"1", *field), fields=fields)
    (response,) = client.responses()

    assert response.body == b"at once 1"
    assert client.wire.sent.lower().count(b"connection: close\r\n") == 1
    assert client.was_closed


@pytest.mark.anyio
async def test_an_idle_connection_is_closed_after_an_answer_at_once():
    """The keep-alive time counts from the last answer, and not while a request is under way."""
    client = Client()
    keep_alive = client.connection.timeout_keep_alive
    await client.send(post(b"1"))
    close_late({client.connection}, time.monotonic() + keep_alive - 1)
    assert not client.wire.closed

    client.connection.data_received(post(b"1") + post(b"wait"))
    close_late({client.connection}, time.monotonic() + keep_alive + 1)
    assert not client.wire.closed
    await client.send()
    client.connection.data_received(post(b"1")[:-1])
    close_late({client.connection}, time.monotonic() + keep_alive + 1)
    assert not client.wire.closed

    await client.send(b"1")
    await client.send(post(b"1"))
    close_late({client.connection}, time.monotonic() + keep_alive + 1)
    assert client.wire.closed
    assert [each.body for each in client.responses()] == [
        b"at once 1",
        b"at once 1",
        b"application wait",
        b"application 1",
        b"at once 1",
    ]
    client.end()


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"1", b"wait"])
async def test_an_empty_line_does_not_hold_a_connection(body):
    """Line ends between two requests are no request: the keep-alive time goes on to count."""
    client = Client()
    await client.send(post(body))
    await client.send(b"\r\n")
    close_late({client.connection}, time.monotonic() + client.connection.timeout_keep_alive - 1)
    assert not client.wire.closed

    close_late({client.connection}, time.monotonic() + client.connection.timeout_keep_alive + 1)
    assert client.wire.closed
    client.end()


@pytest.mark.anyio
async def test_a_client_that_reads_nothing_is_not_written_for():
    """While the connection's buffer is full, the application waits for room, as it always did."""
    client = Client()
    client.connection.pause_writing()
    client.connection.data_received(post(b"1"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert client.wire.sent == b""

    client.connection.resume_writing()
    await client.send()
    (response,) = client.responses()
    client.end()
    assert response.body == b"application 1"


bodies = st.sampled_from([b"", b"1", b"wait", b"x" * 50])
targets = st.sampled_from([b"/predict", b"/predict?a=b", b"/other"])


@given(
    requests=st.lists(st.tuples(bodies, targets), min_size=1, max_size=6),
    cuts=st.lists(st.integers(min_value=0, max_value=1000), max_size=6),
)
def test_each_request_is_answered_once_and_in_order(requests, cuts):
    """However requests that follow each other are cut into pieces, none is lost or overtaken."""
    sent = b"".join(post(body, target=target) for body, target in requests)
    places = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    pieces = [sent[a:b] for a, b in pairwise(places)]

    client = asyncio.run(asked(*pieces))

    responses = client.responses()
    assert [
        each.body.removeprefix(b"at once ").removeprefix(b"application ") for each in responses
    ] == [body for body, _ in requests]
    assert not client.was_closed
