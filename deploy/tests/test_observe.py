"""Dashboards, alerts and scraping follow from the metrics' definitions and the services' tables."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from service_kit import MetricFamily
from stack import ROOT, written
from stack.observe import alerts, dashboards, scraping
from stack.observe.series import FAMILIES, KnownSeries, UnknownSeriesError
from stack.plan import Plan
from stack.services import ServedModel, found

IRIS = ServedModel("iris", "iris-2", (8002, 8012), "iris.app:Iris", "/api/v1/predict", "{}")
QUERIES = [
    query for each in dashboards.EVERY for panel in each.panels for query in panel.queries.values()
]
RECORDED = [alerts.recorded(goal, window) for goal in alerts.GOALS for window in alerts.WINDOWS]
EXPRESSIONS = [
    *(each.expression for each in alerts.every_alert()),
    *(goal.bad.format(window="5m") for goal in alerts.GOALS),
]


def knowing(*families: MetricFamily) -> KnownSeries:
    """Return the series of some families and those that the rules record."""
    return KnownSeries.of(families).recorded(RECORDED, {"service"})


def refused(known: KnownSeries) -> list[str]:
    """Return the queries and expressions that name a series or label which is not known."""
    found_bad = []
    for each in (*QUERIES, *EXPRESSIONS):
        try:
            known.check(each)
        except UnknownSeriesError:
            found_bad.append(each)
    return found_bad


WATCHED = [
    family
    for family in FAMILIES
    if any(name in query for name in family.series for query in (*QUERIES, *EXPRESSIONS))
]
"""The metrics that a dashboard or an alert names."""


def test_the_committed_files_are_those_that_are_written() -> None:
    """Dashboards, rules, their tests and Prometheus' file are as the code says."""
    wanted = {
        **dict(dashboards.files()),
        **dict(alerts.files()),
        **dict(scraping.files(found())),
    }

    assert len(wanted) == 6
    assert {file: file.read_text() for file in wanted} == wanted


@pytest.mark.parametrize("family", WATCHED, ids=lambda each: each.name)
def test_a_renamed_metric_is_noticed(family: MetricFamily) -> None:
    """A query that names a metric, or a label of it, by an old name is refused."""
    others = [each for each in FAMILIES if each is not family]

    assert refused(knowing(*others, family)) == []
    assert refused(knowing(*others, replace(family, name=f"new_{family.name}"))) != []


def test_nearly_every_metric_is_watched() -> None:
    """Few metrics are neither drawn nor the reason of an alert."""
    assert len(WATCHED) > 0.8 * len(FAMILIES)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('sum(rate(gateway_requests_total{code="500"}[5m]))', "gateway_requests_total has no"),
        ("sum by (colour) (service_ready)", "nothing has the label"),
        ("sum(rate(gateway_request_seconds[5m]))", "nothing exports gateway_request_seconds"),
        ("up / on (job) group_left sum by (job) (sevice_ready)", "nothing exports sevice_ready"),
    ],
)
def test_a_query_of_something_else_is_refused(expression: str, reason: str) -> None:
    """A name that nothing exports ends the writing, with the query."""
    with pytest.raises(UnknownSeriesError, match=reason) as refusal:
        KnownSeries().check(expression)

    assert expression in str(refusal.value)


def test_a_new_service_is_scraped() -> None:
    """One more table is one more job in Compose, and its instances are targets on one machine."""
    (text,) = dict(scraping.files((*found(), IRIS))).values()
    jobs = {each["job_name"]: each for each in yaml.safe_load(text)["scrape_configs"]}
    plan = Plan(100, services=(IRIS,))
    local = yaml.safe_load(scraping.of_plan(plan, alerts.RULES))["scrape_configs"]
    targets = {each["job_name"]: each["static_configs"][0]["targets"] for each in local}

    assert jobs["iris-2"]["dns_sd_configs"] == [{"names": ["iris"], "type": "A", "port": 8002}]
    assert set(jobs) == {"gateway", "iris-2", *(each.name for each in found())}
    assert targets == {
        "iris-2": ["127.0.0.1:8102", "127.0.0.1:8112"],
        "gateway": ["127.0.0.1:8110"],
    }


def test_a_dashboard_is_one_that_grafana_reads() -> None:
    """Panels have different ids and places, a source that is chosen, and queries with letters."""
    for _, text in dashboards.files():
        page = json.loads(text)
        places = [tuple(panel["gridPos"].values()) for panel in page["panels"]]
        chosen = {each["name"] for each in page["templating"]["list"]}

        assert len({panel["id"] for panel in page["panels"]}) == len(places) == len({*places})
        assert all(x + width <= 24 for x, _, width, _ in places)
        assert "source" in chosen
        assert all(panel["datasource"]["uid"] == "${source}" for panel in page["panels"])


def test_a_panel_of_durations_shows_traces() -> None:
    """Grafana asks for the exemplars of histograms, and of nothing else."""
    asked = {
        target["expr"]: target["exemplar"]
        for _, text in dashboards.files()
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    }
    durations = {expr for expr in asked if "histogram_quantile" in expr}

    assert durations
    assert {expr for expr, exemplar in asked.items() if exemplar} == durations


def test_each_alert_is_tried_both_ways() -> None:
    """Promtool's tests have for each alert a course that makes it fire and one that does not."""
    tests = yaml.safe_load(alerts.TESTS.read_text())["tests"]
    tried = [
        (check["alertname"], bool(check["exp_alerts"]))
        for test in tests
        for check in test["alert_rule_test"]
    ]
    rules = yaml.safe_load(alerts.RULES.read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules if "alert" in rule]

    assert len(names) == len({*names}) == len(alerts.every_alert())
    assert sorted(tried) == sorted((name, fires) for name in names for fires in (True, False))


def test_prometheus_takes_the_rules(promtool: Callable[..., str]) -> None:
    """Promtool finds nothing wrong in the rules and in Compose's file."""
    assert "SUCCESS" in promtool("check", "rules", alerts.RULES)
    assert "SUCCESS" in promtool("check", "config", scraping.COMPOSE)


def test_each_alert_fires_and_is_quiet(promtool: Callable[..., str]) -> None:
    """Promtool's own tests pass: each alert fires where it should, and only there."""
    assert "SUCCESS" in promtool("test", "rules", alerts.TESTS)


def test_the_tests_of_alerts_can_fail(promtool: Callable[..., str], tmp_path: Path) -> None:
    """Rules with another threshold do not pass them."""
    rules = alerts.RULES.read_text()
    assert rules.count("model_psi > 0.25") == 1
    (tmp_path / alerts.RULES.name).write_text(rules.replace("> 0.25", "> 0.1"))
    (tmp_path / alerts.TESTS.name).write_text(alerts.TESTS.read_text())

    with pytest.raises(subprocess.CalledProcessError) as failed:
        promtool("test", "rules", tmp_path / alerts.TESTS.name)

    assert "ModelDrifts is quiet" in failed.value.output


def test_the_table_of_what_to_watch_names_each_alert() -> None:
    """Who gets an alert finds its name, and what to do, in docs/operations.md."""
    table = (ROOT / "docs" / "operations.md").read_text().partition("## What to watch")[2]
    named = set(re.findall(r"`([A-Z]\w+[a-z])`", table.partition("\n## ")[0]))

    assert named == {each.name for each in alerts.every_alert()}


def test_make_writes_nothing_new() -> None:
    """`make observe-files` leaves the files as they are committed."""
    before = {file: file.stat().st_mtime_ns for file in written.files(found())}
    subprocess.run(["make", "--silent", "observe-files"], cwd=ROOT, check=True)

    assert {file: file.stat().st_mtime_ns for file in before} == before
