"""`make_prediction`: plain values in, plain values out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from car_evaluation_model.model import Model, load
from car_evaluation_model.processing.validation import Frame, encode


@cache
def model() -> Model:
    """Return the released model; the first call loads it."""
    return load()


def rows_of(input_data: Iterable[Mapping[str, object]] | Frame) -> Iterable[object]:
    """Return the rows of a list of dicts or of a DataFrame.

    Raises:
        TypeError: the input is neither; a single row, as a dict or as a pandas Series, is not taken
            for a list of one row.
        ValueError: the DataFrame has two columns of one name; pandas would drop one of them.
    """
    if isinstance(input_data, Frame):
        counts = Counter(input_data.columns)
        if doubled := [str(name) for name, count in counts.items() if count > 1]:
            raise ValueError(
                f"input_data has more than one column {', '.join(doubled)}; drop all but one"
            )
        return input_data.to_dict(orient="records")
    if hasattr(input_data, "to_frame"):
        raise TypeError(
            "input_data is a pandas Series; give a list of dicts or a DataFrame, of one row such as"
            " frame.iloc[[0]]"
        )
    if isinstance(input_data, Mapping) or not isinstance(input_data, Iterable):
        kind = type(input_data).__name__
        raise TypeError(f"input_data is a {kind}; give a list of dicts or a DataFrame")
    return input_data


def make_prediction(input_data: Iterable[Mapping[str, object]] | Frame) -> dict[str, object]:
    """Classify cars.

    Args:
        input_data: dicts, or a pandas DataFrame, with the six fields of `config.yml`. `doors` and
            `persons` may also be numbers.

    Returns:
        `predictions` (class numbers), `labels`, `version`, `errors`. With a bad row, or none at
        all, the first two are None and `errors` lists row, field, value, allowed and reason; else
        `errors` is None.

    Raises:
        TypeError: `input_data` is something else, such as one row.
        ValueError: a DataFrame has two columns of one name.
    """
    released = model()
    codes, errors = encode(rows_of(input_data), released.features)
    if errors:
        answer: dict[str, object] = {"predictions": None, "labels": None}
    else:
        numbers = released.look_up(codes).classes.tolist()
        answer = {"predictions": numbers, "labels": [released.classes[n] for n in numbers]}
    found = [error.as_dict() for error in errors] or None
    return answer | {"version": released.version, "errors": found}
