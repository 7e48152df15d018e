"""The distance of requests from the training data: the population stability index (PSI).

PSI = sum of (p - q) * ln(p / q) over the values of a feature; p is a value's share of the requests,
q its share of the training data. By custom an index below 0.1 means nothing, and one above 0.25 is
to be looked into (Siddiqi, Credit Risk Scorecards, 2006).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from car_evaluation_model import Model
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

WINDOW_ROWS = 20_000
"""Counted rows at which all counts are halved, so that the index forgets old requests."""
LEAST_ROWS = 500
"""Counted rows below which there is no index: chance alone would move it."""


def psi(now: Sequence[int], training: Sequence[int]) -> float:
    """Return the index of two lists of counts; half a row is added to each, so that none is 0."""
    p, q = (np.array(counts, dtype=float) + 0.5 for counts in (now, training))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


class Drift:
    """Counts of inputs by rank; all metrics follow from them.

    A rank is the place of an input among all that the model knows.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._totals = [0] * int(np.prod(model.shape))
        self._recent = self._totals.copy()
        self._rows = 0

    def count(self, ranks: Iterable[int], rows: int) -> None:
        """Count the inputs of one request, `rows` of them."""
        totals, recent = self._totals, self._recent
        for rank in ranks:
            totals[rank] += 1
            recent[rank] += 1
        self._rows += rows
        if self._rows >= WINDOW_ROWS:
            self._recent = [count // 2 for count in recent]
            self._rows = sum(self._recent)

    def collect(self) -> Iterator[Metric]:
        """Yield the counters and the indexes as metrics."""
        model = self._model
        values = CounterMetricFamily(
            "model_input_values", "Values of each feature in requests", labels=["feature", "value"]
        )
        predictions = CounterMetricFamily(
            "model_predictions", "Answers by class", labels=["model_version", "label"]
        )
        index = GaugeMetricFamily(
            "model_psi",
            "Population stability index of recent rows against the training data",
            labels=["of"],
        )
        for field, counts in zip(model.features, self._by_feature(self._totals), strict=True):
            for value, count in zip(field.values, counts, strict=True):
                values.add_metric([field.name, value], count)
        for label, count in zip(model.classes, self._by_class(self._totals), strict=True):
            predictions.add_metric([model.version, label], count)
        if self._rows >= LEAST_ROWS:
            recent = self._by_feature(self._recent)
            for field, now, then in zip(
                model.features, recent, model.training.features, strict=True
            ):
                index.add_metric([field.name], psi(now, then))
            index.add_metric(["class"], psi(self._by_class(self._recent), model.training.classes))
        yield from (values, predictions, index)

    def _by_feature(self, counts: Sequence[int]) -> list[list[int]]:
        cube = np.array(counts).reshape(self._model.shape)
        axes = range(cube.ndim)
        return [cube.sum(axis=tuple(a for a in axes if a != axis)).tolist() for axis in axes]

    def _by_class(self, counts: Sequence[int]) -> list[int]:
        table = self._model.table.classes
        sums: list[int] = np.bincount(table, counts, len(self._model.classes)).astype(int).tolist()
        return sums
