"""The files of the checkout that are written from the tables of the model services."""

from collections.abc import Iterable

from stack import compose, kubernetes
from stack.services import ServedModel, found


def write(services: Iterable[ServedModel]) -> None:
    """Write every file that names the services, where the text differs."""
    listed = tuple(services)
    for file, wanted in {**compose.files(listed), **kubernetes.files(listed)}.items():
        if not file.exists() or wanted != file.read_text():
            partial = file.with_suffix(".partial")
            partial.write_text(wanted)
            partial.replace(file)


if __name__ == "__main__":
    write(found())
