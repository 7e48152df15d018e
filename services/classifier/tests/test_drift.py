"""The drift index against its definition."""

import math

import pytest
from car_evaluation_model import encode, rank
from classifier.drift import LEAST_ROWS, WINDOW_ROWS, Drift, psi
from hypothesis import given, strategies as st

counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=8)


def index(drift: Drift) -> dict[str, float]:
    (family,) = (family for family in drift.collect() if family.name == "model_psi")
    return {sample.labels["of"]: sample.value for sample in family.samples}


def test_psi_by_hand():
    """Half and half against nine to one is 0.4 * ln 9, by the definition."""
    assert psi([50_000, 50_000], [90_000, 10_000]) == pytest.approx(0.4 * math.log(9), rel=1e-3)


@given(counts)
def test_psi_of_the_same_shares_is_zero(training):
    """The same shares, of however many rows, have no drift."""
    assert psi(training, training) == pytest.approx(0, abs=1e-12)


@given(st.data(), counts)
def test_psi_is_never_negative(data, training):
    """PSI is a symmetric divergence: it is never below zero."""
    now = data.draw(
        st.lists(st.integers(0, 10_000), min_size=len(training), max_size=len(training))
    )
    assert psi(now, training) >= -1e-12


def test_training_distribution_has_no_drift(model):
    """Every input once is the training distribution: all indexes are next to nothing."""
    drift = Drift(model)
    ranks = range(1728)
    drift.count(ranks, len(ranks))

    found = index(drift)
    assert found.keys() == {field.name for field in model.features} | {"class"}
    assert all(value < 0.001 for value in found.values())


def test_shifted_input_shows_in_its_feature(model):
    """Only cheap cars: the price index alarms, the index of the boot does not."""
    drift = Drift(model)
    cheap = [rank for rank in range(1728) if rank // 432 == 3] * 2
    drift.count(cheap, len(cheap))

    found = index(drift)
    assert found["buying"] > 0.25
    assert found["lug_boot"] < 0.01


def test_values_and_answers_are_counted(model):
    """The counters are the requests' values of each feature and the answers of each class."""
    drift = Drift(model)
    rows = [
        {"buying": "med", "maint": "high", "doors": "4", "persons": "more", "safety": "high"},
        {"buying": "med", "maint": "low", "doors": "2", "persons": "2", "safety": "high"},
    ]
    codes, errors = encode([row | {"lug_boot": "big"} for row in rows], model.features)
    assert not errors
    ranks = rank(codes, model.shape).tolist()
    drift.count(ranks, len(ranks))

    values, predictions, _ = drift.collect()
    counted = {(*one.labels.values(),): one.value for one in values.samples if one.value}
    assert counted == {
        ("buying", "med"): 2,
        ("maint", "high"): 1,
        ("maint", "low"): 1,
        ("doors", "4"): 1,
        ("doors", "2"): 1,
        ("persons", "more"): 1,
        ("persons", "2"): 1,
        ("lug_boot", "big"): 2,
        ("safety", "high"): 2,
    }
    answered = {(*one.labels.values(),): one.value for one in predictions.samples}
    # A car for two persons is never acceptable in this data.
    assert answered == {
        ("1.0.0", "unacc"): 1,
        ("1.0.0", "acc"): 1,
        ("1.0.0", "good"): 0,
        ("1.0.0", "vgood"): 0,
    }


def test_few_rows_have_no_index(model):
    """Chance alone would move the index of few rows, so there is none."""
    drift = Drift(model)
    drift.count([0] * (LEAST_ROWS - 1), LEAST_ROWS - 1)

    assert index(drift) == {}


def test_index_forgets(model):
    """After a shift has ended the index comes down again, though the counters never do."""
    drift = Drift(model)
    drift.count([0] * WINDOW_ROWS, WINDOW_ROWS)
    shifted = index(drift)["buying"]
    for _ in range(100):
        drift.count(range(1728), 1728)

    assert index(drift)["buying"] < shifted / 10
