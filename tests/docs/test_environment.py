"""docs/environment.md tells the truth: it is what the settings say, and leaves no variable out."""

import re
import subprocess

import pytest
from pydantic import BaseModel
from service_kit import own_variables
from stack import ROOT
from stack.environment import SETTINGS
from stack.services import found

PAGE = ROOT / "docs" / "environment.md"


def test_the_page_is_what_its_command_makes() -> None:
    """`make environment-page` changes nothing: the page was made anew with the settings."""
    before = PAGE.read_text()
    subprocess.run(["make", "--silent", "environment-page"], cwd=ROOT, check=True)

    assert PAGE.read_text() == before


@pytest.mark.parametrize("model", [model for _, model in SETTINGS])
def test_every_variable_has_a_meaning(model: type[BaseModel]) -> None:
    """A reader is told what each variable is for, not its name alone."""
    assert [each.name for each in own_variables(model) if not each.meaning] == []


def test_the_variables_of_compose_are_on_the_page() -> None:
    """Whoever starts the containers without `make` finds what the files take."""
    files = [ROOT / "deploy" / name for name in ("docker-compose.yml", "own-nacos.yml")]
    taken = {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    of_models = rf"^({'|'.join(each.package.upper() for each in found())})_"
    taken = {re.sub(of_models, "<PACKAGE>_", name) for name in taken}

    assert len(taken) > 10
    assert {name for name in taken if f"| `{name}` |" not in PAGE.read_text()} == set()


def test_a_variable_is_read_by_its_own_name_once() -> None:
    """No row stands twice under one heading, and each heading has its rows."""
    for part in PAGE.read_text().split("\n## ")[1:]:
        names = re.findall(r"^\| `([A-Z_]+)` \|", part, re.MULTILINE)
        assert names
        assert len(names) == len(set(names)), part
