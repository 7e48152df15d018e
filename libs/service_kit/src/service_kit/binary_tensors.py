"""Tensors as bytes: the binary tensor data extension of the Open Inference Protocol, without I/O.

Elements are in little-endian byte order, row-major, with nothing between them. A BOOL is a byte, 0
or 1; an element of BYTES is its length in 4 bytes, then its bytes, here always UTF-8.
Source: github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from service_kit.datatypes import ELEMENTS

_LENGTH = struct.Struct("<I")
_MARKS = bytes([0xC0, 0xC1, *range(0xF5, 0x100)])
"""Bytes that no text in UTF-8 has."""
_CODES = bytes.maketrans(_MARKS, bytes(range(len(_MARKS))))
_SHORT = _MARKS[0]
"""Bytes of a text whose length has no mark among its bytes."""


@dataclass(frozen=True, slots=True)
class Categorical(Sequence[str]):
    """Texts of a short list, as numbers: the text at `i` is `categories[codes[i]]`.

    A model that looks its texts up can use the codes instead; for any other it is a sequence.
    """

    codes: bytes
    categories: Sequence[str]

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self.categories[code] for code in self.codes[index]]
        return self.categories[self.codes[index]]

    def __len__(self) -> int:
        return len(self.codes)


def unpacked(
    data: bytes, datatype: str, count: int, categories: Sequence[str] = ()
) -> Sequence[Any]:
    """Return the `count` elements of a binary tensor.

    Args:
        data: the whole tensor.
        datatype: one of `ELEMENTS`.
        count: number of its elements.
        categories: texts that a BYTES tensor is expected to have; others are read too.

    Raises:
        ValueError: the bytes are no such tensor; the message says why.
    """
    if datatype == "BYTES":
        found = _categorical(data, count, categories)
        return _texts(data, count) if found is None else found
    size = ELEMENTS[datatype].size
    if len(data) != count * size:
        raise ValueError(f"{len(data)} bytes, {count} elements of {size} are {count * size}")
    if datatype == "BOOL":
        if data.translate(None, b"\0\1"):
            raise ValueError("a byte is neither 0 nor 1")
        return list(map(bool, data))
    if datatype == "FP16":
        return struct.unpack(f"<{count}e", data)
    numbers = array(ELEMENTS[datatype].code, data)
    return _little_endian(numbers)


def packed(data: Sequence[Any], datatype: str) -> bytes:
    """Return elements of a datatype that a model may declare as a binary tensor."""
    if datatype == "BYTES":
        known = {text: _packed_text(text) for text in set(data)}
        return b"".join([known[text] for text in data])
    if datatype == "BOOL":
        return bytes(data)
    return _little_endian(array(ELEMENTS[datatype].code, data)).tobytes()


def _little_endian(numbers: "array[Any]") -> "array[Any]":
    """Return numbers between this machine's byte order and the protocol's."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _packed_text(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _texts(data: bytes, count: int) -> list[str]:
    texts: list[str] = []
    at, end = 0, len(data)
    while at < end and len(texts) < count:
        start = at + _LENGTH.size
        at = start + int.from_bytes(data[at:start], "little")
        if start > end or at > end:
            raise ValueError(f"element {len(texts)} is longer than the tensor")
        try:
            texts.append(data[start:at].decode())
        except UnicodeDecodeError as error:
            raise ValueError(f"element {len(texts)} is not UTF-8") from error
    if len(texts) != count or at != end:
        raise ValueError(f"{end} bytes are not {count} elements")
    return texts


def _categorical(data: bytes, count: int, categories: Sequence[str]) -> Categorical | None:
    """Return a tensor of known texts, or None for any other.

    Every element becomes one byte, its mark, by replacing the bytes of each text in turn, which
    takes a fraction of the time of reading one by one. If nothing but marks is left, the tensor is
    their texts and nothing else, for no mark was among its bytes before.
    """
    texts = [_packed_text(text) for text in categories]
    if not 0 < len(texts) <= len(_MARKS) or max(map(len, texts)) >= _SHORT:
        return None
    if len(data.translate(None, _MARKS)) != len(data):
        return None
    marks = data
    for number, text in enumerate(texts):
        marks = marks.replace(text, _MARKS[number : number + 1])
    if len(marks) != count or marks.translate(None, _MARKS):
        return None
    return Categorical(marks.translate(_CODES), categories)
