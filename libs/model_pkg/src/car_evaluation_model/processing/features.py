"""Arrays of value codes, (n, 6) integers, column order as in the configuration."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.int64]


def every_input(shape: tuple[int, ...]) -> Codes:
    """All different inputs, last feature fastest: row `rank(codes)` is `codes`."""
    return np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)


def rank(codes: Codes, shape: tuple[int, ...]) -> Codes:
    """Position of each row in `every_input`."""
    return np.asarray(np.ravel_multi_index(tuple(codes.T), shape), dtype=np.int64)


def counts(codes: Codes, shape: tuple[int, ...]) -> list[list[int]]:
    """How often each value of each feature occurs."""
    return [
        np.bincount(column, minlength=size).tolist()
        for column, size in zip(codes.T, shape, strict=True)
    ]
