"""The shapes of requests and answers; fields and vocabularies come from the model package.

pydantic validates requests into the model's own codes, so a value means the same here as in the
model package.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from car_evaluation_model import Model
from model_service import BodyReader
from model_service.rows import UNKNOWN
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
)

EXAMPLE: dict[str, Any] = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}


class Health(BaseModel):
    """What answers."""

    name: str
    api_version: str
    model_version: str


class Predictions(BaseModel):
    """The class of each row, by number and by name."""

    predictions: list[int]
    labels: list[str]
    version: Annotated[str, Field(description="version of the model")]
    errors: None
    model_sha256: str
    request_id: str
    probabilities: list[list[float]] | None = None


class Change(BaseModel):
    """A new value of one attribute."""

    now: str
    then: str


class Improvement(BaseModel):
    """A smallest change to a better class."""

    changes: dict[str, Change]
    prediction: int
    label: str


class Level(BaseModel):
    """How good a row is in one respect: 1 is the worst of `levels`."""

    level: int
    levels: int


class Explanation(BaseModel):
    """Why a row has its class."""

    prediction: int
    label: str
    concepts: Annotated[
        dict[str, Level], Field(description="price, comfort and tech, between attributes and class")
    ]
    deciding: Annotated[
        list[list[str]], Field(description="the smallest sets of attributes that fix the class")
    ]
    improvements: Annotated[
        list[Improvement], Field(description="changes of fewest attributes, smallest steps first")
    ]


class Explanations(BaseModel):
    """An explanation of each row."""

    explanations: list[Explanation]
    version: str
    model_sha256: str
    request_id: str


class RowReader:
    """A reader of bodies into ranks: the places of rows among all inputs that the model knows."""

    def __init__(self, model: Model) -> None:
        self._strides = _strides(model.shape)
        self._reader = BodyReader(_row_model(model), EXAMPLE)
        self.schema = self._reader.schema

    def read(self, body: bytes, max_rows: int) -> list[int]:
        """Return the rank of each row of a JSON body.

        Raises:
            Problem: 400 for a body that is not JSON, 413 for too many rows, 422 for other faults;
                its `errors` list row, field, value, allowed values and the reason.
        """
        rows = self._reader.read(body, max_rows)
        return [self.rank(list(row.__dict__.values())) for row in rows]

    def rank(self, codes: Sequence[int]) -> int:
        """Return the rank of an input, given the codes of its values."""
        return sum(code * stride for code, stride in zip(codes, self._strides, strict=True))


def _strides(shape: Sequence[int]) -> list[int]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides


def _row_model(model: Model) -> type[BaseModel]:
    columns: dict[str, Any] = {}
    for field in model.features:
        values: dict[str, Any] = {"type": "string", "enum": field.values}
        numbers = [int(value) for value in field.values if value.isdigit()]
        if field.or_more is not None:
            number = {"type": "integer", "minimum": min(numbers)}
            values = {"anyOf": [values, number]}
        column = Annotated[Any, PlainValidator(_coder(field.code)), WithJsonSchema(values)]
        columns[field.name] = (column, ...)
    return create_model("Car", __config__=ConfigDict(extra="forbid"), **columns)


def _coder(code: Callable[[object], int | None]) -> Callable[[object], int]:
    def validate(value: object) -> int:
        found = code(value)
        if found is None:
            raise ValueError(UNKNOWN)
        return found

    return validate
