"""Request bodies: the same rows in each peer's own format, and points for the clusterer."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from car_evaluation_model import Model, every_input

ROWS = (1, 100, 1000)
POINTS = (9, 1000, 10_000)
EXAMPLE = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]

Row = Mapping[str, str | float]
Form = Callable[[Sequence[Row]], object]
_TEXTS = {"datatype": "BYTES", "parameters": {"content_type": "str"}}


def rows(model: Model, count: int) -> list[Row]:
    """Return different inputs in random order, the same on every run."""
    order = random.Random(26).sample(range(len(model.table.classes)), count)
    return [
        {field.name: field.values[code] for field, code in zip(model.features, codes, strict=True)}
        for codes in every_input(model.shape)[order].tolist()
    ]


def records(chosen: Sequence[Row]) -> object:
    """Format rows as a list of objects."""
    return {"inputs": list(chosen)}


def columns(chosen: Sequence[Row]) -> object:
    """Format rows for the Open Inference Protocol: a tensor a column, as MLServer wants."""
    return {
        "parameters": {"content_type": "pd"},
        "inputs": [
            {
                "name": name,
                "shape": [len(chosen), 1],
                **(_TEXTS if isinstance(value, str) else {"datatype": "FP64"}),
                "data": [row[name] for row in chosen],
            }
            for name, value in chosen[0].items()
        ],
    }


def write(folder: Path, form: Form, chosen: Sequence[Row]) -> Path:
    """Write one request body; return its file."""
    path = folder / f"{form.__name__}-{len(chosen)}.json"
    path.write_text(json.dumps(form(chosen), separators=(",", ":")))
    return path


def write_points(folder: Path, count: int) -> Path:
    """Write points around three centres; nine points are the source article's."""
    draw = random.Random(9)
    centres = [(0.0, 0.0), (8.0, 8.0), (0.0, 12.0)]
    drawn = [
        [round(draw.gauss(axis, 1.5), 3) for axis in centres[number % 3]] for number in range(count)
    ]
    path = folder / f"points-{count}.json"
    points = EXAMPLE if count == len(EXAMPLE) else drawn
    path.write_text(json.dumps({"points": points}, separators=(",", ":")))
    return path
