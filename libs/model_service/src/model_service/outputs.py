"""The declared outputs of a model, and the check that its answers are what was declared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from service_kit import Datatype, Tensor, TensorSpec

from model_service.errors import WrongAnswerError

_KINDS: Mapping[Datatype, str] = {"INT64": "iu", "FP64": "fiu", "BOOL": "b", "BYTES": "U"}
"""Kinds of numpy's dtypes that stand for a datatype."""


class Out:
    """The declaration of an output: the datatype of its elements, and its shape for one row.

    `Out("INT64")` is a number for each row, `Out("FP64", 3)` three of them, `Out("FP64", -1)` any
    number of them, the same for all rows of a request. `values` lists the texts or numbers that
    the output may have, for the documentation and for the drift.
    """

    def __init__(
        self, datatype: Datatype, *shape: int, values: Sequence[str | int] | None = None
    ) -> None:
        self.datatype: Datatype = datatype
        self.shape = shape
        self.values = values

    def spec(self, name: str) -> TensorSpec:
        """Return the description of the output as a tensor."""
        parameters = {"enum": list(self.values)} if self.values else None
        return TensorSpec(name, self.datatype, (-1, *self.shape), parameters=parameters)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a model to rows: each output by name, an array whose first axis is the row.

    `version` is that of the configuration with which they were computed.
    """

    outputs: Mapping[str, NDArray[Any]]
    version: str

    def part(self, start: int, end: int) -> "Answers":
        """Return the answers to the rows from `start` up to `end`."""
        return Answers(
            {name: array[start:end] for name, array in self.outputs.items()}, self.version
        )

    def lists(self) -> dict[str, list[Any]]:
        """Return each output as a list with an element for each row."""
        return {name: array.tolist() for name, array in self.outputs.items()}

    def predictions(self) -> list[Any]:
        """Return an element for each row: the value of a single output, or an object of several.

        Source: tensorflow.org, "RESTful API", the row format, from which KServe V1 has its words.
        """
        lists = self.lists()
        if len(lists) == 1:
            (only,) = lists.values()
            return only
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def tensors(self, names: frozenset[str]) -> dict[str, Tensor]:
        """Return the named outputs as tensors."""
        return {
            name: Tensor(array.shape, array.ravel().tolist())
            for name, array in self.outputs.items()
            if name in names
        }


def checked(given: object, declared: Mapping[str, Out], rows: int) -> dict[str, NDArray[Any]]:
    """Return the outputs that `predict` gave as arrays, in the declared order.

    Raises:
        WrongAnswerError: an output is missing, unknown, of another type or shape, or not finite.
    """
    if not isinstance(given, Mapping):
        raise WrongAnswerError(f"predict returned {type(given).__name__}, must return a mapping")
    if unknown := given.keys() - declared.keys():
        raise WrongAnswerError(f"output {min(map(str, unknown))!r} is not declared in `outputs`")
    return {name: _array(name, given.get(name), out, rows) for name, out in declared.items()}


def _array(name: str, value: Any, out: Out, rows: int) -> NDArray[Any]:
    if value is None:
        raise WrongAnswerError(f"output {name!r} is missing in what predict returned")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise WrongAnswerError(f"output {name!r} is ragged: {error}") from error
    if array.dtype.kind == "O" and all(isinstance(each, str) for each in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind not in _KINDS[out.datatype]:
        raise WrongAnswerError(f"output {name!r} has elements {array.dtype}, not {out.datatype}")
    wanted = (rows, *out.shape)
    fits = array.ndim == len(wanted) and all(
        want in {-1, size} for size, want in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        raise WrongAnswerError(
            f"output {name!r} has the shape {list(array.shape)}, must have {list(wanted)}"
        )
    if out.datatype == "FP64":
        array = array.astype(np.float64, copy=False)
        if not np.isfinite(array).all():
            raise WrongAnswerError(f"output {name!r} has numbers that are not finite")
    return array
