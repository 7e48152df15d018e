"""Counting where an answer's time goes."""

import math
import time

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from service_kit import Stages
from service_kit.stages import BOUNDS

SECONDS = st.floats(0, 10)


@given(st.lists(st.tuples(SECONDS, SECONDS, SECONDS), max_size=20))
def test_histograms_are_those_of_the_stages(answers):
    """Each stage's buckets, sum and count are what Prometheus's definition makes of its times."""
    stages = Stages("1.2.0")
    for decode, compute, encode in answers:
        stages.observe(0, decode, decode + compute, decode + compute + encode)
    registry = CollectorRegistry()
    registry.register(stages)

    (family,) = text_string_to_metric_families(generate_latest(registry).decode())

    assert family.type == "histogram"
    found = {
        (
            one.name.removeprefix("model_stage_seconds_"),
            one.labels["stage"],
            one.labels.get("le"),
        ): (one.value)
        for one in family.samples
    }
    for at, stage in enumerate(("decode", "compute", "encode")):
        taken = [answer[at] for answer in answers]
        assert found["count", stage, None] == len(taken)
        assert found["sum", stage, None] == pytest.approx(sum(taken))
        assert found["bucket", stage, "+Inf"] == len(taken)
        for bound in BOUNDS:
            # A sum and a difference of floats may put a time to either side of its bound.
            low, high = (sum(one <= bound * near for one in taken) for near in (1 - 1e-9, 1 + 1e-9))
            if not any(math.isclose(one, bound, abs_tol=1e-12) for one in taken):
                assert low <= found["bucket", stage, str(bound)] <= high


def test_counting_is_cheap():
    """An answer is counted in a few microseconds at the very most, whatever else runs here."""
    stages = Stages("1")
    fastest = math.inf
    for _ in range(50):
        began = time.perf_counter()
        for _ in range(100):
            stages.observe(0, 1e-5, 2e-5, 3e-5)
        fastest = min(fastest, (time.perf_counter() - began) / 100)

    assert fastest < 5e-6
