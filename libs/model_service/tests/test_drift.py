"""Counts beside a reference sample."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from model_service.drift import LEAST_ROWS, WINDOW_ROWS, InputDrift
from prometheus_client import Metric

NUMBERS = np.random.default_rng(9).normal(size=2_000).tolist()
COLOURS = ["red", "blue"] * 1_000
REFERENCE: Mapping[str, list[Any]] = {"size": NUMBERS, "colour": COLOURS}


@pytest.fixture
def drift() -> InputDrift:
    return InputDrift(REFERENCE, {"label": COLOURS}, "1")


def family(drift: InputDrift, name: str) -> Metric:
    (found,) = (each for each in drift.collect() if each.name == name)
    return found


def index(drift: InputDrift) -> dict[str, float]:
    return {sample.labels["of"]: sample.value for sample in family(drift, "model_psi").samples}


def test_the_reference_has_no_drift(drift):
    """The reference itself, counted, is at no distance from itself."""
    drift.count(REFERENCE, {"label": COLOURS}, 2_000)

    found = index(drift)
    assert found.keys() == {"size", "colour", "label"}
    assert max(found.values()) < 1e-6


def test_a_shift_shows_where_it_is(drift):
    """Larger numbers alarm the index of the numbers alone."""
    shifted = [number + 2 for number in NUMBERS]
    drift.count({"size": shifted, "colour": COLOURS}, {"label": COLOURS}, 2_000)

    assert index(drift)["size"] > 0.25
    assert index(drift)["colour"] < 0.01


def test_values_that_the_reference_lacks_are_one_label(drift):
    """Whatever callers send makes no further label; it is drift all the same."""
    words = [f"colour{number}" for number in range(1_000)]
    drift.count({"size": [None] * 1_000, "colour": words}, {"label": words}, 1_000)

    values = family(drift, "model_input_values").samples
    assert {one.labels["value"] for one in values if one.labels["feature"] == "colour"} == {
        "red",
        "blue",
        "other",
    }
    assert index(drift)["colour"] > 0.25


def test_few_rows_have_no_index_and_old_ones_are_forgotten(drift):
    """Chance alone would move the index of few rows; after a shift it comes down again."""
    few = LEAST_ROWS - 1
    drift.count({"size": [9.0] * few, "colour": ["red"] * few}, {"label": ["red"] * few}, few)
    assert index(drift) == {}

    many = WINDOW_ROWS
    drift.count({"size": [9.0] * many, "colour": ["red"] * many}, {"label": ["red"] * many}, many)
    shifted = index(drift)["colour"]
    for _ in range(100):
        drift.count(REFERENCE, {"label": COLOURS}, 2_000)
    assert index(drift)["colour"] < shifted / 10


@given(
    st.lists(st.integers(-5, 5) | st.floats(-1e9, 1e9) | st.none(), min_size=1, max_size=200),
    st.lists(st.integers(-9, 9) | st.floats(-1e300, 1e300) | st.none(), max_size=50),
)
def test_every_row_is_in_one_bin(reference, rows):
    """Whatever the reference and the rows, all are counted, each once."""
    drift = InputDrift({"x": reference}, {}, "1")
    drift.count({"x": rows}, {}, len(rows))

    samples = family(drift, "model_input_values").samples
    counted = [one.value for one in samples if one.name.endswith("_total")]
    assert sum(counted) == (len(rows) if any(each is not None for each in reference) else 0)


def test_what_cannot_be_counted_is_left_out():
    """Lists, and texts of which there are very many, have no bins."""
    many = [str(number) for number in range(100)]
    drift = InputDrift({"list": [[1, 2]] * 9, "text": many}, {}, "1")
    drift.count({"list": [[1, 2]], "text": ["1"]}, {}, 1)

    assert not family(drift, "model_input_values").samples
