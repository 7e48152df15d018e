"""Rows as tensors of the Open Inference Protocol: one tensor for each field of a row."""

from collections.abc import Mapping, Sequence
from typing import Any

from service_kit import Datatype, Problem, Tensor, TensorSpec

from model_service.errors import DeclarationError

_DATATYPES: Mapping[str, Datatype] = {
    "boolean": "BOOL",
    "integer": "INT64",
    "number": "FP64",
    "string": "BYTES",
}
_NAMED_BOUNDS = ("enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_EXAMPLES: Mapping[Datatype, Any] = {"BOOL": False, "INT64": 0, "FP64": 0.0, "BYTES": ""}


def field_tensor(name: str, schema: Mapping[str, Any]) -> TensorSpec:
    """Return the description of a field as a tensor, from the field's JSON schema.

    Raises:
        DeclarationError: the field is something else than a number, a text, a boolean, one of a
            list of them, or a flat list of numbers.
    """
    found = _only(schema)
    shape: tuple[int, ...] = (-1,)
    if found.get("type") == "array" and "items" in found:
        size = found.get("minItems")
        shape = (-1, size if size == found.get("maxItems") and size is not None else -1)
        found = _only(found["items"])
    datatype = _DATATYPES.get(found.get("type", ""))
    if datatype is None:
        raise DeclarationError(
            f"Row.{name} is {dict(schema)}: a field of a row is a number, a text, a boolean, a"
            " Literal of them, or a flat list of them"
        )
    bounds = {key: found[key] for key in _NAMED_BOUNDS if key in found}
    return TensorSpec(name, datatype, shape, bounds or None)


def _only(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a value that is not null."""
    ways = [way for way in schema.get("anyOf", ()) if way.get("type") != "null"]
    if ways and {way.get("type") for way in ways} == {"integer", "number"}:
        return {"type": "number"}
    return ways[0] if len(ways) == 1 else schema


def example_value(name: str, schema: Mapping[str, Any]) -> Any:
    """Return a good value of a field: its example, its first value, or the middle of its bounds."""
    found = _only(schema)
    if examples := schema.get("examples", found.get("examples")):
        return examples[0]
    if "enum" in found or "const" in found:
        return found["enum"][0] if "enum" in found else found["const"]
    if found.get("type") == "array":
        return [example_value(name, found["items"])] * max(1, found.get("minItems", 1))
    low = found.get("minimum", found.get("exclusiveMinimum"))
    high = found.get("maximum", found.get("exclusiveMaximum"))
    middle = _middle(low, high)
    if found.get("type") == "integer":
        return round(middle)
    return (
        middle if found.get("type") == "number" else _EXAMPLES[field_tensor(name, schema).datatype]
    )


def _middle(low: float | None, high: float | None) -> float:
    if low is not None and high is not None:
        return (low + high) / 2
    if low is not None:
        return low + 1
    return high - 1 if high is not None else 0.0


def example_request(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], row: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an inference request for one row."""

    def told(spec: TensorSpec) -> dict[str, Any]:
        value = row[spec.name]
        data = value if isinstance(value, list) else [value]
        shape = [1, len(data)] if len(spec.shape) > 1 else [1]
        return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data}

    return {
        "inputs": [told(spec) for spec in inputs],
        "outputs": [{"name": spec.name} for spec in outputs],
    }


def rows_of(inputs: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Return the rows that the tensors make up together.

    Raises:
        Problem: 422 for tensors of different sizes, or without rows.
    """
    count_rows(inputs)
    columns = [_column(tensor) for tensor in inputs.values()]
    return [dict(zip(inputs, values, strict=True)) for values in zip(*columns, strict=True)]


def count_rows(inputs: Mapping[str, Tensor]) -> int:
    """Return the number of rows of tensors.

    Raises:
        Problem: 422 for tensors of different sizes, or without rows.
    """
    sizes = {tensor.shape[0] for tensor in inputs.values()}
    if len(sizes) != 1:
        raise _refused(f"the inputs have different sizes: {sorted(sizes)}")
    (size,) = sizes
    if size == 0:
        raise _refused("there are no rows")
    return size


def _column(tensor: Tensor) -> Sequence[Any]:
    if len(tensor.shape) == 1:
        return tensor.data
    rows, width = tensor.shape
    return [list(tensor.data[row * width : (row + 1) * width]) for row in range(rows)]


def _refused(detail: str) -> Problem:
    return Problem(422, detail, type="invalid-tensor")
