"""Rows of a request: read from JSON into the declared type, or a problem that names row and field.

A body with very many errors is refused in bounded memory: its errors are counted, and only the
first are made.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from types import new_class
from typing import Annotated, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from service_kit import Problem, invalid, json_schema, limit_rows, read_json, shown

from model_service.body_shapes import rows_in, suggestion
from model_service.service import MAX_ROWS

R = TypeVar("R", bound=BaseModel)

SHOWN_ERRORS = 100
SHOWN_CHARACTERS = 200
LISTABLE_ERRORS = 5_000
"""Errors of a request that are all listed first. Of more only the first are made, as a list of all
would be larger than the request."""
_REASONS = {
    "missing": "missing field",
    "extra_forbidden": "unknown field",
    "model_type": "not an object",
}
UNKNOWN = "unknown value"
"""The reason of a value that is none of those that are allowed."""
NAMED = 20
"""Allowed values that a sentence names."""
_SAYS_WHICH = {
    UNKNOWN: "allowed are",
    "missing field": "allowed are",
    "unknown field": "the fields are",
    "not an object": "the fields are",
}
"""How the sentence about a row goes on, by its reason; other reasons say what is allowed."""
_BOUNDS = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class Rows(list[R]):
    """The rows of one call of `predict`, of one request or of several."""

    def matrix(self) -> NDArray[np.float64]:
        """Return the fields of each row as numbers, (n, fields); null is NaN, a list is spread.

        Raises:
            ValueError: a field is no number, or lists have different lengths.
        """
        return np.array([_spread(row.__dict__.values()) for row in self], np.float64)


def _spread(values: Collection[Any]) -> list[Any]:
    spread: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple):
            spread.extend(value)
        else:
            spread.append(value)
    return spread


class BodyReader(Generic[R]):
    """A reader of bodies `{"inputs": [row, ...]}`.

    Attributes:
        row: the type of a row, as given but without unknown fields and numbers that are not finite.
        fields: JSON schema of each field by its name in JSON.
        schema: the type of a body, for OpenAPI.
    """

    def __init__(self, row: type[R], example: Mapping[str, Any] | None = None) -> None:
        """Read rows of the type `row`; `example` is a good row for the documentation."""
        self.row: type[R] = _closed(row)
        schema = json_schema(self.row)
        self.fields: dict[str, dict[str, Any]] = schema.get("properties", {})
        self._envelope = create_model(
            "Envelope", __config__=ConfigDict(extra="forbid"), inputs=(list[Any], ...)
        )
        rows: Any = list[self.row]  # type: ignore[name-defined] # a type that is known at run time
        examples: Any = {"examples": [{"inputs": [example]}]} if example is not None else None
        self.schema: type[Any] = create_model(
            "Inputs",
            __config__=ConfigDict(extra="forbid", json_schema_extra=examples),
            inputs=(Annotated[rows, Field(min_length=1, max_length=MAX_ROWS)], ...),
        )

    def read(self, body: bytes, max_rows: int) -> Rows[R]:
        """Return the rows of a JSON body.

        Raises:
            Problem: 400 for a body that is not JSON, 413 for too many rows, 422 for other faults;
                its `errors` list row, field, value, allowed values and the reason.
        """
        document = self._as_inputs(read_json(body, max_rows))
        if isinstance(document, dict) and isinstance(document.get("inputs"), list):
            limit_rows(len(document["inputs"]), max_rows)
        return self.rows(document)

    def _as_inputs(self, document: Any) -> Any:
        """Return a body in our shape if it is in another whose meaning is certain; else itself."""
        if _is_ours(document):
            return document
        lists = all(schema.get("type") == "array" for schema in self.fields.values())
        rows = rows_in(document, self.fields.__contains__, lists=lists)
        if rows is None:
            return document
        if len(self.fields) == 1:  # a row of one field may be its value (TensorFlow Serving)
            (name,) = self.fields
            rows = [row if isinstance(row, dict) else {name: row} for row in rows]
        return {"inputs": rows}

    def rows(self, document: Any) -> Rows[R]:
        """Return the rows of a parsed body.

        Raises:
            Problem: 422, as `read` does.
        """
        try:
            return Rows(self.schema.model_validate(document).inputs)
        except ValidationError as error:
            problem = self._explained(error, document)
            is_ours = _is_ours(document)
            if not is_ours and (rows := suggestion(document, list(self.fields))):
                problem.extra["suggestion"] = {"inputs": rows}
            raise problem from error

    def _explained(self, error: ValidationError, document: Any) -> Problem:
        count = error.error_count()
        found = self._first_errors(document) if count > LISTABLE_ERRORS else _listed(error)
        if any(len(each["loc"]) < 2 for each in found):  # noqa: PLR2004 - ("inputs", row) at least
            return invalid(found, count)
        errors = [self._row_error(each) for each in found[:SHOWN_ERRORS]]
        return Problem(
            422,
            row_detail(errors[0]),
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
                self.row.model_validate(_shortened(row, self.fields))
            except ValidationError as error:
                for each in _listed(error):
                    yield {**each, "loc": ("inputs", number, *each["loc"])}

    def _row_error(self, error: Any) -> dict[str, Any]:
        _, row, *rest = error["loc"]
        reason = error["msg"].removeprefix("Value error, ")
        known = self.fields.get(rest[0]) if rest else None
        return {
            "row": row,
            "field": shown(".".join(map(str, rest))) if rest else None,
            "value": None if error["type"] == "missing" else shown(error["input"]),
            "allowed": list(self.fields) if known is None else allowed(known),
            "reason": _REASONS.get(error["type"], reason[:SHOWN_CHARACTERS]),
        }


def row_detail(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a row, in one sentence, of the members of its error."""
    where = f"row {error['row']}" + (f", {error['field']}" if error["field"] else "")
    reason, known = error["reason"], error["allowed"]
    if reason not in _SAYS_WHICH or not isinstance(known, list):
        return f"{where}: {reason}"
    value = f" {error['value']!r}" if reason == UNKNOWN else ""
    some = ", ".join(map(str, known[:NAMED])) + (", ..." if len(known) > NAMED else "")
    return f"{where}: {reason}{value}; {_SAYS_WHICH[reason]} {some}"


def _is_ours(document: Any) -> bool:
    """Return whether a body has our shape, as far as its first row shows."""
    rows = document.get("inputs") if isinstance(document, dict) else None
    return isinstance(rows, list) and (not rows or isinstance(rows[0], dict))


def allowed(schema: Mapping[str, Any]) -> object:
    """Return what a field may be: the list of its values, or else its type and bounds."""
    ways = [schema, *schema.get("anyOf", ())]
    for way in ways:
        if "enum" in way:
            return way["enum"]
    bounded = next((way for way in ways if "type" in way), schema)
    return {name: bounded[name] for name in _BOUNDS if name in bounded}


def _closed(row: type[R]) -> type[R]:
    """Return the type with unknown fields and numbers that are not finite refused."""
    told = {"__module__": row.__module__, "__doc__": row.__doc__}
    config = {"extra": "forbid", "allow_inf_nan": False}
    return cast("type[R]", new_class(row.__name__, (row,), config, lambda body: body.update(told)))


def _listed(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False)


def _shortened(value: Any, known: Collection[str]) -> Any:
    """Return an object with at most SHOWN_ERRORS unknown members, each of which is an error."""
    if not isinstance(value, dict):
        return value
    unknown = islice((name for name in value if name not in known), SHOWN_ERRORS)
    kept = [*(name for name in known if name in value), *unknown]
    return {name: value[name] for name in kept}
