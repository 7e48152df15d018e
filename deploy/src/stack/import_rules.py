"""`python -m stack.import_rules`: prints the import rules of pyproject.toml for import-linter.

Import-linter wants every package by name. In the rules `services` stands for the package of each
folder of services/, so that a new service has the rules of the others.
"""

import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from stack import ROOT

PLACEHOLDER = "services"


def spread(table: Mapping[str, Any], packages: Sequence[str]) -> dict[str, Any]:
    """Return a table of rules with the packages in the place of the placeholder."""
    return {key: _value(key, value, packages) for key, value in table.items()}


def _value(key: str, value: Any, packages: Sequence[str]) -> Any:
    if not isinstance(value, list) or PLACEHOLDER not in value:
        return value
    # The members of a layer stand in one text: they are side by side and import none of each other.
    instead = [" | ".join(packages)] if key == "layers" else list(packages)
    at = value.index(PLACEHOLDER)
    return [*value[:at], *instead, *value[at + 1 :]]


def rules(packages: Sequence[str]) -> str:
    """Return the rules as TOML."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts = table.pop("contracts")
    parts = [_table("[tool.importlinter]", spread(table, packages))]
    parts += [_table("[[tool.importlinter.contracts]]", spread(c, packages)) for c in contracts]
    return "\n".join(parts)


def _table(head: str, table: Mapping[str, Any]) -> str:
    # Texts, truths and lists of texts are the same in JSON and in TOML.
    lines = (f"{key} = {json.dumps(value)}" for key, value in table.items())
    return "\n".join((head, *lines, ""))


if __name__ == "__main__":
    folders = (path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
    sys.stdout.write(rules(sorted(folders)))
