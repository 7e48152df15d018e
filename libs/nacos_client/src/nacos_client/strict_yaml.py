"""Strict YAML: plain types, keys that are text and not repeated, and no alias bombs."""

from typing import Any

import yaml

from nacos_client.errors import BadDocument

MAX_GROWTH = 1_000_000
"""Characters that aliases may add to a document; aliases of aliases would fill the memory."""
MERGE = "tag:yaml.org,2002:merge"
KEYS = {MERGE, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))}
"""The tags of keys that JSON, TOML and properties can spell too."""


def load(content: str) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: the content is not YAML.
        BadDocument: a key is repeated or no plain text, a value is not what its tag says, or
            aliases multiply.
    """
    try:
        return yaml.load(content, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


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

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep=deep)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in KEYS:
                raise BadDocument(f"line {_line(key)}: a key that is no plain text; quote it")
            if key.tag != MERGE and key.value in seen:
                raise BadDocument(
                    f"the key {key.value!r} is there twice, again in line {_line(key)}"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
