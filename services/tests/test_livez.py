"""A service answers /livez while it computes."""

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from random import Random

import httpx
import orjson
import pytest
from classifier.schemas import EXAMPLE
from classifier.settings import DATA_ID, ServingConfig
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos
from service_conformance.liveness import assert_alive_while, probe, slowest_tenth


def points(count: int) -> bytes:
    """Return the body of a fit of so many points."""
    random = Random(count)  # noqa: S311 - the same points every time
    return orjson.dumps(
        {"points": [[random.gauss(0, 1), random.gauss(0, 1)] for _ in range(count)]}
    )


def tensors(count: int) -> bytes:
    """Return the V2 body of so many rows."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [count], "data": [value] * count}
        for name, value in EXAMPLE.items()
    ]
    return orjson.dumps({"inputs": inputs})


def tensor(count: int) -> bytes:
    """Return the V2 body of a fit of so many points."""
    data = orjson.loads(points(count))["points"]
    one = {"name": "points", "datatype": "FP64", "shape": [count, 2], "data": data}
    return orjson.dumps({"inputs": [one]})


BATCH = orjson.dumps({"inputs": [EXAMPLE] * 10_000})
EXPLAINED = orjson.dumps({"inputs": [EXAMPLE] * 100})
PREDICT = "/api/v1/predict"
V2 = "/v2/models/car-evaluation/infer"


@pytest.mark.parametrize(
    ("package", "path", "body"),
    [
        ("kmeans", "/api/skl-kmeans", points(10_000)),
        ("kmeans", "/v2/models/skl-kmeans/infer", tensor(10_000)),
        ("classifier", PREDICT, BATCH),
        ("classifier", PREDICT + "?probabilities=1", BATCH),
        ("classifier", "/api/v1/explain", EXPLAINED),
        ("classifier", V2, tensors(10_000)),
    ],
    ids=["fit", "fit-v2", "batch", "batch-the-long-way", "explain", "batch-v2"],
)
def test_livez_answers_while_computing(service, tmp_path, package, path, body):
    """/livez is answered within 50 ms while the largest request of each route is worked on."""
    finished = assert_alive_while(service(package).url, path, body, tmp_path)

    assert set(finished) == {"200"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"), [(PREDICT, BATCH), (V2, tensors(10_000))], ids=["batch", "batch-v2"]
)
def test_livez_answers_while_the_estimator_runs(running, estimating, tmp_path, path, body):
    """The same with the estimator as engine, which is what the last document said."""
    with running("classifier", tmp_path / "log", estimating) as one:
        found = httpx.get(one.url + "/readyz").json()["checks"]["config car-evaluation"]
        assert found["source"] == "last_good"
        finished = assert_alive_while(one.url, path, body, tmp_path)
        metrics = httpx.get(one.url + "/metrics").text

    assert set(finished) == {"200"}
    assert "model_batch_rows_count 0.0" not in metrics


@pytest.fixture
def estimating(tmp_path) -> dict[str, str]:
    """Return the environment of a classifier whose last document names the estimator."""
    env = {"NACOS_SERVER_ADDR": "127.0.0.1:9", "NACOS_CACHE_DIR": str(tmp_path / "documents")}

    async def publish_and_read() -> None:
        fake = FakeNacos()
        fake.publish(DATA_ID, "engine: estimator\n")
        async with fake.client(NacosSettings.model_validate(env)) as nacos:
            watched = nacos.watch(DATA_ID, ServingConfig)
            await watched.start()
            assert watched.value.engine == "estimator"

    asyncio.run(publish_and_read())
    return env


class Halting(BaseHTTPRequestHandler):
    """Answers at once but for a fifth of every half second, in which it does nothing at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, after the halt if there is one."""
        halted = 0.1 - time.monotonic() % 0.5
        time.sleep(max(0.0, halted))  # noqa: TID251 - by schedule
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def halting() -> Iterator[str]:
    """Return the address of what halts."""
    with HTTPServer(("127.0.0.1", 0), Halting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_halt_is_seen_by_every_probe_that_was_due(halting):
    """A service that stands still for a fifth of the time is late for a fifth of the probes.

    Asked again only after each answer, it would seem late once in hundreds of times.
    """
    late = probe(halting)

    assert sum(each > 0.01 for each in late) >= len(late) * 0.15
    assert slowest_tenth(late) > 0.03
