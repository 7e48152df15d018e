"""The distance of requests from the training data, counted by rank."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from car_evaluation_model import Model
from model_service.drift import LEAST_ROWS, WINDOW_ROWS, Counted, metrics, psi
from prometheus_client import Metric

__all__ = ["LEAST_ROWS", "WINDOW_ROWS", "Drift", "psi"]


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
        totals, recent = self._totals, self._recent
        features = zip(
            model.features,
            self._by_feature(totals),
            self._by_feature(recent),
            model.training.features,
            strict=True,
        )
        counted = [Counted(field.name, field.values, *counts) for field, *counts in features]
        classes = (self._by_class(totals), self._by_class(recent), model.training.classes)
        answers = [Counted("class", model.classes, *classes)]
        yield from metrics(counted, answers, model.version, self._rows)

    def _by_feature(self, counts: Sequence[int]) -> list[list[int]]:
        cube = np.array(counts).reshape(self._model.shape)
        axes = range(cube.ndim)
        return [cube.sum(axis=tuple(a for a in axes if a != axis)).tolist() for axis in axes]

    def _by_class(self, counts: Sequence[int]) -> list[int]:
        table = self._model.table.classes
        sums: list[int] = np.bincount(table, counts, len(self._model.classes)).astype(int).tolist()
        return sums
