"""Facts of the car-evaluation domain that every released model must keep, over all 1,728 inputs."""

import csv
from importlib.resources import files

import numpy as np
import pytest
from car_evaluation_model import Model, encode, every_input, load, rank
from hypothesis import given, settings, strategies as st

VERSIONS = ("1.0.0", "1.1.0")


MODELS = {version: load(version) for version in VERSIONS}


@pytest.fixture(params=VERSIONS)
def model(request):
    return MODELS[request.param]


def test_table_is_the_source_data(model: Model):
    """Every row of the UCI file gets the class the file gives it: the released table is total."""
    text = files("car_evaluation_model").joinpath("data/car.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    labels = [row.pop("class") for row in rows]
    codes, errors = encode(rows, model.features)
    assert not errors
    assert len(rows) == 1728
    assert [model.classes[c] for c in model.look_up(codes).classes] == labels


def test_article_example(model: Model):
    """A medium-priced, roomy, safe car with high upkeep is acceptable, class number 1."""
    answer = model.predict(
        [
            {
                "buying": "med",
                "maint": "high",
                "doors": "4",
                "persons": "more",
                "lug_boot": "big",
                "safety": "high",
            }
        ]
    )
    assert answer.classes.tolist() == [1]
    assert model.classes == ("unacc", "acc", "good", "vgood")


def test_two_seats_or_low_safety_is_unacceptable(model: Model):
    """persons=2 or safety=low is unacc, whatever else: 960 of the inputs (a rule of the data)."""
    inputs = every_input(model.shape)
    hopeless = (inputs[:, 3] == 0) | (inputs[:, 5] == 0)
    assert hopeless.sum() == 960
    assert not model.table.classes[hopeless].any()


@pytest.mark.parametrize("field", ["buying", "maint", "doors", "lug_boot", "safety"])
def test_better_value_never_lowers_the_class(model: Model, field: str):
    """Along every ordered field the class never falls; `persons` is the exception of the data."""
    axis = [one.name for one in model.features].index(field)
    assert (np.diff(model.table.classes.reshape(model.shape), axis=axis) >= 0).all()


def test_more_than_four_persons_can_be_worse(model: Model):
    """18 neighbouring pairs fall from persons=4 to persons=more, so that field is not ordered."""
    along_persons = np.moveaxis(model.table.classes.reshape(model.shape), 3, 0)
    assert (along_persons[2] < along_persons[1]).sum() == 18


def test_probabilities_are_a_distribution_that_agrees_with_the_class(model: Model):
    """Probabilities sum to one up to their six decimals, and the likeliest class is predicted."""
    shares = model.table.probabilities
    assert np.abs(shares.sum(axis=1) - 1).max() <= 2e-6
    assert (shares >= 0).all()
    assert (shares.argmax(axis=1) == model.table.classes).all()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_answer_does_not_depend_on_the_batch(data):
    """Estimator and table give one row the same bits, alone or anywhere in any batch."""
    model = MODELS[data.draw(st.sampled_from(VERSIONS))]
    inputs = every_input(model.shape)
    rows = data.draw(st.lists(st.integers(0, len(inputs) - 1), min_size=0, max_size=40))
    codes = inputs[rows]
    answer, looked_up = model.predict_codes(codes), model.look_up(codes)
    assert rank(codes, model.shape).tolist() == rows
    assert answer.classes.tolist() == looked_up.classes.tolist()
    assert answer.probabilities.tobytes() == looked_up.probabilities.tobytes()


def test_batch_larger_than_a_chunk(model: Model):
    """10,000 rows, worked on in slices, get what each row gets alone."""
    codes = every_input(model.shape)[np.arange(10_000) % 1728]
    answer = model.predict_codes(codes)
    assert (answer.classes == model.table.classes[np.arange(10_000) % 1728]).all()


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 5), int), np.zeros(6, int), [[0, 0, 0, 3, 0, 0]], [[-1, 0, 0, 0, 0, 0]]]
)
def test_codes_outside_the_domain_are_refused(model: Model, codes):
    """Codes of a wrong shape or of no value raise, and never wrap around to another row."""
    with pytest.raises(ValueError, match="codes"):
        model.predict_codes(np.array(codes))
