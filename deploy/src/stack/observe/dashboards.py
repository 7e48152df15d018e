"""Grafana's dashboards: the gateway, a model service, and what Nacos shows to each process."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stack.observe import FOLDER
from stack.observe.alerts import AVAILABILITY, LATENCY, known_series, recorded

DASHBOARDS = FOLDER / "grafana" / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
COLUMNS, WIDTH, HEIGHT = 24, 8, 8
"""Columns of Grafana's grid, and the size of a panel in its cells."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing of some queries over time.

    Attributes:
        title: of the panel.
        unit: of its values, in Grafana's words.
        queries: PromQL by the legend of its lines; a legend may name labels.
    """

    title: str
    unit: str
    queries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels.

    Attributes:
        name: of its file, and its id in Grafana.
        title: for people.
        choices: the labels by which a person narrows it down, each with the series that has it.
        panels: in the order in which they are read.
    """

    name: str
    title: str
    choices: Mapping[str, str]
    panels: Sequence[Panel]


def _share(part: str, whole: str, by: str) -> str:
    """Return PromQL of a part's share in a whole, which is 0 where there is no part."""
    return (
        f"sum by ({by}) (rate({part}[$__rate_interval]) or 0 * rate({whole}[$__rate_interval]))"
        f" / sum by ({by}) (rate({whole}[$__rate_interval]))"
    )


def _quantile(share: float, histogram: str, by: str) -> str:
    """Return PromQL of a quantile of a histogram, given with its matchers."""
    name, _, matchers = histogram.partition("{")
    return (
        f"histogram_quantile({share:g}, sum by ({by}, le)"
        f" (rate({name}_bucket{{{matchers}[$__rate_interval])))"
    )


def _mean(histogram: str, by: str) -> str:
    """Return PromQL of the mean of a histogram, given with its matchers."""
    name, _, matchers = histogram.partition("{")
    total, count = (
        f"sum by ({by}) (rate({name}_{end}{{{matchers}[$__rate_interval]))"
        for end in ("sum", "count")
    )
    return f"{total} / {count}"


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


GATEWAY: Final = Dashboard(
    "gateway",
    "Gateway",
    {"service": "gateway_requests_total"},
    (
        Panel(
            "Requests",
            "reqps",
            {"{{service}}": _rate('gateway_requests_total{service=~"$service"}', "service")},
        ),
        Panel(
            "Share answered 5xx",
            "percentunit",
            {
                "{{service}}": _share(
                    'gateway_requests_total{service=~"$service",status="5xx"}',
                    'gateway_requests_total{service=~"$service"}',
                    "service",
                )
            },
        ),
        Panel(
            "Time to answer",
            "s",
            {
                f"{{{{service}}}} p{share * 100:g}": _quantile(
                    share, 'gateway_request_seconds{service=~"$service"}', "service"
                )
                for share in (0.5, 0.99)
            },
        ),
        Panel(
            "Error budget: times as fast as allowed, last hour",
            "none",
            {
                f"{{{{service}}}} {goal.name}": f'{recorded(goal, "1h")}{{service=~"$service"}}'
                f" / {goal.budget:g}"
                for goal in (AVAILABILITY, LATENCY)
            },
        ),
        Panel(
            "Answers by status and result",
            "reqps",
            {
                "{{status}} {{result}}": _rate(
                    'gateway_requests_total{service=~"$service"}', "status, result"
                )
            },
        ),
        Panel(
            "Attempts by outcome",
            "reqps",
            {"{{outcome}}": _rate('gateway_attempts_total{service=~"$service"}', "outcome")},
        ),
        Panel(
            "Attempts by instance",
            "reqps",
            {
                "{{service}} {{exported_instance}}": _rate(
                    'gateway_attempts_total{service=~"$service"}', "service, exported_instance"
                )
            },
        ),
        Panel(
            "Peak average time of an instance",
            "s",
            {
                "{{service}} {{exported_instance}}": "max by (service, exported_instance)"
                ' (gateway_ewma_seconds{service=~"$service"})'
            },
        ),
        Panel(
            "Under way at an instance",
            "none",
            {
                "{{service}} {{exported_instance}}": "sum by (service, exported_instance)"
                ' (gateway_in_flight{service=~"$service"})'
            },
        ),
        Panel(
            "Instances, and those that are ejected",
            "none",
            {
                "{{service}}": 'count by (service) (gateway_instance_ejected{service=~"$service"})',
                "{{service}} ejected": "sum by (service)"
                ' (gateway_instance_ejected{service=~"$service"})',
            },
        ),
        Panel(
            "Ejections in an hour, by cause",
            "none",
            {
                "{{service}} {{cause}}": "sum by (service, cause)"
                ' (increase(gateway_ejections_total{service=~"$service"}[1h]))'
            },
        ),
        Panel(
            "Retries that are left",
            "none",
            {
                "{{service}}": 'min by (service) (gateway_retry_budget{service=~"$service"})',
            },
        ),
        Panel(
            "Failed and not tried again, by reason",
            "reqps",
            {
                "{{service}} {{reason}}": _rate(
                    'gateway_stops_total{service=~"$service"}', "service, reason"
                )
            },
        ),
        Panel(
            "Second attempts beside a slow first, by result",
            "reqps",
            {
                "{{service}} {{result}}": _rate(
                    'gateway_hedges_total{service=~"$service"}', "service, result"
                )
            },
        ),
        Panel(
            "Copies to a shadow, by result",
            "reqps",
            {"{{route}} {{result}}": _rate("gateway_shadow_total", "route, result")},
        ),
        Panel(
            "Share of copies that a shadow answers otherwise",
            "percentunit",
            {
                "{{route}}": _share(
                    'gateway_shadow_total{result="differed"}',
                    'gateway_shadow_total{result=~"agreed|differed"}',
                    "route",
                )
            },
        ),
        Panel(
            "Connections",
            "none",
            {
                "clients": "sum(gateway_client_connections)",
                "instances {{state}}": "sum by (state)"
                ' (gateway_pool_connections{service=~"$service"})',
                "requests under way": "sum(gateway_exchanges)",
            },
        ),
        Panel(
            "Connections refused, log lines lost",
            "cps",
            {
                "refused by {{instance}}": _rate("gateway_refused_connections_total", "instance"),
                "lost by {{instance}}": _rate("gateway_access_log_dropped_total", "instance"),
            },
        ),
        Panel(
            "Gateways by version and form",
            "none",
            {"{{version}} {{form}}": "count by (version, form) (gateway_build_info)"},
        ),
    ),
)
MODEL: Final = Dashboard(
    "model-service",
    "Model service",
    {"job": "service_ready"},
    (
        Panel(
            "Requests",
            "reqps",
            {
                "{{job}} {{route}} {{status}}": _rate(
                    'http_request_duration_seconds_count{job=~"$job"}', "job, route, status"
                )
            },
        ),
        Panel(
            "Time to answer by the model's version",
            "s",
            {
                f"{{{{job}}}} {{{{model_version}}}} p{share * 100:g}": _quantile(
                    share,
                    'http_request_duration_seconds{job=~"$job",method="POST"}',
                    "job, model_version",
                )
                for share in (0.5, 0.99)
            },
        ),
        Panel(
            "Instances that want requests",
            "none",
            {"{{job}}": 'sum by (job) (service_ready{job=~"$job"})'},
        ),
        Panel(
            "Share refused, by reason",
            "percentunit",
            {
                "{{job}} {{type}}": 'sum by (job, type) (rate(http_problems_total{job=~"$job",'
                'status=~"4.."}[$__rate_interval])) / on (job) group_left'
                ' sum by (job) (rate(http_request_duration_seconds_count{job=~"$job",'
                'method="POST"}[$__rate_interval]))'
            },
        ),
        Panel(
            "Refused or failed, by reason",
            "reqps",
            {
                "{{job}} {{status}} {{type}}": _rate(
                    'http_problems_total{job=~"$job"}', "job, status, type"
                )
            },
        ),
        Panel(
            "Drift from the training data (0.25: look into it)",
            "none",
            {"{{job}} {{of}}": 'max by (job, of) (model_psi{job=~"$job"})'},
        ),
        Panel(
            "Share of each class in the answers",
            "percentunit",
            {
                "{{job}} {{model_version}} {{label}}": "sum by (job, model_version, label)"
                ' (rate(model_predictions_total{job=~"$job"}[$__rate_interval]))'
                " / on (job, model_version) group_left sum by (job, model_version)"
                ' (rate(model_predictions_total{job=~"$job"}[$__rate_interval]))'
            },
        ),
        Panel(
            "Share of answers that turned out right, of a day's feedback",
            "percentunit",
            {
                "{{job}} {{model_version}}": "sum by (job, model_version)"
                ' (increase(model_feedback_total{job=~"$job",result="right"}[1d]))'
                " / sum by (job, model_version)"
                ' (increase(model_feedback_total{job=~"$job"}[1d]))'
            },
        ),
        Panel(
            "Values of the features",
            "reqps",
            {
                "{{feature}} {{value}}": _rate(
                    'model_input_values_total{job=~"$job"}', "job, feature, value"
                )
            },
        ),
        Panel(
            "Stages of an answer, 99 of 100 within",
            "s",
            {
                "{{job}} {{stage}}": _quantile(
                    0.99, 'model_stage_seconds{job=~"$job"}', "job, stage"
                )
            },
        ),
        Panel(
            "Rows of a run, mean",
            "none",
            {"{{job}}": _mean('model_batch_rows{job=~"$job"}', "job")},
        ),
        Panel(
            "Time of a run and of the wait before it, mean",
            "s",
            {
                "{{job}} run": _mean('model_batch_seconds{job=~"$job"}', "job"),
                "{{job}} wait": _mean('model_queue_seconds{job=~"$job"}', "job"),
            },
        ),
        Panel(
            "Rows and calls that wait",
            "none",
            {
                "{{job}} rows": 'sum by (job) (model_queued_rows{job=~"$job"})',
                "{{job}} calls {{pool}}": 'sum by (job, pool) (worker_queue_depth{job=~"$job"})',
            },
        ),
        Panel(
            "Time of a call in a thread and of the wait before it, mean",
            "s",
            {
                "{{job}} {{pool}} run": _mean('worker_run_seconds{job=~"$job"}', "job, pool"),
                "{{job}} {{pool}} wait": _mean('worker_wait_seconds{job=~"$job"}', "job, pool"),
            },
        ),
        Panel(
            "Log lines and spans lost",
            "cps",
            {
                "{{job}} lines": _rate('log_events_dropped_total{job=~"$job"}', "job"),
                "{{job}} spans": _rate('trace_spans_dropped_total{job=~"$job"}', "job"),
            },
        ),
    ),
)
NACOS: Final = Dashboard(
    "nacos-client",
    "Nacos client",
    {"job": "service_ready"},
    (
        Panel(
            "Processes that reach Nacos",
            "none",
            {"{{job}}": 'sum by (job) (service_state_ok{job=~"$job",part="nacos"})'},
        ),
        Panel(
            "Processes that do not",
            "none",
            {
                "{{job}} {{instance}}": "1 - max by (job, instance)"
                ' (service_state_ok{job=~"$job",part="nacos"})'
            },
        ),
        Panel(
            "Instances that callers see",
            "none",
            {"{{part}}": 'sum by (part) (service_state_ok{job=~"$job",part=~"announcement.*"})'},
        ),
        Panel(
            "Documents and lists that are not followed",
            "none",
            {
                "{{job}} {{part}}": "sum by (job, part) (1 - service_state_ok"
                '{job=~"$job",part=~"(config|discovery).*"})'
            },
        ),
        Panel(
            "Documents kept out",
            "none",
            {"{{job}} {{part}}": 'sum by (job, part) (config_rejected{job=~"$job"})'},
        ),
        Panel(
            "Documents in force: processes by version",
            "none",
            {
                "{{part}} {{version}} from {{source}}": "count by (part, version, source)"
                ' (config_info{job=~"$job"})'
            },
        ),
        Panel(
            "Announced addresses that callers may not reach",
            "none",
            {"{{job}} {{part}}": 'sum by (job, part) (announcement_warning{job=~"$job"})'},
        ),
        Panel(
            "Age of the gateway's list of instances",
            "s",
            {"{{service}}": "max by (service) (gateway_discovery_age_seconds)"},
        ),
    ),
)
EVERY: Final = (GATEWAY, MODEL, NACOS)


def files() -> Iterator[tuple[Path, str]]:
    """Yield each dashboard's file, with its text."""
    for each in EVERY:
        page = json.dumps(page_of(each), indent=1, ensure_ascii=False)
        yield DASHBOARDS / f"{each.name}.json", page + "\n"


def page_of(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": f"modelserve-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["modelserve"],
        "schemaVersion": 39,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [_source(), *(_choice(*each) for each in dashboard.choices.items())]
        },
        "panels": [_panel(at, panel) for at, panel in enumerate(dashboard.panels)],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _choice(label: str, series: str) -> dict[str, Any]:
    known_series().check(f'{series}{{{label}=""}}')
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({series}, {label})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(at: int, panel: Panel) -> dict[str, Any]:
    known = known_series()
    row, column = divmod(at, COLUMNS // WIDTH)
    return {
        "id": at + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": known.check(expr),
                "legendFormat": legend,
                "exemplar": "_bucket{" in expr,  # a duration leads to the trace of a request
            }
            for number, (legend, expr) in enumerate(panel.queries.items())
        ],
    }
