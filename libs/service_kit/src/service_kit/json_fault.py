"""The words for a body that is not JSON: where it stops to be JSON, and why."""

import codecs
import re
from typing import Any

import orjson

from service_kit.problem import Problem

_OTHER_MARKS = (
    codecs.BOM_UTF16_LE,  # UTF-32 LE begins with the same bytes
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_BE,
)
_NO_NUMBER = re.compile("-?(NaN|Infinity)")
_OF_PYTHON = {"None": "null", "True": "true", "False": "false"}
_WIDEST = 9
"""Characters of the longest word that is looked for, `-Infinity`."""


def not_json(body: bytes) -> Problem:
    """Return the 400 of a body that is not JSON; it has line and column where there are any.

    Lines and columns begin with 1, columns are counted in characters.
    """
    if not body.strip(b" \t\r\n"):
        return _problem("it is empty; send a JSON document")
    if body.startswith(_OTHER_MARKS) or 0 in body[:2]:
        return _problem("it is in UTF-16 or UTF-32; send UTF-8 (RFC 8259, 8.1)")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start].decode()
        return _at(before, len(before), f"the byte 0x{body[error.start]:02x} is no UTF-8")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        begin = error.pos - text.endswith("-", 0, error.pos)  # it may point behind a sign
        return _at(text, begin, _cause(text, begin, error.msg))
    return _problem("its lists and objects are nested too deeply")


def _cause(text: str, begin: int, message: str) -> str:
    """Return why a text ends to be JSON at `begin`, where its reader says `message`."""
    found = text[begin : begin + _WIDEST]
    if number := _NO_NUMBER.match(found):
        return f"{number[0]} is no number of JSON; send null, or leave the value out"
    for word, meant in _OF_PYTHON.items():
        if found.startswith(word):
            return f"{word} is Python's; in JSON it is {meant}"
    if found.startswith("'"):
        return "names and texts stand in double quotes"
    if found.startswith("\ufeff"):
        return "a byte order mark stands here; send none"
    if begin >= len(text.rstrip()):
        return "the document ends too early"
    return message


def _at(text: str, at: int, cause: str) -> Problem:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return _problem(f"line {line}, column {column}: {cause}", line=line, column=column)


def _problem(cause: str, **place: Any) -> Problem:
    return Problem(400, f"The body is not valid JSON: {cause}.", type="invalid-json", **place)
