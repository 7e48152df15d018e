"""Binary tensors, against numpy and against the text of the extension."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, strategies as st
from service_kit import Categorical
from service_kit.binary_tensors import packed, unpacked

NUMPY = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"} | {
    f"{sign}INT{8 * size}": f"<{kind}{size}"
    for sign, kind in (("", "i"), ("U", "u"))
    for size in (1, 2, 4, 8)
}
CATEGORIES = ("", "low", "med", "high", "größer", "5more")
texts = st.lists(st.sampled_from(CATEGORIES) | st.text(max_size=300), max_size=20)


def as_bytes(elements: list[str]) -> bytes:
    """Return texts as the extension's own text says: 4 bytes of length, then the bytes."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


@given(st.sampled_from(sorted(NUMPY)), st.binary(max_size=64))
def test_numbers_are_those_of_numpy(datatype, data):
    """The elements are what numpy reads of the same bytes, for each datatype."""
    size = np.dtype(NUMPY[datatype]).itemsize
    data = data[: len(data) // size * size]
    if datatype == "BOOL":
        data = bytes(each % 2 for each in data)

    found = unpacked(data, datatype, len(data) // size)

    expected = np.frombuffer(data, NUMPY[datatype]).tolist()
    assert list(found) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert set(map(type, found)) <= {bool, int, float}


@given(st.lists(st.floats()), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.booleans()))
def test_outputs_are_those_of_numpy(floats, integers, booleans):
    """An output's bytes are what numpy writes of its elements."""
    for datatype, data in (("FP64", floats), ("INT64", integers), ("BOOL", booleans)):
        assert packed(data, datatype) == np.array(data, NUMPY[datatype]).tobytes()


@given(texts)
def test_texts_come_and_go_whole(elements):
    """Texts of any length are read as they were written, known ones among them or not."""
    data = packed(elements, "BYTES")

    assert data == as_bytes(elements)
    assert list(unpacked(data, "BYTES", len(elements))) == elements
    assert list(unpacked(data, "BYTES", len(elements), CATEGORIES)) == elements


@given(st.lists(st.sampled_from(CATEGORIES), min_size=1))
def test_known_texts_come_as_codes(elements):
    """A tensor of nothing but known texts has their numbers, of which some are a slice."""
    found = unpacked(as_bytes(elements), "BYTES", len(elements), CATEGORIES)

    assert isinstance(found, Categorical)
    assert [CATEGORIES[code] for code in found.codes] == elements
    assert found[1:] == elements[1:]
    assert found[-1] == elements[-1]


@given(
    st.binary(max_size=80)
    | st.lists(
        st.sampled_from([*(as_bytes([each]) for each in CATEGORIES), b"\xc0", b"\xf5", b"\0"])
    ).map(b"".join),
    st.integers(0, 20),
)
def test_known_texts_make_no_difference(data, count):
    """Whatever bytes come, they are read, or refused, as if no text was known."""

    def read(categories: tuple[str, ...]) -> object:
        try:
            return list(unpacked(data, "BYTES", count, categories))
        except ValueError as error:
            return str(error)

    assert read(CATEGORIES) == read(())


@pytest.mark.parametrize(
    ("data", "datatype", "count", "words"),
    [
        (b"\0" * 15, "FP64", 2, "15 bytes, 2 elements of 8 are 16"),
        (b"\0\2", "BOOL", 2, "a byte is neither 0 nor 1"),
        (b"\0", "FP16", 1, "1 bytes, 1 elements of 2 are 2"),
        (b"\1\0\0\0", "BYTES", 1, "element 0 is longer than the tensor"),
        (b"\0\0\0\0\1\0", "BYTES", 2, "element 1 is longer than the tensor"),
        (b"\1\0\0\0\xff", "BYTES", 1, "element 0 is not UTF-8"),
        (b"\0\0\0\0", "BYTES", 2, "4 bytes are not 2 elements"),
        (b"\0\0\0\0" * 2, "BYTES", 1, "8 bytes are not 1 elements"),
    ],
)
def test_bytes_of_no_tensor_are_refused(data, datatype, count, words):
    """Too many bytes, too few, or others than the datatype has are refused in words."""
    with pytest.raises(ValueError, match=words):
        unpacked(data, datatype, count)


@pytest.mark.parametrize("datatype", ["FP64", "FP16", "BYTES", "BOOL"])
def test_a_claimed_size_takes_no_memory(datatype):
    """The number of elements that a shape claims allocates nothing; only bytes that came do."""
    tracemalloc.start()
    with pytest.raises(ValueError, match="bytes"):
        unpacked(b"\0" * 8, datatype, 2**40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000
