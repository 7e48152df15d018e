"""The shapes of requests and answers; fields and vocabularies come from the model package.

pydantic validates requests into the model's own codes, so a value means the same here as in the
model package.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from car_evaluation_model import Model
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from service_kit import Problem, invalid, limit_rows, read_json, shown

EXAMPLE: dict[str, Any] = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
MAX_ROWS = 10_000
SHOWN_ERRORS = 100
LISTABLE_ERRORS = 5_000
"""Errors of a request that are all listed first. Of more only the first are made, as a list of all
would be larger than the request."""


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
        self._fields = {field.name: field for field in model.features}
        self._strides = _strides(model.shape)
        self._row = _row_model(model)
        self._envelope = create_model(
            "Envelope", __config__=ConfigDict(extra="forbid"), inputs=(list[Any], ...)
        )
        rows: Any = list[self._row]  # type: ignore[name-defined] # a class made from the vocabulary
        self.schema: type[Any] = create_model(
            "Inputs",
            __config__=ConfigDict(
                extra="forbid", json_schema_extra={"examples": [{"inputs": [EXAMPLE]}]}
            ),
            inputs=(Annotated[rows, Field(min_length=1, max_length=MAX_ROWS)], ...),
        )

    def read(self, body: bytes, max_rows: int) -> list[int]:
        """Return the rank of each row of a JSON body.

        Raises:
            Problem: 400 for a body that is not JSON, 413 for too many rows, 422 for other faults;
                its `errors` list row, field, value, allowed values and the reason.
        """
        document = read_json(body, max_rows)
        if isinstance(document, dict) and isinstance(document.get("inputs"), list):
            limit_rows(len(document["inputs"]), max_rows)
        try:
            rows: list[Any] = self.schema.model_validate(document).inputs
        except ValidationError as error:
            raise self._explained(error, document) from error
        return [self.rank(list(row.__dict__.values())) for row in rows]

    def rank(self, codes: Sequence[int]) -> int:
        """Return the rank of an input, given the codes of its values."""
        return sum(code * stride for code, stride in zip(codes, self._strides, strict=True))

    def _explained(self, error: ValidationError, document: Any) -> Problem:
        count = error.error_count()
        found = self._first_errors(document) if count > LISTABLE_ERRORS else _listed(error)
        if any(len(each["loc"]) < 2 for each in found):  # noqa: PLR2004 - ("inputs", row) at least
            return invalid(found, count)
        errors = [self._row_error(each) for each in found[:SHOWN_ERRORS]]
        first = errors[0]
        where = f"row {first['row']}" + (f", {first['field']}" if first["field"] else "")
        return Problem(
            422,
            f"{where}: {first['reason']}",
            type="invalid-rows",
            errors=errors,
            error_count=count,
        )

    def _first_errors(self, document: Any) -> list[Any]:
        """Return the errors to show of a document that has too many errors to list all.

        These are the document's own errors, if it has any, or else the first errors of its rows.
        """
        try:
            self._envelope.model_validate(_shortened(document, ("inputs",)))
        except ValidationError as error:
            return _listed(error)
        return list(islice(self._errors_of_rows(document["inputs"]), SHOWN_ERRORS))

    def _errors_of_rows(self, rows: list[Any]) -> Iterator[Any]:
        for number, row in enumerate(rows):
            try:
                self._row.model_validate(_shortened(row, self._fields))
            except ValidationError as error:
                for each in _listed(error):
                    yield {**each, "loc": ("inputs", number, *each["loc"])}

    def _row_error(self, error: Any) -> dict[str, Any]:
        _, row, *rest = error["loc"]
        field = shown(rest[0]) if rest else None
        reason = {
            "missing": "missing field",
            "extra_forbidden": "unknown field",
            "model_type": "not an object",
        }.get(error["type"], "unknown value")
        known = self._fields.get(rest[0]) if rest else None
        return {
            "row": row,
            "field": field,
            "value": None if error["type"] == "missing" else shown(error["input"]),
            "allowed": list(self._fields) if known is None else known.values,
            "reason": reason,
        }


def _listed(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False)


def _shortened(value: Any, known: Collection[str]) -> Any:
    """Return an object with at most SHOWN_ERRORS unknown members, each of which is an error."""
    if not isinstance(value, dict):
        return value
    unknown = islice((name for name in value if name not in known), SHOWN_ERRORS)
    kept = [*(name for name in known if name in value), *unknown]
    return {name: value[name] for name in kept}


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
            raise ValueError("unknown value")
        return found

    return validate
