"""The files of the checkout that are written from the tables of the model services."""

from collections.abc import Iterable
from pathlib import Path

from stack import compose, kubernetes
from stack.observe import alerts, dashboards, scraping
from stack.services import ServedModel, found


def files(services: Iterable[ServedModel]) -> dict[Path, str]:
    """Return the text of each file that is written, for the given services."""
    listed = tuple(services)
    return {
        **compose.files(listed),
        **kubernetes.files(listed),
        **dict(scraping.files(listed)),
        **dict(alerts.files()),
        **dict(dashboards.files()),
    }


def write(services: Iterable[ServedModel]) -> None:
    """Write every file, where the text differs."""
    for file, wanted in files(services).items():
        if not file.exists() or wanted != file.read_text():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(wanted)
            partial.replace(file)


if __name__ == "__main__":
    write(found())
