"""The alerts, each with a course of its series that makes it fire and one that does not.

Goals are judged by how fast their error budget burns, in two windows at a time: the long one says
that much is lost, the short one that it goes on (Beyer et al., The Site Reliability Workbook, 2018,
chapter 5, "Multiwindow, Multi-Burn-Rate Alerts").
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from stack.observe import FOLDER
from stack.observe.series import KnownSeries

RULES = FOLDER / "rules.yml"
TESTS = FOLDER / "rules_test.yml"
HEAD = "# Written by `make observe-files` from deploy/src/stack/observe/alerts.py.\n"
MINUTES = 10
"""Minutes from the beginning of an alert's course to the moment at which it is judged."""
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")

Course = Mapping[str, str]
"""Values of series, one a minute, in promtool's notation: `1+2x3` is 1 3 5 7."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and its two tests.

    Attributes:
        name: of the alert.
        expression: PromQL; the alert fires while it has results.
        lasts: the time for which it must have had results before.
        severity: `page` wakes a person, for callers notice; `ticket` waits for the morning.
        summary: what is so; may name labels of the result.
        action: what to do.
        labels: of the alert that `fires` makes.
        fires: a course that makes it fire.
        quiet: a course that does not.
        minutes: the length of both.
    """

    name: str
    expression: str
    lasts: str
    severity: Literal["page", "ticket"]
    summary: str
    action: str
    labels: Mapping[str, str]
    fires: Course
    quiet: Course
    minutes: int = MINUTES


@dataclass(frozen=True, slots=True)
class Goal:
    """A service level objective over 30 days.

    Attributes:
        name: of its series and alerts.
        budget: the share of requests that may be bad.
        bad: PromQL of the share that was bad in `{window}`, by service.
        meaning: of bad, in words.
        counts: the series of a service, each with the requests that it counts.
    """

    name: str
    budget: float
    bad: str
    meaning: str
    counts: Mapping[str, Literal["good", "bad", "all"]]


@dataclass(frozen=True, slots=True)
class Burn:
    """Two pairs of windows and the rates of burning that are too fast in them.

    Attributes:
        severity: of the alert.
        pairs: a long window, a short one, and how many times as fast as allowed.
    """

    severity: Literal["page", "ticket"]
    pairs: Sequence[tuple[str, str, float]]


BURNS: Final = (
    Burn("page", (("1h", "5m", 14.4), ("6h", "30m", 6))),
    Burn("ticket", (("1d", "2h", 3), ("3d", "6h", 1))),
)
"""The windows and rates that the workbook recommends."""
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

AVAILABILITY: Final = Goal(
    "errors",
    0.001,
    'sum by (service) (rate(gateway_requests_total{{status="5xx"}}[{window}])'
    " or 0 * rate(gateway_requests_total[{window}]))"
    " / sum by (service) (rate(gateway_requests_total[{window}]))",
    "answered 5xx",
    {
        'gateway_requests_total{service="cars",status="2xx"}': "good",
        'gateway_requests_total{service="cars",status="5xx"}': "bad",
    },
)
SLOW_SECONDS: Final = "1.0"
"""A bound of the gateway's histogram: a request that takes longer is slow."""
LATENCY: Final = Goal(
    "slow",
    0.01,
    f'1 - sum by (service) (rate(gateway_request_seconds_bucket{{{{le="{SLOW_SECONDS}"}}}}'
    "[{window}])) / sum by (service) (rate(gateway_request_seconds_count[{window}]))",
    f"answered later than after {float(SLOW_SECONDS):g} s",
    {
        f'gateway_request_seconds_bucket{{service="cars",le="{SLOW_SECONDS}"}}': "good",
        'gateway_request_seconds_count{service="cars"}': "all",
    },
)
GOALS: Final = (AVAILABILITY, LATENCY)


def recorded(goal: Goal, window: str) -> str:
    """Return the name of the series with the bad share of a goal in a window."""
    return f"service:gateway_{goal.name}:ratio_rate{window}"


def course(goal: Goal, *phases: tuple[int, float]) -> Course:
    """Return the series of a service with 10,000 requests a minute, in phases.

    Args:
        goal: says which series count what.
        phases: minutes, and the share of requests that is bad in them.
    """
    courses = {}
    for series, counted in goal.counts.items():
        total, parts = 0.0, []
        for minutes, bad in phases:
            step = round(10_000 * {"good": 1 - bad, "bad": bad, "all": 1}[counted], 3)
            parts.append(f"{total + step:g}+{step:g}x{minutes - 1}")
            total += step * minutes
        courses[series] = " ".join(parts)
    return courses


def burning(goal: Goal, burn: Burn) -> Alert:
    """Return the alert for a budget that burns too fast.

    Its course burns in two windows; the other one has burnt and is over, so that the long windows
    alone still say so.
    """
    pairs = [
        f"({recorded(goal, long)} > {rate:g} * {goal.budget:g}"
        f" and {recorded(goal, short)} > {rate:g} * {goal.budget:g})"
        for long, short, rate in burn.pairs
    ]
    fast = burn.pairs[0][2] * goal.budget * 1.2
    is_page = burn.severity == "page"
    return Alert(
        f"Gateway{goal.name.capitalize()}{'Fast' if is_page else 'Slowly'}",
        " or ".join(pairs),
        "0m",
        burn.severity,
        f"Too many requests to {{{{ $labels.service }}}} are {goal.meaning}.",
        f"At this rate the month's {goal.budget:.1%} is spent"
        f" {'in days' if is_page else 'before the month ends'}; see the dashboard Gateway for the"
        " instances and outcomes.",
        {"service": "cars"},
        course(goal, (120, fast)),
        course(goal, (60, fast), (60, 0)) if is_page else course(goal, (120, goal.budget / 2)),
        120,
    )


PART = 'service_state_ok{{job="cars",instance="a:1",part="{}"}}'
FEEDBACK = 'model_feedback_total{{job="cars",model_version="1.0.0",label="acc",result="{}"}}'
EJECTED = 'gateway_instance_ejected{instance="g:1",service="cars",exported_instance="a:1"}'
ALERTS: Final = (
    Alert(
        "InstanceNotScraped",
        "up == 0",
        "1m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} does not answer /metrics.",
        "Look at its log; the other instances serve meanwhile.",
        {"job": "cars", "instance": "a:1"},
        {'up{job="cars",instance="a:1"}': "1 0+0x20"},
        {'up{job="cars",instance="a:1"}': "1 1 1 1 1 1 1 1 1 1 0"},
    ),
    Alert(
        "NoInstanceReady",
        "sum by (job) (service_ready) == 0 or sum by (job) (up) == 0",
        "1m",
        "page",
        "No instance of {{ $labels.job }} serves.",
        "Start one, or read in /readyz why those that run are not ready.",
        {"job": "cars"},
        {
            'service_ready{job="cars",instance="a:1"}': "1 0+0x20",
            'service_ready{job="cars",instance="b:1"}': "1 0+0x20",
        },
        {
            'service_ready{job="cars",instance="a:1"}': "1 0+0x20",
            'service_ready{job="cars",instance="b:1"}': "1+0x20",
        },
    ),
    Alert(
        "InstanceNotReady",
        "service_ready == 0",
        "1m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} does not want requests.",
        "Its /readyz names the check.",
        {"job": "cars", "instance": "a:1"},
        {'service_ready{job="cars",instance="a:1"}': "1 0+0x20"},
        {'service_ready{job="cars",instance="a:1"}': "0 0 1+0x20"},
    ),
    Alert(
        "AnnouncementNotShown",
        'service_state_ok{part=~"announcement.*"} == 0',
        "30s",
        "ticket",
        "Callers do not see {{ $labels.instance }} of {{ $labels.job }}.",
        "Its /readyz says what Nacos shows instead.",
        {"job": "cars", "instance": "a:1", "part": "announcement cars"},
        {PART.format("announcement cars"): "1 0+0x20"},
        {PART.format("announcement cars"): "0 0 1+0x20"},
    ),
    Alert(
        "NacosAway",
        'service_state_ok{part="nacos"} == 0',
        "1m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} does not reach Nacos.",
        "Callers notice nothing; delay deploys, and mend Nacos or the way to it.",
        {"job": "cars", "instance": "a:1", "part": "nacos"},
        {PART.format("nacos"): "1 0+0x20"},
        {PART.format("nacos"): "0 0 1+0x20", PART.format("config cars"): "0+0x20"},
    ),
    Alert(
        "NacosPartNotFollowed",
        'service_state_ok{part=~"(config|discovery).*"} == 0',
        "1m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} does not follow {{ $labels.part }}.",
        "`trouble` in its /readyz says why; with a 403 its user lacks a permission.",
        {"job": "cars", "instance": "a:1", "part": "config cars"},
        {PART.format("config cars"): "1 0+0x20"},
        {PART.format("config cars"): "0 0 1+0x20", PART.format("nacos"): "0+0x20"},
    ),
    Alert(
        "DocumentRefused",
        "config_rejected == 1",
        "0m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} keeps the newest {{ $labels.part }} out.",
        "Its /readyz has the reason; the previous one is in force until a good one is published.",
        {"job": "cars", "instance": "a:1", "part": "config cars"},
        {'config_rejected{job="cars",instance="a:1",part="config cars"}': "0 1+0x20"},
        {'config_rejected{job="cars",instance="a:1",part="config cars"}': "1 1 0+0x20"},
    ),
    Alert(
        "AnnouncedAddressDoubtful",
        "announcement_warning == 1",
        "1m",
        "ticket",
        "Callers may not reach the announced address of {{ $labels.instance }}.",
        "`warning` in its /readyz has the reason; set HOST or ADVERTISE_IP.",
        {"job": "cars", "instance": "a:1", "part": "announcement cars"},
        {'announcement_warning{job="cars",instance="a:1",part="announcement cars"}': "0 1+0x20"},
        {'announcement_warning{job="cars",instance="a:1",part="announcement cars"}': "1 0+0x20"},
    ),
    Alert(
        "DiscoveryOld",
        "gateway_discovery_age_seconds > 60",
        "0m",
        "ticket",
        "The gateway routes to {{ $labels.service }} by what it last knew.",
        "Nacos has not vouched for the instances for a minute: look at Nacos.",
        {"job": "gateway", "instance": "g:1", "service": "cars"},
        {'gateway_discovery_age_seconds{job="gateway",instance="g:1",service="cars"}': "1+60x20"},
        {'gateway_discovery_age_seconds{job="gateway",instance="g:1",service="cars"}': "59+0x20"},
    ),
    Alert(
        "InstanceEjected",
        "max by (service, exported_instance) (gateway_instance_ejected) == 1",
        "5m",
        "ticket",
        "{{ $labels.exported_instance }} fails the callers of {{ $labels.service }}.",
        "Nacos calls it healthy: see `gateway_attempts_total` for how it fails, then restart it.",
        {"service": "cars", "exported_instance": "a:1"},
        {EJECTED: "0 1+0x20"},
        {EJECTED: "0 0 0 0 0 0 1+0x20"},
    ),
    Alert(
        "HedgesWin",
        'sum by (service) (rate(gateway_hedges_total{result="won"}[10m]))'
        " / sum by (service) (rate(gateway_requests_total[10m])) > 0.05",
        "5m",
        "ticket",
        "One in twenty requests to {{ $labels.service }} is answered by a second attempt.",
        "An instance is slow or frozen: compare the instances' times in the dashboard Gateway.",
        {"service": "cars"},
        {
            'gateway_hedges_total{service="cars",result="won"}': "0+10x20",
            'gateway_requests_total{service="cars"}': "0+100x20",
        },
        {
            'gateway_hedges_total{service="cars",result="won"}': "0+1x20",
            'gateway_requests_total{service="cars"}': "0+100x20",
        },
    ),
    Alert(
        "RetryBudgetSpent",
        'sum by (service) (increase(gateway_stops_total{reason="budget-exhausted"}[5m])) > 0',
        "0m",
        "ticket",
        "Failed requests to {{ $labels.service }} are no longer tried again.",
        "So many fail that retries would add to the load: look at the instances.",
        {"service": "cars"},
        {'gateway_stops_total{service="cars",reason="budget-exhausted"}': "0+1x20"},
        {'gateway_stops_total{service="cars",reason="budget-exhausted"}': "9+0x20"},
    ),
    Alert(
        "ConnectionsRefused",
        "increase(gateway_refused_connections_total[5m]) > 0",
        "0m",
        "ticket",
        "{{ $labels.instance }} refuses connections over its limit.",
        "Raise GATEWAY_MAX_CONNECTIONS and the open-file limit, or start another gateway.",
        {"job": "gateway", "instance": "g:1"},
        {'gateway_refused_connections_total{job="gateway",instance="g:1"}': "0+1x20"},
        {'gateway_refused_connections_total{job="gateway",instance="g:1"}': "9+0x20"},
    ),
    Alert(
        "LogLinesLost",
        "increase(log_events_dropped_total[5m]) > 0"
        " or increase(gateway_access_log_dropped_total[5m]) > 0",
        "0m",
        "ticket",
        "{{ $labels.instance }} of {{ $labels.job }} loses lines of its log.",
        "Standard output is not read fast enough.",
        {"job": "cars", "instance": "a:1"},
        {'log_events_dropped_total{job="cars",instance="a:1"}': "0+1x20"},
        {'log_events_dropped_total{job="cars",instance="a:1"}': "9+0x20"},
    ),
    Alert(
        "ServiceOverloaded",
        'sum by (job) (rate(http_problems_total{type="overloaded"}[5m])) > 0',
        "5m",
        "page",
        "{{ $labels.job }} has refused requests for five minutes because its queue is full.",
        "Start more instances; `worker_wait_seconds` and `model_queue_seconds` tell load from"
        " slow work.",
        {"job": "cars"},
        {'http_problems_total{job="cars",type="overloaded",status="503"}': "0+5x20"},
        {'http_problems_total{job="cars",type="overloaded",status="503"}': "0 0 0 0 0 0 0 5+0x20"},
    ),
    Alert(
        "ModelFails",
        'sum by (job, type) (increase(http_problems_total{type=~"internal|wrong-answer"}[5m])) > 0',
        "0m",
        "ticket",
        "{{ $labels.job }} answers 500 ({{ $labels.type }}).",
        "Its log has the traceback, with the request's id.",
        {"job": "cars", "type": "wrong-answer"},
        {'http_problems_total{job="cars",type="wrong-answer",status="500"}': "0+1x20"},
        {'http_problems_total{job="cars",type="invalid-json",status="400"}': "0+1x20"},
    ),
    Alert(
        "InputsRefused",
        'sum by (job) (rate(http_problems_total{status=~"400|413|415|422"}[15m]))'
        ' / sum by (job) (rate(http_request_duration_seconds_count{method="POST"}[15m])) > 0.1',
        "15m",
        "ticket",
        "{{ $labels.job }} refuses more than a tenth of what callers send.",
        "The dashboard Model service has the reasons; ask the callers what they changed.",
        {"job": "cars"},
        {
            'http_problems_total{job="cars",type="invalid-rows",status="422"}': "0+20x40",
            'http_request_duration_seconds_count{job="cars",method="POST"}': "0+100x40",
        },
        {
            'http_problems_total{job="cars",type="invalid-rows",status="422"}': "0+5x40",
            'http_request_duration_seconds_count{job="cars",method="POST"}': "0+100x40",
        },
        minutes=30,
    ),
    Alert(
        "ModelDrifts",
        "model_psi > 0.25",
        "30m",
        "ticket",
        "What {{ $labels.instance }} of {{ $labels.job }} meets is not what its model learnt from:"
        " {{ $labels.of }}.",
        "Compare the shares in the dashboard Model service with the training data; see whether"
        " callers or the world changed, and train again if the world did.",
        {"job": "cars", "instance": "a:1", "of": "safety"},
        {'model_psi{job="cars",instance="a:1",of="safety"}': "0.3+0x60"},
        {'model_psi{job="cars",instance="a:1",of="safety"}': "0.2+0x60"},
        minutes=45,
    ),
    Alert(
        "ModelOftenWrong",
        'sum by (job, model_version) (increase(model_feedback_total{result="wrong"}[1d]))'
        " / sum by (job, model_version) (increase(model_feedback_total[1d])) > 0.1"
        " and sum by (job, model_version) (increase(model_feedback_total[1d])) >= 100",
        "0m",
        "ticket",
        "More than a tenth of the answers of {{ $labels.job }} {{ $labels.model_version }} turned"
        " out wrong.",
        "Compare with the accuracy on the model's card, by class; train again with the feedback.",
        {"job": "cars", "model_version": "1.0.0"},
        {
            FEEDBACK.format("right"): "0+80x20",
            FEEDBACK.format("wrong"): "0+20x20",
        },
        {
            FEEDBACK.format("right"): "0+4x20",
            FEEDBACK.format("wrong"): "0+4x20",
        },
    ),
    Alert(
        "ShadowDisagrees",
        'sum by (route) (increase(gateway_shadow_total{result="differed"}[15m]))'
        ' / sum by (route) (increase(gateway_shadow_total{result=~"agreed|differed"}[15m])) > 0.05',
        "5m",
        "ticket",
        "The shadow of {{ $labels.route }} answers more than one in twenty requests otherwise.",
        "Compare answers of both versions to the same input before you promote the new one.",
        {"route": "cars"},
        {
            'gateway_shadow_total{route="cars",result="agreed"}': "0+90x20",
            'gateway_shadow_total{route="cars",result="differed"}': "0+10x20",
        },
        {
            'gateway_shadow_total{route="cars",result="agreed"}': "0+99x20",
            'gateway_shadow_total{route="cars",result="differed"}': "0+1x20",
            'gateway_shadow_total{route="cars",result="failed"}': "0+50x20",
        },
    ),
)
"""The alerts beside those of the goals."""


def every_alert() -> tuple[Alert, ...]:
    """Return the alerts of the goals and the others."""
    return (*(burning(goal, burn) for goal in GOALS for burn in BURNS), *ALERTS)


def known_series() -> KnownSeries:
    """Return the series of the services and those that the rules record."""
    names = [recorded(goal, window) for goal in GOALS for window in WINDOWS]
    return KnownSeries().recorded(names, {"service"})


def files() -> Iterator[tuple[Path, str]]:
    """Yield the rules and promtool's tests of them, each with its text."""
    known = known_series()
    recording = [
        {"record": recorded(goal, each), "expr": known.check(goal.bad.format(window=each))}
        for goal in GOALS
        for each in WINDOWS
    ]
    alerting = [_rule(each, known) for each in every_alert()]
    rules = {"groups": [{"name": "modelserve", "rules": [*recording, *alerting]}]}
    tests = [test for each in every_alert() for test in _tests(each)]
    yield RULES, HEAD + _yaml(rules)
    yield (
        TESTS,
        HEAD + _yaml({"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": tests}),
    )


def _rule(alert: Alert, known: KnownSeries) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": known.check(alert.expression),
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "action": alert.action},
    }


def _tests(alert: Alert) -> Iterator[dict[str, Any]]:
    said = {
        "exp_labels": {"severity": alert.severity, **alert.labels},
        "exp_annotations": {
            "summary": _LABEL.sub(lambda found: alert.labels[found[1]], alert.summary),
            "action": alert.action,
        },
    }
    for name, given, expected in (("fires", alert.fires, [said]), ("is quiet", alert.quiet, [])):
        yield {
            "name": f"{alert.name} {name}",
            "interval": "1m",
            "input_series": [{"series": s, "values": values} for s, values in given.items()],
            "alert_rule_test": [
                {
                    "eval_time": f"{alert.minutes}m",
                    "alertname": alert.name,
                    "exp_alerts": expected,
                }
            ],
        }


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
