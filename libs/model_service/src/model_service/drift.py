"""The distance of what arrives from a reference sample: the population stability index (PSI).

PSI = sum of (p - q) * ln(p / q) over the values of a feature; p is a value's share of the requests,
q its share of the reference. By custom an index below 0.1 means nothing, and one above 0.25 is to
be looked into (Siddiqi, Credit Risk Scorecards, 2006).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from service_kit import MetricFamily

WINDOW_ROWS = 20_000
"""Counted rows at which all counts are halved, so that the index forgets old requests."""
LEAST_ROWS = 500
"""Counted rows below which there is no index: chance alone would move it."""
BINS = 10
"""Bins of a feature of numbers, of equally many rows of the reference each."""
OTHER = "other"
"""The label of all values that the reference does not have."""

VALUES = MetricFamily(
    "counter", "model_input_values", "Values of each feature in requests", ("feature", "value")
)
PREDICTIONS = MetricFamily(
    "counter", "model_predictions", "Answers by class", ("model_version", "label")
)
PSI = MetricFamily(
    "gauge",
    "model_psi",
    "Population stability index of recent rows against the training data",
    ("of",),
)
FAMILIES = (VALUES, PREDICTIONS, PSI)

Counts = Sequence[int]


def psi(now: Counts, reference: Counts) -> float:
    """Return the index of two lists of counts; half a row is added to each, so that none is 0."""
    p, q = (np.array(counts, dtype=float) + 0.5 for counts in (now, reference))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of one feature, or of the answers, by value.

    Attributes:
        name: name of the feature.
        values: the values, or bins of values.
        totals: rows with each value since the start.
        recent: the same of recent rows.
        reference: rows of the reference sample with each value.
    """

    name: str
    values: Sequence[str]
    totals: Counts
    recent: Counts
    reference: Counts


def metrics(
    features: Iterable[Counted], answers: Iterable[Counted], model_version: str, recent_rows: int
) -> Iterator[Metric]:
    """Yield the counters of inputs and answers, and the indexes if there are recent rows enough."""
    values, predictions = (
        CounterMetricFamily(each.name, each.text, labels=each.labels)
        for each in (VALUES, PREDICTIONS)
    )
    index = GaugeMetricFamily(PSI.name, PSI.text, labels=PSI.labels)
    features, answers = list(features), list(answers)
    for each in features:
        for value, count in zip(each.values, each.totals, strict=True):
            values.add_metric([each.name, value], count)
    for each in answers:
        for value, count in zip(each.values, each.totals, strict=True):
            predictions.add_metric([model_version, value], count)
    if recent_rows >= LEAST_ROWS:
        for each in (*features, *answers):
            index.add_metric([each.name], psi(each.recent, each.reference))
    yield from (values, predictions, index)


class _Feature:
    """The bins of one feature: ranges of its numbers, or the values of the reference."""

    def __init__(self, name: str, reference: Sequence[Any]) -> None:
        self.name = name
        self._edges: NDArray[np.float64] | None = None
        self._places: dict[Any, int] = {}
        known = sorted(set(reference), key=str)
        if len(known) > BINS:
            numbers = np.array([value for value in reference if value is not None], np.float64)
            self._edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
            ends = [f"{edge:.4g}" for edge in self._edges]
            self.values = [*(f"<={end}" for end in ends), f">{ends[-1]}"]
        else:
            self._places = {value: place for place, value in enumerate(known)}
            self.values = [*map(str, known), OTHER]
        self.reference = self.count(reference)
        self.totals = np.zeros(len(self.values), np.int64)
        self.recent = self.totals.copy()

    def count(self, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
        """Return how many of the values are in each bin; null is in the last one."""
        if self._edges is not None:
            places: Any = self._edges.searchsorted(np.array(values, np.float64))
        else:
            last = len(self._places)
            places = [self._places.get(value, last) for value in values]
        return np.bincount(places, minlength=len(self.values))

    def add(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Count the values of some rows."""
        counts = self.count(values)
        self.totals = self.totals + counts
        self.recent = self.recent + counts

    def counted(self) -> Counted:
        """Return the counts."""
        every = (self.totals, self.recent, self.reference)
        return Counted(self.name, self.values, *(counts.tolist() for counts in every))


class InputDrift:
    """Counts of the rows that a model answers, and of its answers, beside a reference sample.

    Numbers of which the reference has more than `BINS` are counted in ranges, other features by the
    values of the reference. A feature of lists, or of more than `BINS` texts, is not counted.
    """

    def __init__(
        self,
        features: Mapping[str, Sequence[Any]],
        answers: Mapping[str, Sequence[Any]],
        model_version: str,
    ) -> None:
        """Count beside a reference.

        Args:
            features: the values of each feature in the reference sample.
            answers: the model's answers to the sample, by output.
            model_version: labels the answers.
        """
        self._features = [_Feature(*each) for each in features.items() if _is_countable(each[1])]
        self._answers = [_Feature(*each) for each in answers.items() if _is_countable(each[1])]
        self._model_version = model_version
        self._rows = 0

    def count(
        self,
        features: Mapping[str, Sequence[Any]],
        answers: Mapping[str, Sequence[Any] | NDArray[Any]],
        rows: int,
    ) -> None:
        """Count some rows and their answers; called by one thread alone."""
        for counted, given in ((self._features, features), (self._answers, answers)):
            for feature in counted:
                feature.add(given[feature.name])
        self._rows += rows
        if self._rows >= WINDOW_ROWS:
            for feature in (*self._features, *self._answers):
                feature.recent = feature.recent // 2
            self._rows //= 2

    def collect(self) -> Iterator[Metric]:
        """Yield the counters and the indexes as metrics."""
        features = [feature.counted() for feature in self._features]
        answers = [feature.counted() for feature in self._answers]
        yield from metrics(features, answers, self._model_version, self._rows)


def _is_countable(values: Sequence[Any]) -> bool:
    """Return whether values are numbers, or so few different ones that each is a bin."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds or not kinds <= {str, bool, int, float}:
        return False
    return kinds <= {int, float} or len(set(values)) <= BINS
