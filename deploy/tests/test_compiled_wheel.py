"""The build hook: what it compiles, and the pure wheel where it cannot."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from stack import ROOT

HOOK = ROOT / "deploy" / "compiled_wheel.py"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny"
version = "1"
requires-python = ">=3.11"

[tool.hatch.build.targets.wheel]
packages = ["src/tiny"]

[tool.hatch.build.targets.wheel.hooks.custom]
path = "{hook}"

[tool.hatch.build.targets.wheel.hooks.custom.compiled]
tiny = ["hot", "fast.c"]
"""
SOUND, UNSOUND = (
    "def twice(x: int) -> int:\n    return 2 * x\n",
    "def one() -> int:\n    return ''\n",
)
IN_C = """
#include <Python.h>
static PyObject *twice(PyObject *self, PyObject *x) { return PyNumber_Add(x, x); }
static PyMethodDef methods[] = {{"twice", twice, METH_O, ""}, {NULL}};
static struct PyModuleDef fast = {PyModuleDef_HEAD_INIT, "fast", "", -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&fast); }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with three modules, of which one is to be compiled and one has a form in C."""
    folder = tmp_path / "project"
    package = folder / "src" / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cold.py").write_text(SOUND)
    (package / "hot.py").write_text(SOUND)
    (package / "fast.py").write_text(SOUND)
    (package / "fast.c").write_text(IN_C)
    (folder / "pyproject.toml").write_text(PROJECT.format(hook=os.path.relpath(HOOK, folder)))
    return folder


def build(project: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """Build the wheel of a project; what was said, and the wheels there are."""
    output = project / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output, project],
        env={name: value for name, value in os.environ.items() if name != "GATEWAY_COMPILED"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done, list(output.glob("*.whl"))


def names(wheel: Path) -> list[str]:
    """The files of a wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def test_only_the_named_modules_are_compiled(
    project: Path, program: Callable[[str, str], str], tmp_path: Path
) -> None:
    """The wheel is for this platform; the named modules are extension modules, the other is not.

    Every source is in the wheel, the project has no new file, a second wheel has the same bytes.
    """
    program("gcc", "gcc")
    before = sorted(project.rglob("*"))
    done, (wheel,) = build(project)
    first = wheel.read_bytes()
    wheel.rename(tmp_path / wheel.name)
    wheel.parent.rmdir()
    code = """from tiny import cold, fast, hot
print(cold.__file__, hot.__file__, fast.__file__, hot.twice(2), fast.twice(3))"""
    with zipfile.ZipFile(tmp_path / wheel.name) as archive:
        archive.extractall(tmp_path / "site")
    said = subprocess.check_output(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, text=True
    )
    cold, hot, fast, four, six = said.split()

    assert done.returncode == 0, done.stdout
    assert not wheel.name.endswith("-none-any.whl")
    assert (Path(cold).suffix, Path(hot).suffix, four) == (".py", ".so", "4")
    assert (Path(fast).suffix, six) == (".so", "6")
    sources = {f"tiny/{name}.py" for name in ("__init__", "cold", "fast", "hot")}
    assert sources <= set(names(tmp_path / wheel.name))
    assert sorted(project.rglob("*")) == before
    assert build(project)[1][0].read_bytes() == first


def test_the_version_of_the_sources_beside_is_required_exactly() -> None:
    """Machine code of one version beside the sources of another would be wrong."""
    gateway = (ROOT / "services/gateway/pyproject.toml").read_text()
    failover = (ROOT / "libs/failover/pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.*)"$', failover, re.MULTILINE)

    assert f'"modelserve-failover=={version}"' in gateway


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"GATEWAY_COMPILED": "0"}, "GATEWAY_COMPILED=0"),
        ({"CC": "no-such-compiler"}, "no C compiler no-such-compiler"),
    ],
)
def test_the_fallback_is_a_pure_wheel(
    project: Path, environment: dict[str, str], reason: str
) -> None:
    """Unwanted or without a compiler: a wheel for every platform, and one line that says why."""
    done, (wheel,) = build(project, **environment)

    assert done.returncode == 0, done.stdout
    assert wheel.name == "tiny-1-py3-none-any.whl"
    sources = ("__init__.py", "cold.py", "fast.c", "fast.py", "hot.py")
    assert names(wheel) == [f"tiny/{name}" for name in sources]
    (line,) = [line for line in done.stdout.splitlines() if "pure wheel" in line]
    assert reason in line


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"GATEWAY_COMPILED": "1", "CC": "no-such-compiler"}, "no C compiler no-such-compiler"),
        ({"GATEWAY_COMPILED": "maybe"}, "'maybe': set it to 0, to 1, or not at all"),
    ],
)
def test_what_cannot_be_had_is_refused(
    project: Path, environment: dict[str, str], reason: str
) -> None:
    """GATEWAY_COMPILED=1 without a compiler, and a value that it does not have: no wheel."""
    done, wheels = build(project, **environment)

    assert done.returncode != 0
    assert wheels == []
    assert reason in done.stdout


def test_a_failed_compilation_is_no_pure_wheel(
    project: Path, program: Callable[[str, str], str]
) -> None:
    """A module that mypyc refuses ends the build with mypyc's reason: no slow wheel gets out."""
    program("gcc", "gcc")
    (project / "src/tiny/hot.py").write_text(UNSOUND)
    done, wheels = build(project)

    assert done.returncode != 0
    assert wheels == []
    assert "hot.py:2: error" in done.stdout
    assert "tiny cannot be compiled" in done.stdout


def test_an_editable_installation_is_interpreted(project: Path) -> None:
    """The workspace runs from its sources, whose next change counts at once."""
    code = "from hatchling.build import build_editable as build; print(build('dist'))"
    built = subprocess.check_output([sys.executable, "-c", code], cwd=project, text=True).strip()

    assert built == "tiny-1-py3-none-any.whl"
    assert [name for name in names(project / "dist" / built) if name.endswith(".so")] == []
