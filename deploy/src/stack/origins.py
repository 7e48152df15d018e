"""The code that a new model service begins with, from what its author has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack import ROOT

TEMPLATE = ROOT / "deploy" / "service_template"
LIBRARY = ("modelserve-model-service", "pydantic>=2.11")
SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


class UnusableOriginError(RuntimeError):
    """No service can be made of what was given; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new service begins with.

    Attributes:
        app: its module `app`, with `$kind`, `$name`, `$package` and `$port` for the service's own.
        dependencies: distributions that the module needs, as requirements.
        row: a good row, as in JSON.
        files: files beside the module, by their names.
    """

    app: str
    dependencies: tuple[str, ...]
    row: Mapping[str, Any]
    files: Mapping[str, Path]

    @property
    def body(self) -> str:
        """The body of a request for the row; it has no `'`, so that a shell takes it in two."""
        body = json.dumps({"inputs": [dict(self.row)]}, separators=(",", ":"))
        return body.replace("'", r"\u0027")


def example() -> Origin:
    """Return a running example: a forest of a data set that scikit-learn has."""
    app = (TEMPLATE / "example.py.in").read_text()
    return Origin(app, (*LIBRARY, "scikit-learn>=1.7"), SETOSA, {})
