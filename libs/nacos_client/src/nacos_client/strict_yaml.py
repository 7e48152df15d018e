"""Strict YAML: one reading, keys that are text and not repeated, and no alias bombs.

Parsers disagree about plain values: by YAML 1.1 `1:30` is 90, `010` is 8 and `on` is true, by
YAML 1.2 they are text, 10 and text. So a document is refused where the two versions differ, and
read where they agree. The rules are those of chapter 10.3.2 of YAML 1.2.2 (the core schema), and of
PyYAML for 1.1.
"""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from nacos_client.errors import BadDocument

MAX_GROWTH = 1_000_000
"""Characters that aliases may add to a document; aliases of aliases would fill the memory."""
MERGE, TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
KEYS = {MERGE, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))}
"""The tags of keys that JSON, TOML and properties can spell too."""


NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
"""The decimal and octal numbers of YAML 1.2."""
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
"""The whole numbers that YAML 1.1 and 1.2 read alike."""


def load(content: str, *, as_spring: bool = False) -> Any:
    """Read a YAML document.

    Args:
        content: the text.
        as_spring: take YAML 1.1's reading wherever the versions differ, as Spring does.

    Raises:
        ValueError: the content is not YAML.
        BadDocument: a plain value has two readings, a key is repeated or no plain text, a value is
            not what its tag says, or aliases multiply.
    """
    try:
        return yaml.load(content, _Loader if as_spring else _OneReading)  # noqa: S506  (safe both)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def line_of(content: str, place: Iterable[int | str]) -> int | None:
    """Return the line, counted from 1, of a key or an entry of a YAML document.

    Args:
        content: of the document, which `load` reads.
        place: the keys and indexes on the way; of what is not there, the line of what it is
            missing in.

    Returns:
        None if the place is the document itself.
    """
    node: Any = yaml.compose(content, _Loader)
    line = None
    for step in place:
        found = _inner(node, step)
        if found is None:
            break
        line, node = found
    return line


def _inner(node: Any, step: int | str) -> tuple[int, Any] | None:
    """Return the line and the value of an entry of a node, None if there is none."""
    if isinstance(node, yaml.MappingNode):
        entries = ((key, value) for key, value in node.value if key.value == str(step))
        return next(((_line(key), value) for key, value in entries), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _line(node.value[step]), node.value[step]
    return None


class _Loader(yaml.SafeLoader):
    """A safe loader that raises PyYAML's errors and `BadDocument`, and no others."""

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self.grown = 0
        self.lengths: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        before, is_alias = self.grown, self.check_event(yaml.AliasEvent)
        node: Any = super().compose_node(parent, index)
        if not is_alias:
            length = node.end_mark.index - node.start_mark.index
            self.lengths[id(node)] = length + self.grown - before
        elif id(node) not in self.lengths:  # the node is not composed yet: the alias stands in it
            raise BadDocument(f"line {_line(node)}: an alias to what it stands in")
        else:
            self.grown += self.lengths[id(node)]
            if self.grown > MAX_GROWTH:
                raise BadDocument(f"aliases make it longer than {MAX_GROWTH} characters")
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            raise BadDocument(f"line {_line(node)}: a value that is no {kind}") from error

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in KEYS:
                raise BadDocument(f"line {_line(key)}: a key that is no plain text; quote it")
            if key.tag != MERGE and key.value in seen:
                raise BadDocument(
                    f"the key {key.value!r} is there twice, again in line {_line(key)}"
                )
            seen.add(key.value)
        return node


class _OneReading(_Loader):
    """A loader that refuses plain values with two readings, and takes each key as it is spelled."""

    def compose_scalar_node(self, anchor: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node: Any = super().compose_scalar_node(anchor)
        if event.implicit[0] and (problem := _two_readings(node.tag, node.value)):
            raise BadDocument(f"line {_line(node)}: {problem}, or quote the text")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        for key, _ in node.value:
            if key.tag != MERGE:
                key.tag = TEXT
        return node


def _two_readings(tag: str, plain: str) -> str | None:
    """Say what YAML 1.1 and 1.2 read differently in a plain value, and how to write it instead.

    The value itself is not repeated: it may be secret.
    """
    match tag.rpartition(":")[2]:
        case "bool" if plain.lower() not in {"true", "false"}:
            return "yes, no, on or off, which is no boolean in YAML 1.2; write true or false"
        case "timestamp":
            return "a date in YAML 1.1, text in YAML 1.2; write it in quotes"
        case "value":
            return "a lone =, which means a default in YAML 1.1; write it in quotes"
        case "str" if NUMBER.fullmatch(plain):
            return (
                "a number in YAML 1.2, text in YAML 1.1; write it like 10 or 1.0e+3,"
                " without a leading 0 or 0o"
            )
        case "int" | "float" if ":" in plain:
            return "base 60 in YAML 1.1 (1:30 is 90); write the number in decimal digits"
        case "int" | "float" if "_" in plain:
            return "a number with _, which is text in YAML 1.2; write it without (1_0 is 10)"
        case "int" if not WHOLE.fullmatch(plain):
            return (
                "octal, binary or signed hexadecimal in YAML 1.1 (010 is 8, 0b11 is 3);"
                " write the number in decimal digits, without a leading 0"
            )
    return None


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
