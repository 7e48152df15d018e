"""The code that a new model service begins with, from what its author has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from string import Template
from typing import Any

from stack import ROOT

TEMPLATE = ROOT / "deploy" / "service_template"
VERSION = version("modelserve-model-service")
"""The version of all distributions of the checkout, which are released together."""
LIBRARY = (f"modelserve-model-service=={VERSION}", "pydantic>=2.12")


class UnusableOriginError(RuntimeError):
    """No service can be made of what was given; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new service begins with.

    Attributes:
        model: its module `model`; `$kind`, `$name`, `$package`, `$port` are the service's own.
        dependencies: distributions that the module needs, as requirements.
        row: a good row, as in JSON.
        files: contents of files beside the module, by their names.
    """

    model: str
    dependencies: tuple[str, ...]
    row: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def body(self) -> str:
        """The body of a request for the row; it has no `'`, so that a shell takes it in two."""
        body = json.dumps({"inputs": [dict(self.row)]}, separators=(",", ":"))
        return body.replace("'", r"\u0027")


def filled(template: str, **values: str) -> str:
    """Return a template's text with the given values; the service's own placeholders stay."""
    return Template((TEMPLATE / template).read_text()).safe_substitute(values)


def literal(text: str) -> str:
    """Return a text in which nothing is a placeholder."""
    return text.replace("$", "$$")
