# ruff: noqa: D102, PLR0917  (a test's tool says by its names what it does; cases have columns)
"""Calls by service name, over real sockets."""

import asyncio
import io
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from failover import Instance
from nacos_client import Nacos
from nacos_client.call import parser, run
from nacos_client.service_caller import CallPolicy
from nacos_client.testing import FakeNacos
from nacos_client.transport import AsyncNacosTransport, NacosTransport

pytestmark = pytest.mark.anyio


class Backend:
    """An HTTP server that answers with its name and what it was sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.delay = 0.0
        self.fields: dict[str, str] = {}
        self.seen: list[tuple[str, str, bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                backend.seen.append((self.command, self.path, body))
                threading.Event().wait(backend.delay)
                told = json.dumps({"from": backend.name, "host": self.headers["Host"]}).encode()
                self.send_response(backend.status)
                self.send_header("Content-Length", str(len(told)))
                for field, value in backend.fields.items():
                    self.send_header(field, value)
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_POST = answer  # noqa: N815  (the names of http.server)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def instance(self) -> Instance:
        return Instance("127.0.0.1", self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def backends(fake: FakeNacos) -> Iterator[list[Backend]]:
    """Two instances of `models` in Nacos."""
    both = [Backend("one"), Backend("two")]
    for backend in both:
        fake.put_instance("models", backend.instance)
    yield both
    for backend in both:
        backend.close()


def dead(port: int = 1) -> Instance:
    """Where nobody listens."""
    return Instance("127.0.0.1", port)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


async def test_the_protect_threshold_spreads_calls_over_all(
    fake: FakeNacos, nacos: Nacos, backends: list[Backend]
) -> None:
    """Unhealthy instances get no call while enough are healthy, and their share when too few are.

    What was a help to the last healthy one must not be undone by callers who ask it first.
    """
    one, two = backends
    fake.put_instance("models", replace(two.instance, healthy=False))
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        for _ in range(20):
            await client.get("http://models/")
        assert (len(one.seen), len(two.seen)) == (20, 0)

        fake.protect("models", 0.5)
        await eventually(lambda: nacos.discover("models").plain_state["protected"])
        one.delay = two.delay = 0.05
        await asyncio.gather(*(client.get("http://models/") for _ in range(20)))
        assert len(two.seen) > 5


async def test_an_attempt_that_none_can_follow_has_the_whole_time(
    nacos: Nacos, backends: list[Backend]
) -> None:
    """A POST that may not run twice is not given up for an attempt that there cannot be."""
    for backend in backends:
        backend.delay = 0.5
    policy = CallPolicy(timeout=10.0, per_try=0.1)
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, policy=policy)) as client:
        answer = await client.post("http://models/", content=b"x")

    assert answer.status_code == 200
    assert answer.extensions["nacos_attempts"] == 1


async def test_an_async_call_by_name(nacos: Nacos, backends: list[Backend]) -> None:
    """The request reaches an instance as it was made; the answer says which one."""
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        answers = [await client.post("http://models/predict?a=1", json=[1]) for _ in range(20)]
    seen = [request for backend in backends for request in backend.seen]
    assert {answer.json()["from"] for answer in answers} <= {"one", "two"}
    assert seen == [("POST", "/predict?a=1", b"[1]")] * 20
    assert answers[0].json()["host"] == answers[0].extensions["nacos_instance"].decode()
    assert str(answers[0].request.url) == "http://models/predict?a=1"


def test_a_sync_call_by_name(fake: FakeNacos, backends: list[Backend]) -> None:
    """From plain code and from many threads at once, without an event loop."""
    nacos = fake.client()
    nacos.start()
    with httpx.Client(transport=NacosTransport(nacos)) as client:
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(client.get("http://models/").status_code)
            )
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    nacos.stop()
    assert answers == [200] * 16
    assert sum(len(backend.seen) for backend in backends) == 16


async def test_a_refusing_instance_is_no_failure(
    fake: FakeNacos, nacos: Nacos, backends: list[Backend]
) -> None:
    """Nothing was sent to it, so any request may go to another one; then it is left alone."""
    backends.pop().close()
    fake.put_instance("models", dead())
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        answers = [await client.post("http://models/", json={}) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["from"] for answer in answers} == {"one"}
    assert sum(answer.extensions["nacos_attempts"] for answer in answers) < 45


async def test_an_instance_that_says_it_drains_gets_no_more_calls(
    nacos: Nacos, backends: list[Backend]
) -> None:
    """Its process ends soon, and Nacos may tell later."""
    backends[0].fields = {"Connection": "close", "X-Gateway-Draining": "1"}
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        answers = [await client.post("http://models/", json={}) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert len(backends[0].seen) <= 1
    assert len(backends[1].seen) >= 29


@pytest.mark.parametrize(
    ("method", "extensions", "metadata", "attempts"),
    [
        ("GET", {}, {}, 2),
        ("POST", {}, {}, 1),
        ("POST", {"idempotent": True}, {}, 2),
        ("POST", {}, {"gateway.idempotent": "GET /x, POST /predict"}, 2),
        ("POST", {}, {"gateway.idempotent": "POST /*"}, 2),
        ("GET", {"idempotent": False}, {}, 1),
    ],
)
async def test_only_what_may_run_twice_is_repeated(
    fake: FakeNacos,
    nacos: Nacos,
    backends: list[Backend],
    method: str,
    extensions: dict[str, bool],
    metadata: dict[str, str],
    attempts: int,
) -> None:
    """A 503 is tried elsewhere if method, caller or service say that the request may repeat."""
    for backend in backends:
        backend.status = 503
        instance = backend.instance
        fake.put_instance("models", Instance(instance.ip, instance.port, metadata=metadata))
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        answer = await client.request(method, "http://models/predict", extensions=extensions)
    assert answer.status_code == 503
    assert sum(len(backend.seen) for backend in backends) == attempts


async def test_the_own_cluster_comes_first(
    fake: FakeNacos, nacos: Nacos, backends: list[Backend]
) -> None:
    """Another cluster is asked only when the own one has nobody left."""
    other = backends[1].instance
    fake.put_instance("models", Instance(other.ip, other.port, cluster="ELSEWHERE"))
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        near = {(await client.get("http://models/")).json()["from"] for _ in range(20)}
    backends.pop(0).close()
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        far = {(await client.get("http://models/")).json()["from"] for _ in range(5)}
    assert (near, far) == ({"one"}, {"two"})


async def test_a_slow_instance_ends_with_the_deadline(
    nacos: Nacos, backends: list[Backend]
) -> None:
    """The whole call ends in time, with httpx' own error."""
    for backend in backends:
        backend.delay = 3.0
    policy = CallPolicy(timeout=0.5, per_try=0.2)
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, policy=policy)) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(httpx.TimeoutException):
            await client.get("http://models/")
        assert asyncio.get_running_loop().time() - began < 2


@pytest.mark.parametrize(
    ("group", "extensions", "service"),
    [
        ("PAY_GROUP", {}, "pay"),
        (None, {"nacos_service": "PAY_GROUP@@pay"}, "pay"),
        ("OTHER", {"nacos_service": "PAY_GROUP@@pay"}, "pay"),
        ("PAY_GROUP", {"nacos_service": "PayService"}, "PayService"),
    ],
)
async def test_a_service_of_another_group(
    fake: FakeNacos,
    nacos: Nacos,
    backends: list[Backend],
    group: str | None,
    extensions: dict[str, str],
    service: str,
) -> None:
    """The transport names the group of all requests; one request may name its service itself."""
    fake.put_instance(service, backends[0].instance, group="PAY_GROUP")
    fake.put_instance(service, backends[1].instance)
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, group=group)) as client:
        for _ in range(10):
            await client.get("http://pay/", extensions=extensions)
    assert (len(backends[0].seen), len(backends[1].seen)) == (10, 0)


async def test_services_of_two_groups_are_two_services(
    fake: FakeNacos, nacos: Nacos, backends: list[Backend]
) -> None:
    """One client calls both; what is learnt of the instances of one says nothing of the other."""
    for backend, group in zip(backends, ("ONE", "TWO"), strict=True):
        fake.put_instance("pay", backend.instance, group=group)
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        answers = [
            (await client.get("http://pay/", extensions={"nacos_service": name})).json()["from"]
            for name in ("ONE@@pay", "TWO@@pay") * 5
        ]
    assert answers == ["one", "two"] * 5


@pytest.mark.parametrize("name", ["", "@@pay", "PAY@@", "A@@B@@pay"])
async def test_a_request_that_names_no_service(nacos: Nacos, name: str) -> None:
    """An error of httpx, which says how a name is written."""
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match="write service or GROUP@@service"):
            await client.get("http://pay/", extensions={"nacos_service": name})


class NotedCalls:
    """Notes what the traces of calls are told, and gives each attempt a field."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def __call__(self, service: str, method: str) -> "NotedCalls":
        self.told.append((service, method))
        return self

    def attempt_begins(self, instance: str) -> dict[str, str]:
        self.told.append(("begins", instance))
        return {"traceparent": f"of {instance}", "baggage": "theirs"}

    def attempt_ended(self, outcome: str, status: int | None) -> None:
        self.told.append(("ended", outcome, status))


async def test_a_trace_is_told_of_each_attempt(fake: FakeNacos, nacos: Nacos) -> None:
    """Begin and end, with outcome and status; its fields go along, where the caller has none."""
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        if request.url.port == 1:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(503, headers={"X-Gateway-Retry": "never"})

    fake.put_instance("models", dead())
    fake.put_instance("models", Instance("127.0.0.1", 2, cluster="ELSEWHERE"))
    inner = httpx.MockTransport(answer)
    by_loop, by_thread = NotedCalls(), NotedCalls()
    mine = {"baggage": "mine"}
    async with httpx.AsyncClient(
        transport=AsyncNacosTransport(nacos, inner=inner, trace=by_loop)
    ) as client:
        await client.get("http://models/", headers=mine)
    with httpx.Client(transport=NacosTransport(nacos, inner=inner, trace=by_thread)) as plain:
        await asyncio.to_thread(plain.get, "http://models/", headers=mine)

    assert by_loop.told == by_thread.told
    assert by_loop.told[:5] == [
        ("models", "GET"),
        ("begins", "127.0.0.1:1"),
        ("ended", "refused", None),
        ("begins", "127.0.0.1:2"),
        ("ended", "unavailable", 503),
    ]
    assert [each["traceparent"] for each in sent[:2]] == ["of 127.0.0.1:1", "of 127.0.0.1:2"]
    assert {each["baggage"] for each in sent} == {"mine"}


class HostileTrace(NotedCalls):
    """Gives a field that no request can have."""

    def attempt_begins(self, instance: str) -> dict[str, str]:
        return {"baggage": "\u2028", "at": instance}


async def test_an_attempt_that_cannot_be_sent_is_over(
    nacos: Nacos,
    backends: list[Backend],  # noqa: ARG001 - instances
) -> None:
    """A failure before anything was sent uses up no room at an instance, however often it comes."""
    hostile = AsyncNacosTransport(nacos, trace=HostileTrace())
    async with httpx.AsyncClient(transport=hostile) as client:
        for _ in range(2 * 1024 + 1):  # more than two instances have room for
            with pytest.raises(UnicodeEncodeError):
                await client.get("http://models/")

        answer = await client.get("http://models/", headers={"baggage": "mine"})

    assert answer.status_code == 200


async def test_a_trace_is_told_of_a_call_that_is_given_up(
    nacos: Nacos, backends: list[Backend]
) -> None:
    """The caller goes away: the attempt ends as abandoned, without a status."""
    for backend in backends:
        backend.delay = 1.0
    noted = NotedCalls()
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, trace=noted)) as client:
        task = asyncio.ensure_future(client.post("http://models/"))
        await eventually(lambda: any(backend.seen for backend in backends))
        task.cancel()
        await asyncio.wait([task])

    assert noted.told[-1] == ("ended", "abandoned", None)


async def test_nobody_to_ask(nacos: Nacos) -> None:
    """No instance, or nothing known at all, is a ConnectError that says which service."""
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
        with pytest.raises(httpx.ConnectError, match="no instance of nobody"):
            await client.get("http://nobody/")


def command(fake: FakeNacos, *argv: str) -> tuple[int, str, str]:
    """Run `nacos-call` against the server in memory."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as cache:
        environ = {"NACOS_CACHE_DIR": cache}
        status = run(parser().parse_args(argv), environ, out, err, connect=fake.connect)
    return status, out.getvalue(), err.getvalue()


def test_the_command_calls(fake: FakeNacos, backends: list[Backend]) -> None:
    """`-d` makes a JSON POST, the body of the answer goes out, `-v` says who answered."""
    status, out, err = command(fake, "models/predict", "-d", "[1]", "-v", "-H", "X-A: b")
    assert (status, json.loads(out)["from"]) in [(0, "one"), (0, "two")]
    assert "200 from 127.0.0.1:" in err
    assert ("POST", "/predict", b"[1]") in [*backends[0].seen, *backends[1].seen]


def test_the_command_lists(fake: FakeNacos) -> None:
    """One line for each instance, with what it says of itself."""
    fake.put_instance("models", Instance("10.0.0.1", 8001, 2.0, metadata={"version": "1"}))
    assert command(fake, "--list", "models") == (
        0,
        "10.0.0.1:8001 weight=2 DEFAULT healthy version=1\n",
        "",
    )


def test_the_command_takes_a_group(fake: FakeNacos, backends: list[Backend]) -> None:
    """`GROUP@@service` is the service of that group, for a call and for the list."""
    fake.put_instance("PayService", backends[0].instance, group="PAY_GROUP")
    status, out, _ = command(fake, "PAY_GROUP@@PayService/balance")
    assert (status, json.loads(out)["from"]) == (0, "one")
    assert backends[0].seen == [("GET", "/balance", b"")]
    status, out, _ = command(fake, "--list", "PAY_GROUP@@PayService")
    assert (status, out.split()[0]) == (0, backends[0].instance.address)


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("PAY_GROUP@@/path",), 2, "names no service"),
        (("nobody/path",), 3, "no instance of nobody"),
        (("/path",), 2, "names no service"),
        (("models/", "-H", "nonsense"), 2, "is not NAME: VALUE"),
        (("models/", "-d", "@/no/such/file"), 2, "No such file"),
        (("--list", "nobody"), 1, ""),
    ],
)
def test_the_command_says_what_is_wrong(
    fake: FakeNacos, argv: tuple[str, ...], status: int, said: str
) -> None:
    """One line on standard error, and an exit status to tell the kinds apart."""
    found, _, err = command(fake, *argv)
    assert found == status
    assert said in err
    assert err.count("\n") <= 1


def test_a_bad_environment_is_wrong_use() -> None:
    """The variable is named."""
    err = io.StringIO()
    options = parser().parse_args(["models/"])
    assert run(options, {"NACOS_SERVER_ADDR": "http://x/"}, io.StringIO(), err) == 2
    assert "NACOS_SERVER_ADDR" in err.getvalue()
