"""`make new-service` and `make remove-service`: a model service of the checkout, and its end.

A service is whole or not there: it is written beside its place, and moved there at the end.
"""

import keyword
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from string import Template

from stack import ROOT, STATE
from stack.origins import TEMPLATE, VERSION, Origin
from stack.plan import Plan
from stack.ports import is_free
from stack.services import FOLDER, ServedModel, found
from stack.written import write

FIRST_PORT = 8002
SECOND = 10
"""The port of a service's second instance is so much above that of its first."""
NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class ServiceError(RuntimeError):
    """A service cannot be made or removed; the message says why, and what to do."""


def package_of(name: str) -> str:
    """Return the Python package, and the folder, of a service's name."""
    return name.replace("-", "_")


def check_name(name: str) -> None:
    """Refuse a name that no new service can have.

    Raises:
        ServiceError: it is no host name, or something else has it.
    """
    package = package_of(name)
    if not NAME.fullmatch(name):
        raise ServiceError(
            f"NAME={name!r} is no host name: callers put it into URLs, so it is 1 to 63 of a-z, 0-9"
            " and -, begins with a letter and does not end with -"
        )
    if (FOLDER / package).exists() or name in {each.name for each in found()}:
        raise ServiceError(f"there is a service {name} already: choose another NAME")
    if keyword.iskeyword(package) or find_spec(package) is not None:
        raise ServiceError(
            f"{package} is a word or a module of Python already, which a service would hide:"
            f" choose another NAME, such as {name}-model"
        )


def choose_ports(wanted: int | None) -> tuple[int, int]:
    """Return the ports of a new service's two instances; the first free ones if none is wanted.

    Raises:
        ServiceError: a wanted port is no port, or another program has it or the one above it.
    """
    plan = Plan()
    taken = {port for part in plan.parts for port in part.ports.values()}
    taken |= {plan.nacos_port, plan.console_port, *range(plan.nacos_port, plan.nacos_port + 2)}
    if wanted is not None and not 1 <= wanted <= 65_535 - SECOND:
        raise ServiceError(f"PORT={wanted} is no port: it is 1 to {65_535 - SECOND}")
    for first in range(FIRST_PORT, 65_535 - SECOND) if wanted is None else (wanted,):
        pair = (first, first + SECOND)
        if not taken & {*pair} and all(map(is_free, pair)):
            return pair
    raise ServiceError(
        f"port {wanted} or {wanted + SECOND if wanted else ''}, that of the second instance, is in"
        " use: leave PORT out, and a free one is chosen"
    )


def create(name: str, origin: Origin, port: int | None = None) -> Path:
    """Write a service and return its folder.

    Raises:
        ServiceError: name or port cannot be used; nothing is written.
    """
    check_name(name)
    first, second = choose_ports(port)
    package, folder = package_of(name), FOLDER / package_of(name)
    values = {
        "name": name,
        "version": VERSION,
        "package": package,
        "kind": "".join(map(str.capitalize, name.split("-"))),
        "port": str(first),
        "second_port": str(second),
        "body": origin.body,
        "dependencies": "\n".join(f'  "{each}",' for each in sorted(origin.dependencies)),
    }
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE, prefix="new-service-") as place:
        _write(Path(place) / package, values, origin)
        _format(Path(place) / package)
        new = ServedModel.read(Path(place) / package)
        try:
            write(_sorted((*found(), *filter(None, (new,)))))
            (Path(place) / package).rename(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            write(found())
            raise
    return folder


def _write(folder: Path, values: Mapping[str, str], origin: Origin) -> None:
    code = folder / "src" / values["package"]
    code.mkdir(parents=True)
    (folder / "tests").mkdir()
    (code / "__init__.py").write_text(f'"""The model {values["name"]} as a service."""\n')
    (code / "py.typed").touch()
    (code / "model.py").write_text(Template(origin.model).substitute(values))
    (folder / "LICENSE").symlink_to("../../LICENSE")
    for name, content in origin.files.items():
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_bytes(content)
    for name, place in (
        ("pyproject.toml", folder / "pyproject.toml"),
        ("README.md", folder / "README.md"),
        ("__main__.py", code / "__main__.py"),
        ("app.py", code / "app.py"),
        ("test.py", folder / "tests" / f"test_{values['package']}.py"),
    ):
        text = (TEMPLATE / f"{name}.in").read_text()
        place.write_text(Template(text).substitute(values))


def _format(folder: Path) -> None:
    """Put imports and lines in the order that `make check` wants, which the names decide."""
    for command in (("check", "--fix-only"), ("format",)):
        settings = ("--quiet", "--no-cache", "--config", str(ROOT / "pyproject.toml"))
        subprocess.run([sys.executable, "-m", "ruff", *command, *settings, folder], check=True)


def install(folder: Path, uv: str) -> None:
    """Make a service's package and distribution known to the environment that runs this.

    Args:
        folder: of the service.
        uv: the program that installs.

    Raises:
        subprocess.CalledProcessError: uv failed; it has said why on the terminal.
    """
    command = (uv, "pip", "install", "--quiet", "--python", sys.executable)
    subprocess.run([*command, "--no-deps", "--no-build-isolation", "-e", folder], check=True)


def named(name: str) -> ServedModel:
    """Return the model service of a name.

    Raises:
        ServiceError: there is none.
    """
    service = next((each for each in found() if each.name == name), None)
    if service is None:
        known = ", ".join(each.name for each in found())
        raise ServiceError(f"there is no model service {name}: NAME is one of {known}")
    return service


def remove(name: str, running: Sequence[str]) -> list[Path]:
    """Take a service out of the checkout; return what was removed.

    Args:
        name: its name in Nacos.
        running: names of the parts of the stack that run.

    Raises:
        ServiceError: there is no such model service, or it runs.
    """
    service = named(name)
    parts = [f"{service.package}-{number}" for number in (1, 2)]
    if {*parts} & {*running}:
        raise ServiceError(f"{name} runs: `make down` first")
    write(each for each in found() if each != service)
    shutil.rmtree(FOLDER / service.package)
    logs = [log for part in parts for log in STATE.glob(f"stack*/logs/{part}.log")]
    for log in logs:
        log.unlink()
    return [(FOLDER / service.package).relative_to(ROOT), *(log.relative_to(ROOT) for log in logs)]


def _sorted(services: Sequence[ServedModel]) -> list[ServedModel]:
    return sorted(services, key=lambda each: each.package)
