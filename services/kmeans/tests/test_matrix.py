"""The quick way into an array beside the thorough one."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from kmeans.matrix import matrix

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
)
ROWS = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1)
)
WRITTEN = st.sampled_from([(",", ":"), (", ", ": "), ("\n,\t", "\r:\n")])


@given(ROWS, WRITTEN)
def test_numbers_are_those_that_python_reads(rows, separators):
    """Every float64 and 64-bit integer, however it is spaced, becomes what `float` makes of it."""
    body = json.dumps({"points": rows}, separators=separators).encode()

    expected = [[float(number) for number in row] for row in json.loads(body)["points"]]
    assert np.array_equal(matrix(body), np.array(expected))


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("points1e ,[]", max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["points", "points1", "e", "po ints"]), inner, max_size=2),
    ),
)


@given(st.one_of(VALUES, VALUES.map(lambda value: {"points": value})))
def test_any_other_document_is_none(document):
    """Only an object with the one member `points`, rows of equal length of numbers, is read."""
    rows = document.get("points") if isinstance(document, dict) and len(document) == 1 else None
    is_matrix = (
        isinstance(rows, list)
        and all(isinstance(row, list) and row for row in rows)
        and len(set(map(len, rows))) == 1
        and {type(number) for row in rows for number in row} == {int}
    )

    found = matrix(json.dumps(document).encode())

    assert (found is not None) is is_matrix


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\xef\xbb\xbf" + b'{"points":[[1,2]]}',
        b'{"points":[[1,2]3,[4,5]]}',
        b'{"points":[[1,],[2,3]]}',
        b'{"points":[[1 2]]}',
        b'{"points":[[1,2]],"points":[[1,2]]}',
        b'{"points":[[1,2]]}[]',
        b'{"points":[[NaN,1]]}',
        b'{"points":[[1e400,1]]}',
        b'{"points":[[01,1]]}',
        b'{"points":[[18446744073709551616,1]]}',
        b'{"points":[[' + b"9" * 400 + b",1]]}",
        b'{"points":' + b"[" * 100_000,
        b'{"points":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_matrix_of_64_bit_numbers_is_none(body):
    """Nothing that only looks like a matrix is taken for one, and the next body is read again."""
    assert matrix(body) is None
    assert np.array_equal(matrix(b'{"points":[[1,2],[3,4]]}'), [[1, 2], [3, 4]])
