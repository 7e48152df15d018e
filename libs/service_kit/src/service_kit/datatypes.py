"""The datatypes of the Open Inference Protocol: their elements, and exact conversions, without I/O.

A model declares one of four datatypes; callers may send any other of the same kind whose values
the declared one holds exactly: an INT8 for an FP64, a 2.0 for an INT64, but never a 1.5.
Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Datatype = Literal["BOOL", "BYTES", "FP64", "INT64"]
"""The datatypes that a model may declare."""
PACKED_AT_ONCE = 100_000
"""Numbers that are packed in one step: two million would hold up the event loop for 60 ms, though
they are packed in a thread."""


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one datatype.

    Attributes:
        types: Python types of the elements as JSON has them.
        code: their format in `struct` and `array`; empty for BYTES.
        size: bytes of an element in a binary tensor; 0 for BYTES, whose elements differ.
        bounds: least and greatest integer; None for other datatypes.
    """

    types: frozenset[type]
    code: str
    size: int
    bounds: tuple[int, int] | None = None


_FLOAT = frozenset({int, float})
_CODES = {8: "b", 16: "h", 32: "i", 64: "q"}
ELEMENTS: Mapping[str, Elements] = {
    "BOOL": Elements(frozenset({bool}), "?", 1),
    "BYTES": Elements(frozenset({str}), "", 0),
    "FP16": Elements(_FLOAT, "e", 2),
    "FP32": Elements(_FLOAT, "f", 4),
    "FP64": Elements(_FLOAT, "d", 8),
    **{
        f"INT{bits}": Elements(
            frozenset({int}), code, bits // 8, (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
        for bits, code in _CODES.items()
    },
    **{
        f"UINT{bits}": Elements(frozenset({int}), code.upper(), bits // 8, (0, 2**bits - 1))
        for bits, code in _CODES.items()
    },
}
"""Every datatype that is taken. BF16 is not: JSON has no such numbers, and nor has Python."""
EXACT_INTEGERS = 2**53
"""The integers up to here are all float64 numbers (IEEE 754)."""


def is_taken(given: str, declared: Datatype) -> bool:
    """Return whether a tensor of the datatype `given` may stand for one of `declared`."""
    return given == declared or (given in ELEMENTS and "BYTES" not in {given, declared})


def misfit(data: Sequence[Any], datatype: str) -> int | None:
    """Return the index of the first element of a JSON tensor that is not of its datatype."""
    elements = ELEMENTS[datatype]
    if not set(map(type, data)) <= elements.types:
        return _first(data, lambda element: type(element) not in elements.types)
    if elements.bounds is None or not data:
        return None
    least, greatest = elements.bounds
    if least <= min(data) and max(data) <= greatest:
        return None
    return _first(data, lambda element: not least <= element <= greatest)


def inexact(data: Sequence[Any], given: str, declared: Datatype) -> int | None:
    """Return the index of the first element of `given` that `declared` does not hold exactly."""
    if given == declared or not data:
        return None
    if declared == "BOOL":
        return None if set(data) <= {0, 1} else _first(data, lambda each: each not in {0, 1})
    if declared == "INT64" and given.startswith("FP"):
        return _first(data, lambda each: each % 1 != 0 or not -(2**63) <= each < 2**63)
    if declared == "INT64" and given == "UINT64" and max(data) >= 2**63:
        return _first(data, lambda each: each >= 2**63)
    if declared == "FP64" and given.endswith("INT64") and not _are_small(data):
        return _first(data, lambda each: int(float(each)) != each)
    return None


def converted(data: Sequence[Any], given: str, declared: Datatype) -> Sequence[Any]:
    """Return elements of the datatype `given`, which must be exact, as elements of `declared`.

    FP64 elements are packed in 8 bytes each, not a list's 32: a request may wait for its turn.
    """
    if declared == "FP64":
        return data if isinstance(data, array) and data.typecode == "d" else _packed(data)
    if given == declared or (declared == "INT64" and "INT" in given):
        return data
    return list(map(bool if declared == "BOOL" else int, data))


def _are_small(integers: Sequence[int]) -> bool:
    return min(integers) >= -EXACT_INTEGERS and max(integers) <= EXACT_INTEGERS


def _packed(numbers: Sequence[Any]) -> "array[float]":
    packed = array("d")
    for start in range(0, len(numbers), PACKED_AT_ONCE):
        packed += array("d", numbers[start : start + PACKED_AT_ONCE])
    return packed


def _first(data: Sequence[Any], is_wrong: Callable[[Any], bool]) -> int | None:
    return next((index for index, element in enumerate(data) if is_wrong(element)), None)
