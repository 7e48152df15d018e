"""A service of an ONNX file: its inputs are a row, its outputs the answer."""

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import InferenceSession

from stack.field_types import DATATYPES, field_type, output_type
from stack.origins import LIBRARY, Origin, UnusableOriginError, filled, literal

TYPES = {
    "tensor(float)": ("number", "np.float32"),
    "tensor(double)": ("number", "np.float64"),
    "tensor(int64)": ("integer", "np.int64"),
    "tensor(int32)": ("integer", "np.int32"),
    "tensor(bool)": ("boolean", "np.bool_"),
    "tensor(string)": ("string", "np.object_"),
}
"""Types of ONNX that a row's field can have: in JSON schema, and as numpy's dtype."""
BOUNDS: Mapping[str, Mapping[str, float]] = {
    "np.int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "np.int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "np.float32": {"minimum": -1e18, "maximum": 1e18},
    "np.float64": {"minimum": -1e150, "maximum": 1e150},
}
"""What a field may be: an integer that fits, a number whose square is still finite in the model."""
EXAMPLES: Mapping[str, Any] = {"number": 1.0, "integer": 1, "boolean": True, "string": "a"}
KINDS = {"f": "number", "i": "integer", "u": "integer", "b": "boolean", "U": "string"}
PROBE_ROWS = 2
RESERVED = ("version", "config_version", "request_id")
ZIPMAP = "write the file with skl2onnx.to_onnx(model, X[:1], options={'zipmap': False})"
VECTOR, MATRIX = 1, 2
"""Dimensions of an input that has a value for each row, and of one that has several."""


@dataclass(frozen=True, slots=True)
class RowField:
    """A field of a row that is an input of the file.

    Attributes:
        name: in JSON.
        given: name in the file.
        shape: of the file's input: `()` for a value a row, `(1,)` or `(k,)` for k of them.
        kind: in JSON schema.
        dtype: numpy's, as source.
    """

    name: str
    given: str
    shape: tuple[int, ...]
    kind: str
    dtype: str

    @property
    def is_list(self) -> bool:
        """Return whether a row has a list of values."""
        return self.shape not in {(), (1,)}

    @property
    def schema(self) -> dict[str, Any]:
        """The field's JSON schema."""
        one = {"type": self.kind, **BOUNDS.get(self.dtype, {})}
        if not self.is_list:
            return one
        (size,) = self.shape
        return {"type": "array", "items": one, "minItems": size, "maxItems": size}

    @property
    def example(self) -> Any:
        """A value of the field."""
        value = EXAMPLES[self.kind]
        return [value] * self.shape[0] if self.is_list else value

    @property
    def source(self) -> str:
        """The source of the file's input, of rows."""
        each = f"row.{self.name}" if self.shape != (1,) else f"[row.{self.name}]"
        return f"{self.given!r}: np.array([{each} for row in rows], {self.dtype})"


def from_onnx(file: Path) -> Origin:
    """Return the origin of an ONNX file.

    Raises:
        UnusableOriginError: the file cannot be read, or has inputs or outputs that no row has.
    """
    given, content = f"FROM={file}", _read(file)
    try:
        session = InferenceSession(content)
    except Exception as error:  # onnxruntime has no base class of its own
        reason = str(error).partition("\n")[0]
        raise UnusableOriginError(
            f"{given} cannot be loaded by onnxruntime: {reason}. Weights in a file of their own are"
            " not taken, and a newer opset needs a newer onnxruntime"
        ) from error
    fields = _fields(given, session.get_inputs())
    outputs, names = _outputs(given, session, fields)
    row = {field.name: field.example for field in fields}
    typed = (f"        {field.name}: {field_type(field.schema)}" for field in fields)
    model = filled(
        "onnx.py.in",
        text=literal(f"Answers by {file.name}.".replace("\\", "").replace('"', "'")),
        fields=literal("\n".join(typed)),
        outputs=literal("\n".join(f"        {name!r}: {out}," for name, out in outputs.items())),
        inputs=literal("\n".join(f"            {field.source}," for field in fields)),
        asked=literal(repr(names)),
    )
    needed = (*LIBRARY, "numpy>=1.26", "onnxruntime>=1.20")
    return Origin(model, needed, row, {"given/model.onnx": content})


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnusableOriginError(f"FROM={file} cannot be read: {error.strerror}") from error


def _fields(given: str, inputs: Sequence[Any]) -> list[RowField]:
    fields: list[RowField] = []
    for each in inputs:
        what = f"{given}: its input {each.name!r} is {each.type} of the shape {each.shape}"
        if each.type not in TYPES:
            raise UnusableOriginError(f"{what}: a field of a row is one of {', '.join(TYPES)}")
        if len(each.shape) not in {VECTOR, MATRIX} or isinstance(each.shape[0], int):
            raise UnusableOriginError(
                f"{what}: the first axis must be rows, any number of them, and at most one axis"
                " may follow: export it with a dynamic first axis"
            )
        shape = tuple(each.shape[1:])
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise UnusableOriginError(f"{what}: the number of values of a row must be known")
        fields.append(RowField(_name(each.name, fields), each.name, shape, *TYPES[each.type]))
    if not fields:
        raise UnusableOriginError(f"{given} has no inputs, so that there is no row")
    return fields


def _name(given: str, fields: Sequence[RowField]) -> str:
    """Return the name of a field: that of the input, as far as Python has such names."""
    name = re.sub(r"\W", "_", given, flags=re.ASCII).strip("_").lower() or "x"
    if name[0].isdigit() or keyword.iskeyword(name) or name.startswith("model_"):
        name = f"x_{name}"
    taken = {field.name for field in fields}
    return name if name not in taken else f"{name}_{len(fields)}"


def _outputs(
    given: str, session: InferenceSession, fields: Sequence[RowField]
) -> tuple[dict[str, str], list[str]]:
    """Return the declaration of each output, and the outputs' names in the file, by a probe."""
    for each in session.get_outputs():
        if not each.type.startswith("tensor("):
            raise UnusableOriginError(f"{given}: its output {each.name!r} is {each.type}: {ZIPMAP}")
    inputs = {
        field.given: np.array(
            [field.example if field.shape != (1,) else [field.example]] * PROBE_ROWS,
            np.dtype(field.dtype.removeprefix("np.").rstrip("_")),
        )
        for field in fields
    }
    names = [each.name for each in session.get_outputs()]
    try:
        found = session.run(names, inputs)
    except Exception as error:  # onnxruntime has no base class of its own
        reason = str(error).partition("\n")[0]
        raise UnusableOriginError(f"{given} does not answer a row of ones: {reason}") from error
    outputs: dict[str, str] = {}
    for name, array in zip(names, found, strict=True):
        outputs[_output_name(name)] = _declared(f"{given}: its output {name!r}", array)
    return outputs, names


def _output_name(name: str) -> str:
    return f"{name}_of_model" if name in RESERVED else name


def _declared(what: str, array: Any) -> str:
    kind = "string" if array.dtype.kind == "O" else KINDS.get(array.dtype.kind, "")
    if array.ndim not in {VECTOR, MATRIX} or len(array) != PROBE_ROWS or kind not in DATATYPES:
        raise UnusableOriginError(
            f"{what} has {array.dtype} of the shape {list(array.shape)} for {PROBE_ROWS} rows: it"
            " must have numbers, texts or truths, its first axis the rows, at most one axis more"
        )
    schema: dict[str, Any] = {"type": kind}
    if array.ndim == MATRIX:
        schema = {"type": "array", "items": schema} | dict.fromkeys(
            ("minItems", "maxItems"), array.shape[1]
        )
    return output_type(schema)
