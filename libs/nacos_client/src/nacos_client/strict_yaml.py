"""YAML's plain types only, without repeated keys and without alias bombs."""

from typing import Any

import yaml

from nacos_client.errors import BadDocument

MAX_ALIASES = 20
"""A YAML document whose aliases multiply is a few lines that fill the memory."""


def load(content: str) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: it is not YAML.
        BadDocument: it repeats a key, or its aliases multiply.
    """
    try:
        return yaml.load(content, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


class _Loader(yaml.SafeLoader):
    """YAML's plain types, without repeated keys and without alias bombs."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise BadDocument(f"more than {MAX_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                line = key.start_mark.line + 1
                raise BadDocument(f"the key {key.value!r} is there twice, again in line {line}")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
