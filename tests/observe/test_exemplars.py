"""A real Prometheus gets from a service's metrics to its traces."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from service_kit import HealthChecks, RequestEdge, Span, Stages, Tracer, add_health
from stack.observe.prometheus import EXEMPLARS
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

VERSION = "1.0.0+exemplars"
"""Of this test alone: other tests of the process count in the same histogram."""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def service() -> Iterator[tuple[str, list[Span]]]:
    """The address of a service that traces, and the spans that it makes."""
    spans: list[Span] = []

    def put(span: Span) -> bool:
        spans.append(span)
        return True

    app, health, stages = FastAPI(), HealthChecks("cars", "1"), Stages(VERSION)
    health.measure(stages.collect)
    add_health(app, health)

    @app.get("/x")
    async def answer() -> None:
        stages.observe(0.0, 0.001, 0.002, 0.003)

    edge = RequestEdge(app, model_version=VERSION, tracer=Tracer(put, 0.0))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(edge, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        yield f"127.0.0.1:{sock.getsockname()[1]}", spans
        server.should_exit = True
        thread.join()


def test_prometheus_leads_to_the_trace(
    service: tuple[str, list[Span]], prometheus_programs: Callable[[str], str], tmp_path: Path
) -> None:
    """It takes the metrics as OpenMetrics, whole, and knows the span of the slow request."""
    address, spans = service
    scraped = {"job_name": "cars", "static_configs": [{"targets": [address]}]}
    configured = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scraped]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configured))
    port = free_port()
    argv = (
        prometheus_programs("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        EXEMPLARS,
    )
    fields = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    httpx.get(f"http://{address}/x", headers=fields, trust_env=False).raise_for_status()
    process = Process.start("prometheus", argv, env=clean_environment(), log=tmp_path / "log")
    known: dict[str, dict[str, str]] = {}

    def is_known() -> bool:
        query = {"query": f'{{model_version="{VERSION}"}}', "start": "0", "end": "9999999999"}
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{port}/api/v1/query_exemplars", params=query, trust_env=False
            )
        except httpx.TransportError:  # it has just been started
            return False
        for each in answer.json()["data"] if answer.is_success else ():
            known[each["seriesLabels"]["__name__"]] = each["exemplars"][0]["labels"]
        return len(known) == 2

    try:
        what = f"Prometheus knows two histograms' exemplars; its log: {tmp_path}/log"
        wait_until(is_known, seconds=60, what=what)
    finally:
        process.stop(grace=10)

    (request,) = (each for each in spans if each.parent_id == PARENT)
    assert known["http_request_duration_seconds_bucket"] == request.exemplar
    assert known["model_stage_seconds_bucket"]["trace_id"] == TRACE
