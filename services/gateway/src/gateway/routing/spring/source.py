"""The configuration file of a Spring application, read as Spring Boot reads it.

YAML and properties become one tree: a key with dots is a path, a later document of the file has its
say over an earlier one, a list is replaced whole, and `${NAME:default}` is filled in from the file
or with its default. Names are compared as Spring compares them: case, `-` and `_` do not count.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from nacos_client import BadDocument
from nacos_client.properties import read_properties
from nacos_client.strict_yaml import load

MAX_BYTES = 1024 * 1024
"""Bytes of a file; larger files are refused."""
MAX_DEPTH = 32
"""Parts of a key, and placeholders in placeholders."""
MAX_FILLED = 4096
"""Characters of a text whose placeholders are filled in."""
MARKER = {
    "yaml": re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE),
    "properties": re.compile(r"^[#!]---[ \t]*$", re.MULTILINE),
}
"""The line between two documents of a file."""
PROFILE_KEYS = ("spring.config.activate.on-profile", "spring.profiles")
PART = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
NUMBER = re.compile(r"[0-9]{1,6}")
PLACEHOLDER = re.compile(r"\$\{([^${}]*)\}")

Tree = dict[str, Any]
"""A mapping of texts to trees, lists (mappings whose keys count from 0) or texts."""


class SpringFileError(ValueError):
    """The file cannot be read or translated; the message says why."""


@dataclass(frozen=True, slots=True)
class SpringFile:
    """The values of a file, for the profiles that were asked for.

    Attributes:
        tree: all documents, one laid over the other.
        skipped: profiles of the documents that were left out.
    """

    tree: Tree
    skipped: list[str] = field(default_factory=list)

    def find(self, path: str) -> Any:
        """Return the value at a path like `spring.cloud.gateway`, None if there is no such."""
        found: Any = self.tree
        for part in _parts(path):
            found = get(found, part)
        return found

    def fill(self, text: str) -> str:
        """Return a text with its placeholders filled in; a placeholder without a value stays."""
        for _ in range(MAX_DEPTH):
            filled = PLACEHOLDER.sub(self._value, text)
            if filled == text or len(filled) > MAX_FILLED:
                break
            text = filled
        return text

    def _value(self, placeholder: re.Match[str]) -> str:
        name, colon, default = placeholder[1].partition(":")
        value = self.find(name)
        if isinstance(value, str) and len(value) <= MAX_FILLED:
            return value
        return default if colon else placeholder[0]


def read(content: bytes, kind: str, profiles: Collection[str] = ()) -> SpringFile:
    """Read a file.

    Args:
        content: the file, in UTF-8, with a byte order mark or without.
        kind: `yaml` or `properties`.
        profiles: Spring profiles that are active; documents of others are left out.

    Raises:
        SpringFileError: the content is too large, no UTF-8, or not of this kind.
    """
    if len(content) > MAX_BYTES:
        raise SpringFileError(f"larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")  # without the mark that editors of Windows put first
    except UnicodeDecodeError as error:
        raise SpringFileError(f"byte {error.start} is no UTF-8; save the file as UTF-8") from error
    try:
        return _lay_over(_documents(text, kind), profiles)
    except (BadDocument, ValueError) as error:
        raise SpringFileError(str(error)) from error
    except RecursionError as error:
        raise SpringFileError("nested too deep") from error


def get(tree: Any, name: str) -> Any:
    """Return the entry of a tree that Spring takes for this name, None if there is no such."""
    if not isinstance(tree, dict):
        return None
    if name in tree:
        return tree[name]
    wanted = relaxed(name)
    return next((value for key, value in tree.items() if relaxed(key) == wanted), None)


def relaxed(name: str) -> str:
    """Return a name as Spring compares it."""
    return name.replace("-", "").replace("_", "").lower()


def items(tree: Any) -> list[Any]:
    """Return the entries of a list by their numbers, or the parts of a text with commas."""
    if isinstance(tree, dict):
        numbered = sorted((int(key), value) for key, value in tree.items() if NUMBER.fullmatch(key))
        return [value for _, value in numbered]
    if isinstance(tree, str):
        return [part.strip() for part in tree.split(",") if part.strip()]
    return []


def flat(tree: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a tree with their keys, joined by dots."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flat(value, f"{before}.{key}" if before else key)
    elif isinstance(tree, str):
        yield before, tree


def _documents(text: str, kind: str) -> Iterator[Tree]:
    start = 0
    for end in [*(mark.start() for mark in MARKER[kind].finditer(text)), len(text)]:
        # The lines before stay as empty ones, so that an error names the line of the file.
        part = "\n" * text.count("\n", 0, start) + text[start:end]
        start = end + 3 if kind == "yaml" else end
        tree: Tree = {}
        if kind == "properties":
            for key, value in read_properties(part).items():
                _put(tree, key, value)
        else:
            value = load(part, as_spring=True)
            if value is not None and not isinstance(value, dict):
                raise SpringFileError("a document of the file is no mapping of keys to values")
            _put(tree, "", value or {})
        yield tree


def _lay_over(documents: Iterator[Tree], profiles: Collection[str]) -> SpringFile:
    tree: Tree = {}
    skipped: list[str] = []
    for document in documents:
        here = SpringFile(document)
        named = [name for key in PROFILE_KEYS for name in _named(here.find(key))]
        if not named or set(named) & set(profiles):
            _merge(tree, document)
        else:
            skipped.append(", ".join(named))
    return SpringFile(tree, skipped)


def _named(value: Any) -> list[str]:
    """Return the profiles of a document; keys below `spring.profiles` have another meaning."""
    return [each for each in items(value) if isinstance(each, str)]


def _merge(tree: Tree, over: Tree) -> None:
    names = {relaxed(known): known for known in tree}
    for key, value in over.items():
        own = names.get(relaxed(key), key)
        below = tree.get(own)
        if isinstance(value, dict) and isinstance(below, dict) and "0" not in value:
            _merge(below, value)
        else:
            tree[own] = value


def _put(tree: Tree, path: str, value: Any) -> None:
    """Put a value of the file below a path, which is made."""
    if isinstance(value, dict):
        for key, one in value.items():
            _put(tree, f"{path}.{_text(key)}" if path else _text(key), one)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            _put(tree, f"{path}[{number}]", one)
    elif value is not None:
        *parents, last = _parts(path) or [""]
        for part in parents:
            below = tree.get(part)
            if not isinstance(below, dict):
                below = tree[part] = {}
            tree = below
        tree[last] = _text(value)


def _parts(path: str) -> list[str]:
    parts = [bracketed or plain for bracketed, plain in PART.findall(path)]
    if len(parts) > MAX_DEPTH:
        raise SpringFileError(f"a key has more than {MAX_DEPTH} parts: {path[:80]}...")
    return parts


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
