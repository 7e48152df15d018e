"""A real Prometheus scrapes the running stack, and has an answer to every query there is."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import pytest
from stack.local import LocalStack
from stack.observe import dashboards, prometheus
from stack.observe.alerts import every_alert, known_series
from stack.observe.series import FAMILIES
from stack.process import Process, clean_environment
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]

SECONDS = 1
"""Seconds between two scrapes."""
CARS = "/car-evaluation/api/v1/predict"
FEEDBACK = "/car-evaluation/api/v1/feedback"
CLUSTERS = "/skl-kmeans/api/skl-kmeans"
POINTS = {"points": [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12]]}
CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
SHADOW = """
services:
  car-evaluation: {shadow: {service: car-evaluation, compare: body, ignore: [request_id]}}
"""
OF_PYTHON = ("python_", "process_")


class Watcher:
    """A Prometheus of these tests."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def values(self, query: str) -> list[float]:
        """Return the numbers that a query has now."""
        found = [float(each["value"][1]) for each in self.get("query", query=query)["result"]]
        return [value for value in found if not math.isnan(value)]

    def is_ready(self) -> bool:
        """Return whether it answers queries."""
        with suppress(httpx.HTTPError):
            return self._http.get("/-/ready").is_success
        return False


@pytest.fixture(scope="module")
def watcher(
    local_stack: LocalStack,
    prometheus_programs: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watcher]:
    """Prometheus as the stack starts it, but asking more often."""
    prometheus_programs("prometheus")
    home = tmp_path_factory.mktemp("prometheus")
    argv = prometheus.command(local_stack.plan, home, SECONDS)
    process = Process.start("prometheus", argv, env=clean_environment(), log=home / "log")
    url = f"http://127.0.0.1:{local_stack.plan.prometheus_port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            watcher = Watcher(http)
            what = f"Prometheus is ready; its log: {home}/log"
            wait_until(watcher.is_ready, seconds=60, what=what)
            yield watcher
    finally:
        process.stop(grace=10)


@pytest.fixture
def published(local_stack: LocalStack) -> Iterator[Callable[[str, str], None]]:
    """Publish documents, which are withdrawn at the end."""
    names: list[str] = []

    def publish(data_id: str, text: str) -> None:
        names.append(data_id)
        local_stack.nacos.access.publish(data_id, text)

    yield publish
    for name in names:
        local_stack.nacos.access.withdraw(name)


def asked(expression: str) -> str:
    """Return a dashboard's query as Grafana asks it with every choice on All."""
    return re.sub(r"\$(job|service)", ".*", expression).replace("$__rate_interval", "30s")


def queries() -> Mapping[str, str]:
    """Return every query of every dashboard, by where it stands."""
    return {
        f"{path.stem}: {panel['title']}: {target['legendFormat']}": asked(target["expr"])
        for path in sorted(dashboards.DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    }


def call(gateway: httpx.Client) -> None:
    """Send what a day brings: good requests, bad ones, late ones."""
    gateway.post(CARS, json={"inputs": [CAR] * 300}).raise_for_status()
    for _ in range(10):
        answer = gateway.post(CARS, json={"inputs": [CAR]}).json()
        told = {"request_id": answer["request_id"], "labels": ["acc"]}
        gateway.post(FEEDBACK, json=told)  # which meets the instance that answered, or another
        gateway.post(CLUSTERS, json=POINTS)
    gateway.post(CARS, json={"inputs": [{**CAR, "safety": "none"}]})
    gateway.post(CLUSTERS, content="{", headers={"content-type": "application/json"})
    gateway.post(CLUSTERS, json=POINTS, headers={"X-Request-Timeout-Ms": "1"})


def test_every_query_of_every_dashboard_has_data(
    local_stack: LocalStack, watcher: Watcher, published: Callable[[str, str], None]
) -> None:
    """No panel is empty where the stack has met a shadow, a frozen instance, bad and late calls."""
    published("gateway", SHADOW)
    published("car-evaluation", "{engine: estimator, feedback_rows: 10000}")
    frozen = local_stack.processes()["kmeans-2"]
    url = f"http://127.0.0.1:{local_stack.plan.gateway.port}"
    open_queries = dict(queries())
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as gateway:
        for _ in range(5):  # so that the gateway knows how long a call takes
            call(gateway)

        def all_have_data() -> bool:
            frozen.pause()
            try:
                for _ in range(4):
                    gateway.post(CLUSTERS, json=POINTS)
            finally:
                frozen.resume()
            call(gateway)
            for name, query in tuple(open_queries.items()):
                if watcher.values(query):
                    del open_queries[name]
            return not open_queries

        with suppress(TimeoutError):
            wait_until(all_have_data, seconds=120, what="every query has data")
    assert open_queries == {}


def test_every_rule_is_taken(watcher: Watcher) -> None:
    """Prometheus evaluates each rule of the file without an error, and knows each alert."""

    def rules() -> list[dict[str, Any]]:
        return [rule for group in watcher.get("rules")["groups"] for rule in group["rules"]]

    wait_until(
        lambda: all(rule["health"] != "unknown" for rule in rules()),
        seconds=60,
        what="each rule was evaluated once",
    )
    assert [rule for rule in rules() if rule["health"] != "ok"] == []
    alerting = {rule["name"] for rule in rules() if rule["type"] == "alerting"}
    assert alerting == {each.name for each in every_alert()}


def test_every_part_of_the_stack_is_scraped(local_stack: LocalStack, watcher: Watcher) -> None:
    """Each process is a target that answers, under its service's name in Nacos."""
    parts = local_stack.plan.parts

    def targets() -> set[tuple[str, str, str]]:
        active = watcher.get("targets")["activeTargets"]
        return {(t["labels"]["job"], t["labels"]["instance"], t["health"]) for t in active}

    wait_until(
        lambda: (
            targets() == {(part.service, f"127.0.0.1:{part.admin_port}", "up") for part in parts}
        ),
        seconds=60,
        what="every target is up",
    )


def test_what_is_exported_is_defined(local_stack: LocalStack) -> None:
    """Every metric of a service is among the definitions, with the labels that these say."""
    known = known_series()
    kinds = {
        each.name if each.kind == "histogram" else each.series[0]: each.kind for each in FAMILIES
    }
    for part in local_stack.plan.parts:
        url = f"http://127.0.0.1:{part.admin_port}/metrics"
        text = httpx.get(url, trust_env=False).text
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
            if not name.startswith(OF_PYTHON) and not name.endswith("_created"):
                assert kinds[name] in {kind, "info"}, name
        for name, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.MULTILINE):
            if not name.startswith(OF_PYTHON) and not name.endswith("_created"):
                given = re.sub(r"\binstance=", "exported_instance=", labels)
                known.check(f"{name}{{{given}}}")
