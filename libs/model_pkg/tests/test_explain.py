"""Explanations are exact: checked against plain enumeration."""

from itertools import combinations

import numpy as np
import pytest
from car_evaluation_model import encode, every_input, explain, load
from car_evaluation_model.concepts import concepts
from hypothesis import given, strategies as st

MODEL = load()
INPUTS = every_input(MODEL.shape)
NAMES = [field.name for field in MODEL.features]


def explained(**car):
    codes, errors = encode([car], MODEL.features)
    assert not errors
    return explain(MODEL, codes[0])


def test_two_seats_alone_decide():
    """For a two-seater with good safety, `persons` alone decides that it is unacceptable."""
    found = explained(
        buying="low", maint="low", doors="4", persons="2", lug_boot="big", safety="high"
    )
    assert found.predicted == 0
    assert found.deciding == (("persons",),)
    assert [one.changes for one in found.improvements] == [{"persons": ("2", "4")}]


def test_either_of_two_faults_decides():
    """With two seats and low safety, each alone is enough, and both must change to improve."""
    found = explained(
        buying="low", maint="low", doors="4", persons="2", lug_boot="big", safety="low"
    )
    assert found.deciding == (("persons",), ("safety",))
    assert all(set(one.changes) == {"persons", "safety"} for one in found.improvements)


def test_best_class_has_nothing_to_improve():
    """A vgood car has no improvement."""
    found = explained(
        buying="low", maint="low", doors="4", persons="4", lug_boot="big", safety="high"
    )
    assert MODEL.classes[found.predicted] == "vgood"
    assert found.improvements == ()


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_the_class_follows_from_the_concepts(version):
    """Price and tech fix the class, comfort and safety fix tech; levels are those of the experts.

    UCI's `car.names` has the hierarchy: 4 levels of price, 3 of comfort, 4 of technical worth.
    """
    model = load(version)
    of_class: dict[tuple[int, int], set[int]] = {}
    of_tech: dict[tuple[int, int], set[int]] = {}
    for codes, predicted in zip(INPUTS, model.table.classes, strict=True):
        found = concepts(model, codes)
        price, comfort, tech = (found[name].level for name in ("price", "comfort", "tech"))
        of_class.setdefault((price, tech), set()).add(int(predicted))
        of_tech.setdefault((comfort, int(codes[5])), set()).add(tech)

    assert {name: one.levels for name, one in found.items()} == {
        "price": 4,
        "comfort": 3,
        "tech": 4,
    }
    assert all(len(those) == 1 for those in (*of_class.values(), *of_tech.values()))
    for (price, tech), (predicted,) in of_class.items():
        assert all(predicted <= min(of_class[price, better]) for better in range(tech, 5))


@given(st.integers(0, len(INPUTS) - 1))
def test_deciding_sets_suffice_and_none_smaller_does(row):
    """Each deciding set forces the class, no smaller set of fields does, and none is left out."""
    here = INPUTS[row]
    found = explain(MODEL, here)
    size = len(found.deciding[0])
    for count in range(size + 1):
        forcing = {
            columns
            for columns in combinations(range(6), count)
            if len(set(MODEL.table.classes[(INPUTS[:, columns] == here[list(columns)]).all(1)]))
            == 1
        }
        named = {tuple(NAMES[column] for column in columns) for columns in forcing}
        assert named == (set(found.deciding) if count == size else set())


@given(st.integers(0, len(INPUTS) - 1))
def test_improvements_improve_and_none_is_smaller(row):
    """Applying a change gives the class it promises; no better car differs in fewer fields."""
    here = INPUTS[row]
    found = explain(MODEL, here)
    car = {f.name: f.values[code] for f, code in zip(MODEL.features, here, strict=True)}
    for one in found.improvements:
        assert all(car[name] == now for name, (now, _) in one.changes.items())
        changed = car | {name: then for name, (_, then) in one.changes.items()}
        (better,) = MODEL.predict([changed]).classes
        assert better == one.predicted > found.predicted
    better = INPUTS[MODEL.table.classes > found.predicted]
    fewest = (better != here).sum(axis=1).min(initial=7)
    assert {len(one.changes) for one in found.improvements} == ({fewest} if len(better) else set())


def test_steps_are_the_fewest_for_their_fields():
    """Of two ways to change the same fields, only the one with fewer steps is offered."""
    for row in range(0, len(INPUTS), 97):
        found = explain(MODEL, INPUTS[row])
        for fields in {tuple(one.changes) for one in found.improvements}:
            columns = [NAMES.index(name) for name in fields]
            others = [column for column in range(6) if column not in columns]
            same = (INPUTS[:, others] == INPUTS[row][others]).all(axis=1)
            better = INPUTS[same & (MODEL.table.classes > found.predicted)]
            fewest = np.abs(better - INPUTS[row]).sum(axis=1).min()
            steps = {one.steps for one in found.improvements if tuple(one.changes) == fields}
            assert steps == {fewest}


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_every_input_has_an_explanation(version):
    """No input, of any class, is without a deciding set; only the best class has no improvement."""
    model = load(version)
    for codes in INPUTS[::13]:
        found = explain(model, codes)
        assert found.deciding
        assert bool(found.improvements) == (found.predicted < 3)
