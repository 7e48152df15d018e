"""The time of an answer's stages: reading the request, computing, writing the answer.

Every answer is counted, so counting has to be cheap: it changes a few list cells, in 0.6 us with
reading the clock. The cells become Prometheus histograms only at a scrape.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import Exemplar, HistogramMetricFamily

from service_kit import tracing
from service_kit.metric_families import MetricFamily

STAGES = MetricFamily(
    "histogram",
    "model_stage_seconds",
    "Time of each stage of an answer",
    ("stage", "model_version"),
)
BOUNDS = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Upper bounds of the buckets, in seconds."""
_NAMES = ("decode", "compute", "encode")
_LABELS = (*map(str, BOUNDS), "+Inf")


class Stages:
    """Counts of one model's answers by the seconds of each stage; kept by the event loop alone."""

    def __init__(self, model_version: str) -> None:
        self.model_version = model_version
        self._counts = [[0] * len(_LABELS) for _ in _NAMES]
        self._sums = [0.0] * len(_NAMES)
        self._exemplars: list[dict[int, Exemplar]] = [{} for _ in _NAMES]

    def observe(self, began: float, decoded: float, computed: float, encoded: float) -> None:
        """Count one answer, given the moments between its stages on `time.perf_counter`'s clock."""
        decode, compute, encode = self._counts
        sums = self._sums
        decode[bisect_left(BOUNDS, decoded - began)] += 1
        compute[bisect_left(BOUNDS, computed - decoded)] += 1
        encode[bisect_left(BOUNDS, encoded - computed)] += 1
        sums[0] += decoded - began
        sums[1] += computed - decoded
        sums[2] += encoded - computed
        span = tracing.current.get()
        if span is not None:
            offset = time.time_ns() - time.perf_counter_ns()
            moments = [offset + int(each * 1e9) for each in (began, decoded, computed, encoded)]
            times = zip(_NAMES, self._exemplars, moments, moments[1:], strict=False)
            for name, exemplars, start, end in times:
                part = span.part(name)
                part.began, part.ended = start, end
                span.parts.append(part)
                took = (end - start) / 1e9
                found = Exemplar(part.exemplar, took, end / 1e9)
                exemplars[bisect_left(BOUNDS, took)] = found

    @property
    def answers(self) -> int:
        """Number of answers that were counted."""
        return sum(self._counts[0])

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds that each stage took, summed over all answers."""
        return dict(zip(_NAMES, self._sums, strict=True))

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms."""
        family = HistogramMetricFamily(STAGES.name, STAGES.text, labels=STAGES.labels)
        kept = zip(_NAMES, self._counts, self._sums, self._exemplars, strict=True)
        for name, counts, total, exemplars in kept:
            upper = zip(_LABELS, map(float, accumulate(counts)), strict=True)
            buckets = [
                (*bucket, exemplars[at]) if at in exemplars else bucket
                for at, bucket in enumerate(upper)
            ]
            family.add_metric([name, self.model_version], buckets, total)
        yield family
