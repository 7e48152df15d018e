"""Fields of a row and outputs as Python source, from JSON schemas."""

from collections.abc import Mapping
from typing import Any

DATATYPES = {"number": "FP64", "integer": "INT64", "string": "BYTES", "boolean": "BOOL"}
PYTHON = {"number": "float", "integer": "int", "string": "str", "boolean": "bool"}
BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}


class UnservableTypeError(ValueError):
    """A value of this type can be no field or output; the message says which can."""


def field_type(schema: Mapping[str, Any]) -> str:
    """Return the type of a row's field.

    Raises:
        UnservableTypeError: the field is no number, text, boolean, one of several, or list of them.
    """
    if "enum" in schema or "const" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        kind = f"Literal[{', '.join(map(repr, values))}]"
    elif schema.get("type") == "array" and schema.get("items", {}).get("type") in PYTHON:
        kind = f"list[{field_type(schema['items'])}]"
    elif schema.get("type") in PYTHON:
        kind = PYTHON[schema["type"]]
    else:
        raise UnservableTypeError(f"{_told(schema)} is no {_allowed()}")
    bounds = [f"{name}={schema[key]!r}" for key, name in BOUNDS.items() if key in schema]
    return f"Annotated[{kind}, Field({', '.join(bounds)})]" if bounds else kind


def output_type(schema: Mapping[str, Any]) -> str:
    """Return the declaration of an output.

    Raises:
        UnservableTypeError: as in `field_type`.
    """
    shape = ""
    if schema.get("type") == "array" and "items" in schema:
        size = schema.get("minItems")
        shape = f", {size if size is not None and size == schema.get('maxItems') else -1}"
        schema = schema["items"]
    datatype = DATATYPES.get(schema.get("type", ""))
    if datatype is None:
        raise UnservableTypeError(f"{_told(schema)} is no {_allowed()}")
    values = f", values={schema['enum']!r}" if "enum" in schema else ""
    return f'Out("{datatype}"{shape}{values})'


def _told(schema: Mapping[str, Any]) -> str:
    return str({key: value for key, value in schema.items() if key != "title"} or "any value")


def _allowed() -> str:
    return "float, int, str, bool, Literal of them, or flat list of them"
