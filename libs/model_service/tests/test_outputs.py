"""The check of what a model gives."""

import numpy as np
import pytest
from model_service import Out, WrongAnswerError
from model_service.outputs import checked

OUTPUTS = {
    "class": Out("INT64"),
    "label": Out("BYTES"),
    "shares": Out("FP64", 2),
    "sure": Out("BOOL"),
}
GOOD = {
    "class": [1, 2],
    "label": ["a", "b"],
    "shares": [[0.5, 0.5], [1, 0]],
    "sure": np.array([True, False]),
}


def test_lists_and_arrays_are_taken():
    """Outputs that fit are taken as they are, in the declared order."""
    found = checked(dict(reversed(GOOD.items())), OUTPUTS, 2)

    assert {name: array.tolist() for name, array in found.items()} == {
        **GOOD,
        "sure": [True, False],
    }
    assert list(found) == list(OUTPUTS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class": [1, 2, 3]}, "'class' has the shape [3], must have [2]"),
        ({"class": [1.5, 2.5]}, "'class' has elements float64, not INT64"),
        ({"class": [True, False]}, "'class' has elements bool, not INT64"),
        ({"class": None}, "'class' is missing"),
        ({"label": [1, 2]}, "'label' has elements int64, not BYTES"),
        ({"label": [None, "b"]}, "'label' has elements object, not BYTES"),
        ({"shares": [[1], [2]]}, "'shares' has the shape [2, 1], must have [2, 2]"),
        ({"shares": [[1], [2, 3]]}, "'shares' is ragged"),
        ({"shares": [[0, float("nan")], [0, 1]]}, "'shares' has numbers that are not finite"),
        ({"more": [1, 2]}, "'more' is not declared"),
    ],
)
def test_what_does_not_fit_is_named(changes, words):
    """An output that is missing, unknown, or of another type or shape is named."""
    with pytest.raises(WrongAnswerError, match="output") as found:
        checked(GOOD | changes, OUTPUTS, 2)

    assert words in str(found.value)


def test_an_answer_is_a_mapping():
    """An array in place of the outputs is told by its type."""
    with pytest.raises(WrongAnswerError, match="predict returned ndarray"):
        checked(np.zeros(2), OUTPUTS, 2)
