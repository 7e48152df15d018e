"""The gateway as a process: settings, access log, workers that are replaced without a loss."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from failover import Instance
from gateway.control.form import form
from gateway.control.open_files import RESERVE, fitting, needed
from gateway.control.supervisor import Child, answer_supervisor
from gateway.telemetry.metrics import EndedWorkers
from httptools.parser import parser as extension
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from stack.ports import free_port

pytestmark = pytest.mark.anyio
SERVICE = "car-evaluation"


async def seed(cache, *instances, gateways: tuple[int, ...] = ()) -> None:
    """Leave snapshots on disk, as an earlier gateway would: instances, and gateways by port."""
    fake = FakeNacos()
    ports = {SERVICE: [instance.port for instance in instances], "gateway": gateways}
    for service, listed in ports.items():
        for port in listed:
            fake.put_instance(service, Instance("127.0.0.1", port))
    settings = NacosSettings(server_addr="127.0.0.1:1", cache_dir=cache)
    async with fake.client(settings) as nacos:
        for service in ports:
            await nacos.discover(service).known()
        await asyncio.sleep(0.2)


def environment(cache, port: int, admin: int, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {
        **kept, "NACOS_SERVER_ADDR": "127.0.0.1:1", "NACOS_CACHE_DIR": str(cache),
        "HOST": "127.0.0.1", "PORT": str(port), "GATEWAY_ADMIN_PORT": str(admin),
        "DRAIN_SECONDS": "0", **more,
    }  # fmt: skip


@contextmanager
def running(log: Path, env: dict[str, str], before: str = ":") -> Iterator[subprocess.Popen]:
    """A gateway in a group of its own whose output goes to a file; ended with the block.

    What is to be done before it starts is a line of shell.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f'{before}; exec "$0" -m gateway', sys.executable],
            stdout=output, stderr=output, env=env, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_a_bad_environment_is_named():
    """Exit code 2 and one line with every bad variable."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], check=False, capture_output=True, text=True,
        env={**os.environ, "PORT": "0", "GATEWAY_WORKERS": "none", "GATEWAY_TRUSTED_PROXIES": "x"},
    )  # fmt: skip

    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    for name in ("PORT", "GATEWAY_WORKERS", "GATEWAY_TRUSTED_PROXIES"):
        assert name in line


def test_an_open_admin_port_needs_a_token():
    """Beyond loopback the API is never unprotected."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], check=False, capture_output=True, text=True,
        env={**os.environ, "GATEWAY_ADMIN_HOST": "0.0.0.0"},  # noqa: S104 - what is refused
    )  # fmt: skip

    assert done.returncode == 2
    assert "GATEWAY_ADMIN_TOKEN" in done.stderr


@pytest.mark.parametrize(
    ("variable", "file"),
    [
        ("GATEWAY_TLS_CERT", "absent.pem"),
        ("GATEWAY_TLS_KEY", "absent.pem"),
        ("GATEWAY_TLS_CERT", "junk.pem"),
        ("GATEWAY_TLS_KEY", "locked.pem"),
        ("GATEWAY_UPSTREAM_TLS_KEY", "locked.pem"),
        ("NACOS_TLS_KEY", "locked.pem"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(tmp_path, certificate, variable, file):
    """Absent, no PEM, or a key that asks for a password: exit code 2, one line with the file."""
    (tmp_path / "junk.pem").write_text("no certificate")
    subprocess.run(
        ["openssl", "pkey", "-in", certificate[1], "-aes256", "-passout", "pass:word", "-out",
         tmp_path / "locked.pem"], check=True, capture_output=True,
    )  # fmt: skip
    stem = variable.rpartition("_")[0]
    files = {f"{stem}_CERT": str(certificate[0]), f"{stem}_KEY": str(certificate[1])}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], check=False, capture_output=True, text=True,
        env={**environment(tmp_path, 1, 2), **files, variable: str(tmp_path / file)},
        timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert stem in line
    assert str(tmp_path / file) in line
    assert "cannot be used" in line


def test_the_form_is_compiled_only_as_a_whole():
    """One interpreted module among extension modules makes the form `interpreted`."""
    assert form([extension]) == "compiled"
    assert form([extension, json]) == "interpreted"


async def test_a_gateway_says_which_form_it_runs(tmp_path):
    """The log of the start, /actuator/info and a metric name the form of the data path."""
    data_path = importlib.util.find_spec("gateway.proxy.exchange").origin
    expected = "interpreted" if data_path.endswith(".py") else "compiled"
    port, admin = free_port(), free_port()
    with running(tmp_path / "log", environment(tmp_path, port, admin)) as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
            info = (await http.get(f"http://127.0.0.1:{admin}/actuator/info")).json()
            metrics = (await http.get(f"http://127.0.0.1:{admin}/metrics")).text
            asked = {"accept": "application/openmetrics-text"}
            text = (await http.get(f"http://127.0.0.1:{admin}/metrics", headers=asked)).text

    assert "gateway_request_seconds" in {each.name for each in text_string_to_metric_families(text)}
    (start,) = events(tmp_path / "log", "gateway_starts")
    build = f'{{form="{expected}",version="{info["build"]["version"]}"}}'
    assert (info["build"]["form"], start["form"]) == (expected, expected)
    assert start["version"] == info["build"]["version"]
    assert f"gateway_build_info{build} 1.0" in metrics


def request_lines(log: Path) -> list[dict]:
    """Return the whole lines of the access log."""
    whole = log.read_bytes().rpartition(b"\n")[0].splitlines()
    lines = [json.loads(line) for line in whole if line.startswith(b"{")]
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.timeout(240)
async def test_workers_are_replaced_without_a_loss(world, tmp_path):
    """SIGHUP under load: both processes change, every request is answered; SIGTERM ends all.

    An instance that an operator has drained stays drained. What was counted stays counted.
    """
    instance, drained = await world.instance(), await world.instance()
    await seed(tmp_path, instance, drained)
    port, admin = free_port(), free_port()
    env = environment(tmp_path, port, admin, GATEWAY_WORKERS="2")
    with running(tmp_path / "log", env) as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
            first = children(process.pid)
            assert len(first) == 2
            # One of the two has looked the service up; the other one is told all the same.
            url = f"http://127.0.0.1:{port}/{SERVICE}/x"
            assert (await http.get(url)).status_code == 200
            order = f"api/services/{SERVICE}/instances/127.0.0.1:{drained.port}/drain"
            done = await http.post(f"http://127.0.0.1:{admin}/{order}")
            assert done.json()["workers"] == 2
            seen = len(drained.executed)
            stop, statuses, counts = asyncio.Event(), [], []

            async def load() -> None:
                async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                    while not stop.is_set():
                        answer = await client.get(f"http://127.0.0.1:{port}/{SERVICE}/x")
                        statuses.append(answer.status_code)
                        await asyncio.sleep(0.01)

            async def look() -> None:
                while not stop.is_set():
                    counts.append(await counted(http, admin))
                    await asyncio.sleep(0.05)

            loads = [asyncio.create_task(load()) for _ in range(4)]
            loads.append(asyncio.create_task(look()))
            process.send_signal(signal.SIGHUP)
            now = await replaced(process.pid, first)
            stop.set()
            await asyncio.gather(*loads)

            assert set(statuses) == {200}
            assert len(drained.executed) == seen, "after the workers were told"
            assert counts == sorted(counts), "a counter fell"
            await told(http, admin, 1 + len(statuses))
            # A worker that is killed takes along the lines that it has not written yet.
            count = 1 + len(statuses)
            await world.until(lambda: len(request_lines(tmp_path / "log")) == count, "the log")
            killed = now.pop()
            os.kill(killed, signal.SIGKILL)
            now = await replaced(process.pid, {killed})
            await told(http, admin, 1 + len(statuses))
            process.terminate()
            assert await asyncio.to_thread(process.wait, 30) == 0
            assert not any(map(alive, now))
    requests = request_lines(tmp_path / "log")
    assert len(requests) == 1 + len(statuses)
    assert {(line["status"], line["service"], line["attempts"]) for line in requests} == {
        (200, SERVICE, 1)
    }


@pytest.mark.timeout(120)
async def test_two_gateways_share_instances_out_and_lose_nothing_with_them(world, tmp_path):
    """Each of two processes connects to six of twelve instances, none of these to the other's.

    One instance after another ends until only those of the other gateway are left, and each request
    is answered, by an instance beyond the aperture if need be.
    """
    instances = [await world.instance() for _ in range(12)]
    ports = free_port(), free_port()
    await seed(tmp_path, *instances, gateways=ports)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=20))
        for port in ports:
            admin, log = free_port(), tmp_path / f"log-{port}"
            env = environment(tmp_path, port, admin, GATEWAY_APERTURE="6")
            await ready(http, admin, stack.enter_context(running(log, env)))

        async def ask(port: int, times: int) -> None:
            for _ in range(times):
                answer = await http.get(f"http://127.0.0.1:{port}/{SERVICE}/x")
                assert answer.status_code == 200

        await ask(ports[0], 100)
        first = [one for one in instances if one.executed]
        await ask(ports[1], 100)
        assert len(first) == 6
        assert all(one.executed for one in instances)
        for one in first:
            await one.stop()
            await ask(ports[0], 10)


@pytest.mark.timeout(120)
async def test_a_sigterm_to_the_whole_group_is_one_to_the_supervisor(world, tmp_path):
    """As systemd sends it: workers serve on while the supervisor drains, then all end.

    Each answer closes its connection meanwhile, so that clients have left before the port closes.
    The drain takes as long as the requests need; a second signal cuts it short.
    """
    await seed(tmp_path, await world.instance())
    port, admin = free_port(), free_port()
    env = environment(tmp_path, port, admin, GATEWAY_WORKERS="2")
    with running(tmp_path / "log", {**env, "DRAIN_SECONDS": "100"}) as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
            workers = children(process.pid)

            os.killpg(process.pid, signal.SIGTERM)

            readiness = f"http://127.0.0.1:{admin}/readyz"
            async with asyncio.timeout(20):
                while (await http.get(readiness)).status_code != 503:  # noqa: ASYNC110 - as below
                    await asyncio.sleep(0.01)
            statuses = await statuses_of_many(world, port, 30)
            assert set(statuses) == {200}
            url = f"http://127.0.0.1:{port}/{SERVICE}/x"
            closing = 0
            async with asyncio.timeout(60):  # a connection to a worker that is not told yet stays
                while closing < 20:
                    closes = (await http.get(url)).headers.get("connection") == "close"
                    closing = closing + 1 if closes else 0
            assert children(process.pid) == workers
        os.killpg(process.pid, signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
        assert not any(map(alive, workers))


@pytest.mark.timeout(120)
async def test_workers_end_with_their_supervisor(world, tmp_path):
    """Killed, it tells them nothing; nobody would ever stop them."""
    port, admin = free_port(), free_port()
    env = environment(tmp_path, port, admin, GATEWAY_WORKERS="2")
    with running(tmp_path / "log", env) as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
        workers = children(process.pid)

        process.kill()

        await world.until(lambda: not any(map(alive, workers)), "the workers' end")


@pytest.mark.timeout(120)
async def test_a_worker_that_dies_during_a_replacement_is_replaced_at_once(world, tmp_path):
    """The old worker, which still answers, does not hold up what follows the new one."""
    stuck = world.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n?")
    await seed(tmp_path, await world.instance(stuck))
    port, admin = free_port(), free_port()
    env = environment(tmp_path, port, admin, GATEWAY_WORKERS="2")
    with running(tmp_path / "log", env) as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
        first = children(process.pid)
        request = f"GET /{SERVICE}/x HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        idle, clients = [], []
        for _ in range(16):  # so many that both workers have some
            for sent in (b"", request):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                clients.append(writer)
                writer.write(sent)
                if sent:
                    await reader.readuntil(b"?")
                else:
                    idle.append(reader)
        process.send_signal(signal.SIGHUP)
        await world.until(lambda: any(one.at_eof() for one in idle), "the end of an idle client")
        (new,) = children(process.pid) - first

        os.kill(new, signal.SIGKILL)

        await world.until(lambda: bool(children(process.pid) - first - {new}), "its successor")
        assert first <= children(process.pid), "the old one still answers"
        for writer in clients:
            writer.close()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
async def test_the_open_file_limit_is_raised_for_all_clients(world, tmp_path, workers):
    """A soft limit below what GATEWAY_MAX_CONNECTIONS takes is raised, and nobody is refused."""
    await seed(tmp_path, await world.instance())
    port, admin = free_port(), free_port()
    count = 300
    env = environment(
        tmp_path, port, admin, GATEWAY_WORKERS=str(workers), GATEWAY_MAX_CONNECTIONS=str(count)
    )
    soft = count // 2
    with running(tmp_path / "log", env, f"ulimit -Sn {soft}") as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
        statuses = await statuses_of_many(world, port, count)
        assert process.poll() is None

    assert statuses == [200] * count
    assert not warnings(tmp_path / "log")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
async def test_no_more_clients_are_taken_than_there_are_open_files(world, tmp_path, workers):
    """A hard limit that is too small is said once, and those above it get the edge's 503."""
    await seed(tmp_path, await world.instance())
    port, admin = free_port(), free_port()
    env = environment(tmp_path, port, admin, GATEWAY_WORKERS=str(workers))
    limit = 400
    allowed = fitting(10_000, limit)
    with running(tmp_path / "log", env, f"ulimit -n {limit}") as process:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await ready(http, admin, process)
        before = children(process.pid)
        statuses = await statuses_of_many(world, port, allowed * workers + 20)
        assert process.poll() is None
        assert children(process.pid) == before, "a worker ended"

    assert set(statuses) == {200, 503}
    assert statuses.count(200) <= allowed * workers
    if workers == 1:
        assert statuses == [200] * allowed + [503] * 20
    (said,) = warnings(tmp_path / "log")
    assert said["GATEWAY_MAX_CONNECTIONS"] == 10_000
    assert said["clients_per_worker"] == allowed
    assert said["open_files"] == limit


@pytest.mark.parametrize("limit", [1, RESERVE, 1000, 1024, 20_255, 20_256, 1_048_576])
def test_clients_fit_the_open_file_limit(limit):
    """As many as are wanted or have room, and one more has none; a gateway takes one at least."""
    taken = fitting(10_000, limit)

    assert 1 <= taken <= 10_000
    assert needed(taken) <= limit or taken == 1
    assert needed(taken + 1) > limit or taken == 10_000


async def statuses_of_many(world, port: int, count: int) -> list[int]:
    """What clients are answered that come one after the other, and stay."""
    statuses = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        world.stack.callback(writer.close)
        writer.write(f"GET /{SERVICE}/x HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(int(head.split(b" ")[1]))
    return statuses


def events(log: Path, name: str) -> list[dict[str, object]]:
    """The lines of a log that tell one event."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    return [line for line in lines if line["event"] == name]


def warnings(log: Path) -> list[dict[str, object]]:
    """What was said of open files."""
    return events(log, "open_files_limit_clients")


async def test_the_data_port_is_as_the_environment_says(world, tmp_path, certificate):
    """HTTPS with the certificate of the environment, and its trusted proxies are believed."""
    instance = await world.instance()
    await seed(tmp_path, instance)
    port, admin = free_port(), free_port()
    env = environment(
        tmp_path, port, admin, GATEWAY_TRUSTED_PROXIES="192.0.2.0/24, 127.0.0.0/8",
        GATEWAY_TLS_CERT=str(certificate[0]), GATEWAY_TLS_KEY=str(certificate[1]),
    )  # fmt: skip
    with running(tmp_path / "log", env) as process:
        async with httpx.AsyncClient(
            trust_env=False, timeout=20, verify=ssl.create_default_context(cafile=certificate[0])
        ) as http:
            await ready(http, admin, process)
            answer = await http.get(
                f"https://localhost:{port}/{SERVICE}/x", headers={"X-Forwarded-For": "203.0.113.7"}
            )
        process.terminate()
        assert await asyncio.to_thread(process.wait, 30) == 0

    assert answer.status_code == 200
    (request,) = instance.executed
    assert request.one("x-forwarded-for") == "203.0.113.7, 127.0.0.1"
    assert request.one("x-forwarded-proto") == "https"


async def ready(http: httpx.AsyncClient, admin: int, process: subprocess.Popen) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.poll() is None
            try:
                if (await http.get(f"http://127.0.0.1:{admin}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def counted(http: httpx.AsyncClient, admin: int) -> float:
    """How many requests the workers say that they answered."""
    text = (await http.get(f"http://127.0.0.1:{admin}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("gateway_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def told(http: httpx.AsyncClient, admin: int, count: int) -> None:
    """Wait until that is so many: workers are asked every second."""
    async with asyncio.timeout(20):
        while (seen := await counted(http, admin)) != count:
            assert seen < count
            await asyncio.sleep(0.1)


async def replaced(pid: int, old: set[int]) -> set[int]:
    """Wait for two workers that are not of the old ones."""
    async with asyncio.timeout(60):
        while len(now := children(pid)) != 2 or now & old:  # noqa: ASYNC110 - /proc has no event
            await asyncio.sleep(0.1)
    return now


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_start_that_is_called_off_leaves_no_worker(tmp_path):
    """A worker whose start is cancelled is ended: nobody would ever stop it."""

    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.02)

    before = children()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        starting = asyncio.create_task(Child.start(sock, environment(tmp_path, free_port(), 1)))
        await until(lambda: children() - before)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await until(lambda: children() == before)


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next():
    """A worker that stood still answers two questions; each gets its own answer or none."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - as in socket
    reader, writer = await asyncio.open_connection(sock=ours)
    child = Child(None, reader, writer)

    try:
        late = await child.ask({"do": "state"})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(answer_supervisor(theirs, lambda command: command["do"]))
            await reader.readline()  # it says that it is ready
            second = await child.ask({"do": "routes"})
            writer.close()
    finally:
        writer.close()

    assert late is None, "nobody answered in time"
    assert second == "routes"


async def test_a_long_command_is_answered_like_any_other():
    """The console's form, as JSON, is longer than what a stream reads by default: nobody ends."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - as in socket
    reader, writer = await asyncio.open_connection(sock=ours)
    child = Child(None, reader, writer)
    fields = [["a", "\x01" * 64 * 1024]]

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer_supervisor(theirs, lambda command: len(command["fields"])))
        await reader.readline()  # it says that it is ready
        answer = await child.ask({"do": "explain", "fields": fields})
        writer.close()

    assert answer == 1


async def test_a_worker_that_dies_while_it_is_asked_answers_nobody():
    """One question is unread, another waits for its turn: neither is an error of the supervisor."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    child = Child(None, reader, writer)
    asking = [asyncio.create_task(child.ask({"do": "state"})) for _ in range(2)]
    await asyncio.to_thread(theirs.recv, 1, socket.MSG_PEEK)

    theirs.close()

    assert await asyncio.gather(*asking) == [None, None]
    writer.close()


def test_what_a_worker_had_counted_stays_in_the_sum():
    """Counters and histograms add up; those of an instance that left its service go with it."""
    buckets = [1, 0, 2, 0.5]
    state = {
        "requests": [["r", "s", "2xx", "answered", 3]],
        "attempts": [
            ["s", "a:1", "answered", 3],
            ["s", "b:1", "refused", 1],
            ["t", "c:1", "cut", 1],
        ],
        "seconds": [["r", "s", buckets]],
        "in_flight": [["s", "a:1", 7]],
    }
    retired = EndedWorkers()
    retired.add(state)
    retired.add(state)

    told = retired.describe([{"in_flight": [["s", "a:1", 0]]}])

    assert told["requests"] == [("r", "s", "2xx", "answered", 6)]
    assert told["attempts"] == [("s", "a:1", "answered", 6), ("t", "c:1", "cut", 2)]
    assert told["seconds"] == [("r", "s", [2 * count for count in buckets])]
    assert "in_flight" not in told, "it holds nothing any more"
