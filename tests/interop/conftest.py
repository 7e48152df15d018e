"""Callers in other languages as processes, and a client that calls at a constant rate."""

import asyncio
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from stack.access import NacosAccess
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
JAVA_START_SECONDS = 90.0

CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
QUESTIONS: Mapping[str, Any] = {
    "car-evaluation": {"inputs": [CAR]},
    "skl-kmeans": {
        "points": [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
    },
}
"""The published example of each service."""
ANSWERS: Mapping[str, Any] = {
    "car-evaluation": {"predictions": [1], "labels": ["acc"]},
    "skl-kmeans": {"results": [1, 1, 1, 1, 2, 0, 0, 0, 0], "clusters": 3},
}
"""What each service is published to answer to it."""
PATHS = {"car-evaluation": "/api/v1/predict", "skl-kmeans": "/api/skl-kmeans"}
PACKAGES = {"car-evaluation": "classifier", "skl-kmeans": "kmeans"}


@pytest.fixture(scope="session", autouse=True)
def callers() -> None:
    """The Java and the Node caller are built; `make test-interop` has done it before."""
    made = subprocess.run(
        ["make", "--silent", "interop-callers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.fail(f"the callers in other languages cannot be built:\n{made.stderr[-2000:]}")


@dataclass(frozen=True)
class Models:
    """Both Python services, each with its instances."""

    instances: Mapping[str, list[Any]]

    @property
    def all(self) -> list[Any]:
        """Every process."""
        return [one for each in self.instances.values() for one in each]

    def answered(self, service: str) -> list[int]:
        """How many questions each instance of a service has answered."""
        line = re.compile(
            r'^http_request_duration_seconds_count{method="POST",model_version="[^"]*",route="'
            + re.escape(PATHS[service])
            + r'",status="200"} ([0-9]+)',
            flags=re.MULTILINE,
        )
        found = [line.search(one.metrics()) for one in self.instances[service]]
        return [int(each[1]) if each else 0 for each in found]


@pytest.fixture
def models(service: Callable[..., Any], nacos: NacosAccess) -> Callable[..., Models]:
    """Start two instances of each Python service, seen by Nacos when this returns."""

    def start(**env: str) -> Models:
        started = {
            name: [service(package, nacos, env=env, ready=False) for _ in range(2)]
            for name, package in PACKAGES.items()
        }
        for one in Models(started).all:
            one.wait_ready()
        for name in started:
            wait_shown(nacos, name, 2)
        return Models(started)

    return start


def wait_shown(nacos: NacosAccess, service: str, count: int) -> None:
    """Return when Nacos shows exactly `count` instances of a service."""
    wait_until(
        lambda: len(nacos.instances(service)) == count,
        seconds=20,
        what=f"Nacos shows {count} instances of {service}",
    )


@dataclass
class Spring:
    """A running Spring Boot application that calls by name and is a provider itself."""

    url: str
    log: Path
    process: Process

    def route(self, client: str, service: str) -> str:
        """Where it takes a question that it is to put to a service, by one of its `CLIENTS`."""
        return f"{self.url}/calls/{client}/{service}"

    def ask(self, client: str, service: str) -> Any:
        """Have it put the example question to a service; returns the answer it was given."""
        answer = httpx.post(
            self.route(client, service), json=QUESTIONS[service], timeout=10, trust_env=False
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def knows(self, service: str) -> list[dict[str, Any]]:
        """What it has from Nacos about a service."""
        answer = httpx.get(f"{self.url}/instances/{service}", timeout=10, trust_env=False)
        return list(answer.json())

    def wait_knows(self, service: str, count: int) -> None:
        """Return when it has been told of `count` instances."""
        wait_until(
            lambda: len(self.knows(service)) == count,
            seconds=20,
            what=f"Spring knows {count} instances of {service}",
        )


StartSpring = Callable[..., Spring]


@pytest.fixture
def spring(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartSpring]:
    """Start Spring Boot applications; arguments are the access to Nacos and properties.

    With `context`, the application is served below that path, and its entry in Nacos says so.
    """
    running: list[Spring] = []

    def start(nacos: NacosAccess, *properties: str, context: str = "") -> Spring:
        port = free_port()
        home = tmp_path / f"java-{len(running)}"
        java = ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        argv = [*java, f"-Duser.home={home}", f"-DJM.LOG.PATH={home}/logs", "-jar"]
        argv += [str(HERE / "java" / "target" / "java-interop.jar"), *properties]
        if context:
            metadata = "--spring.cloud.nacos.discovery.metadata.context-path"
            argv += [f"--server.servlet.context-path={context}", f"{metadata}={context}"]
        env = {**clean_environment(), **nacos.environment, "PORT": str(port)}
        log = home / "output.log"
        process = Process.start("java-echo", argv, env=env, log=log)
        one = Spring(f"http://127.0.0.1:{port}{context}", log, process)
        running.append(one)
        wait_until(
            lambda: _answers(one),
            seconds=JAVA_START_SECONDS,
            what=f"the Spring application is up; its log: {log}",
        )
        return one

    yield start
    for one in running:
        one.process.stop(grace=10)
        request.node.add_report_section("call", "log of Spring", one.log.read_text()[-4000:])


def _answers(spring: Spring) -> bool:
    if not spring.process.alive:
        pytest.fail(f"Spring ended by itself:\n{spring.log.read_text()[-4000:]}")
    try:
        return httpx.get(f"{spring.url}/echo", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def node(tmp_path: Path) -> Callable[[NacosAccess, str], dict[str, Any]]:
    """Run the Node caller once: it asks every instance of a service that it finds."""

    def call(nacos: NacosAccess, service: str) -> dict[str, Any]:
        argv = ["node", str(HERE / "node" / "caller.mjs"), service, PATHS[service]]
        done = subprocess.run(
            [*argv, json.dumps(QUESTIONS[service])],
            env={**os.environ, **nacos.environment, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"the Node caller ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return call


@dataclass
class SteadyCalls:
    """Calls at a constant rate in the background, whether the earlier ones have ended or not.

    Attributes:
        targets: URL and JSON body of each kind of call, made in turn.
        interval: seconds between two calls.
        answered: how many were answered with 200.
        lost: what became of each of the others.
    """

    targets: list[tuple[str, Any]]
    interval: float
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=30)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begun, made = loop.time(), 0
        async with (
            httpx.AsyncClient(timeout=15, trust_env=False) as client,
            asyncio.TaskGroup() as calls,
        ):
            while not self._ended.is_set():
                url, body = self.targets[made % len(self.targets)]
                calls.create_task(self._call(client, url, body))
                made += 1
                await asyncio.sleep(begun + made * self.interval - loop.time())

    async def _call(self, client: httpx.AsyncClient, url: str, body: Any) -> None:
        try:
            answer = await client.post(url, json=body)
        except httpx.HTTPError as error:
            self.lost.append(f"{url}: {error!r}")
            return
        if answer.status_code == httpx.codes.OK:
            self.answered += 1
        else:
            self.lost.append(f"{url}: {answer.status_code} {answer.text[:300]}")


@pytest.fixture
def steady_calls() -> type[SteadyCalls]:
    """Give the client that calls at a constant rate while its block runs."""
    return SteadyCalls


@pytest.fixture
def questions() -> Mapping[str, Any]:
    """The published example of each service."""
    return QUESTIONS


@pytest.fixture
def answers() -> Mapping[str, Any]:
    """What each service is published to answer to it."""
    return ANSWERS
