"""The model services of the checkout, found by the table in the project file of each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from stack import ROOT

FOLDER = ROOT / "services"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model service: the table `[tool.modelserve.service]` of `services/*/pyproject.toml`.

    Attributes:
        package: the Python package that `python -m` runs, and the folder's name.
        name: its name in Nacos.
        ports: TCP ports of its first and of its second instance on one machine.
        model: its declaration, as `module:class`.
        path: path of the call that a newcomer tries first.
        body: JSON body of that call.
    """

    package: str
    name: str
    ports: tuple[int, int]
    model: str
    path: str
    body: str

    @classmethod
    def read(cls, folder: Path) -> "ServedModel | None":
        """Return the model service in a folder; None for a folder without the table."""
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        table = project.get("tool", {}).get("modelserve", {}).get("service")
        if table is None:
            return None
        first, second = table["ports"]
        return cls(
            package=folder.name,
            name=table["name"],
            ports=(first, second),
            model=table["model"],
            path=table["path"],
            body=table["body"],
        )


def found(folder: Path = FOLDER) -> tuple[ServedModel, ...]:
    """Return every model service below a folder, in the order of their packages."""
    projects = sorted(folder.glob("*/pyproject.toml"))
    return tuple(filter(None, (ServedModel.read(project.parent) for project in projects)))
