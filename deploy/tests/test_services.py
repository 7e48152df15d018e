"""Everything that names the model services has their names from the services' own tables."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from stack import ROOT, compose
from stack.import_rules import rules
from stack.plan import Plan
from stack.services import ServedModel, found

PROJECT = """
[project]
name = "modelserve-iris"

[tool.modelserve.service]
name = "iris-2"
ports = [8002, 8012]
model = "iris.model:Iris"
path = "/api/v1/predict"
body = '{"inputs":[{"petal":1.5}]}'
"""
IRIS = ServedModel(
    "iris",
    "iris-2",
    (8002, 8012),
    "iris.model:Iris",
    "/api/v1/predict",
    '{"inputs":[{"petal":1.5}]}',
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of services: a model, and a service that is none."""
    for name, text in (("iris", PROJECT), ("gateway", '[project]\nname = "modelserve-gateway"\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text)
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_a_folder_with_the_table_is_found(folder: Path) -> None:
    """A model service is found by its table; a service without one and other folders are not."""
    assert found(folder) == (IRIS,)


def test_the_plan_starts_and_calls_each_model() -> None:
    """The stack has two instances of each model on its ports, and a call by its name in Nacos."""
    plan = Plan(100, services=(IRIS,))

    assert [(part.name, part.service, part.port) for part in plan.models] == [
        ("iris-1", "iris-2", 8102),
        ("iris-2", "iris-2", 8112),
    ]
    assert plan.calls == (("/iris-2/api/v1/predict", IRIS.body),)


def test_compose_has_what_the_tables_say() -> None:
    """The committed Compose files are what is derived; one more service is one block more."""
    for file in compose.BLOCKS:
        assert compose.derived(file, found()) == file.read_text()
    images, members, ports = (compose.derived(file, (*found(), IRIS)) for file in compose.BLOCKS)

    assert "SERVICE: iris, PORT: 8002" in images
    assert "modelserve}/iris:${IRIS_VERSION:-latest}" in images
    assert "  iris:\n    environment: *members\n" in members
    assert 'ports: ["${IRIS_PORT:-8002}:${IRIS_PORT:-8002}"]' in ports


def test_import_rules_hold_for_each_service() -> None:
    """Each folder of services/ is in every rule that names services, and beside all others."""
    table = tomllib.loads(rules(["gateway", "iris"]))["tool"]["importlinter"]

    assert {"gateway", "iris", "stack"} <= set(table["root_packages"])
    assert table["contracts"][0]["layers"][0] == "gateway | iris"
    sdk = next(each for each in table["contracts"] if "SDK" in each["name"])
    assert "iris" in sdk["source_modules"]
    assert "services" not in rules(["gateway", "iris"]).replace("services/", "").split('"')


def test_the_printed_rules_name_each_service() -> None:
    """`python -m stack.import_rules` has the packages of this checkout."""
    told = subprocess.check_output([sys.executable, "-m", "stack.import_rules"], text=True)

    packages = tomllib.loads(told)["tool"]["importlinter"]["root_packages"]
    assert {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")} <= set(packages)


def test_make_and_mypy_know_each_folder() -> None:
    """Members of make's environment, and what mypy reads, are found by their folders."""
    members = subprocess.check_output(
        ["make", "--silent", "--no-print-directory", "--eval=members:;@echo $(MEMBERS)", "members"],
        cwd=ROOT,
        text=True,
    ).split()
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
    read = {path for pattern in mypy for path in ROOT.glob(pattern)}
    projects = {path.parent for path in ROOT.glob("*/*/pyproject.toml")} | {ROOT / "deploy"}

    assert {ROOT / member for member in members} == projects
    assert read == {project / "src" for project in projects}
