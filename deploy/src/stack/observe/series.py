"""The series that services export, and the check that a query names no other.

A query is PromQL. The names in it are looked up in the families that define the metrics, so that a
metric or label which was renamed there ends the writing of dashboards and alerts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.control.form import BUILD
from gateway.telemetry import metrics as gateway
from model_service import batcher, drift, feedback
from service_kit import MetricFamily, edge, health, logs, problem, stages, thread_pool, tracing

FAMILIES: tuple[MetricFamily, ...] = (
    *(*gateway.FAMILIES, BUILD),
    *(*health.FAMILIES, *thread_pool.FAMILIES, edge.REQUESTS, stages.STAGES),
    *(problem.PROBLEMS, logs.DROPPED, tracing.DROPPED),
    *(*batcher.FAMILIES, *drift.FAMILIES, feedback.FEEDBACK),
)
"""Every metric that our services export, beside those of the Python process."""
OF_A_SCRAPE = frozenset({"job", "instance"})
"""Labels that Prometheus adds to each series that it scrapes.

A label that the service itself gave under such a name begins with `exported_` there.
"""

_TEXT = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+) *(?:=~|!~|!=|=)")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*(?! *\()\b")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "group_left", "group_right"})


class UnknownSeriesError(ValueError):
    """A query names a series or a label that nothing exports; the message has both."""


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """Series by their names, each with its labels; those of the services if none are given."""

    labels: Mapping[str, frozenset[str]] = field(default_factory=lambda: _labels(FAMILIES))

    @classmethod
    def of(cls, families: Iterable[MetricFamily]) -> "KnownSeries":
        """Return the series of some families."""
        return cls(_labels(families))

    def recorded(self, names: Iterable[str], labels: Iterable[str]) -> "KnownSeries":
        """Return these series and those that rules record under names, with labels."""
        return KnownSeries({**self.labels, **dict.fromkeys(names, frozenset(labels))})

    def check(self, expression: str) -> str:
        """Return a query that names known series and their labels only.

        Raises:
            UnknownSeriesError: it names others.
        """
        text = _TEXT.sub('""', expression)
        for name, matchers in _SELECTOR.findall(text):
            wanted = set(_MATCHER.findall(matchers))
            if unknown := wanted - self._labels_of(name, expression):
                raise UnknownSeriesError(f"{name} has no label {unknown}: {expression}")
        text = _RANGE.sub("", _SELECTOR.sub(r"\1", text))
        groups = {each.strip() for found in _GROUPING.findall(text) for each in found.split(",")}
        names = set(_NAME.findall(_GROUPING.sub("", text))) - _WORDS
        known = {label for name in names for label in self._labels_of(name, expression)}
        if unknown := groups - known - {""}:
            raise UnknownSeriesError(f"nothing has the label {unknown} in {expression}")
        return expression

    def _labels_of(self, name: str, expression: str) -> frozenset[str]:
        if name not in self.labels:
            raise UnknownSeriesError(f"nothing exports {name}: {expression}")
        return self.labels[name]


def _labels(families: Iterable[MetricFamily]) -> dict[str, frozenset[str]]:
    return {"up": OF_A_SCRAPE} | {
        name: OF_A_SCRAPE | _scraped(family) | ({"le"} if name.endswith("_bucket") else set())
        for family in families
        for name in family.series
    }


def _scraped(family: MetricFamily) -> set[str]:
    return {f"exported_{label}" if label in OF_A_SCRAPE else label for label in family.labels}
