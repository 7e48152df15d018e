"""docs/nacos-versions.md is what the tests of today say, and a mark is all that a feature needs."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from stack.releases import RELEASES

from tests.contract.test_wire_versions import VERSIONS
from tests.nacos_versions.__main__ import PLACES
from tests.nacos_versions.table import CANNOT, FAKE, FILE, NOT_TRIED, REAL, cell, text
from tests.nacos_versions.trial import Trial, numbers, read

ROOT = Path(__file__).parents[2]
EXAMPLE = """
import pytest

@pytest.mark.feature("pushes", since="2.3")
@pytest.mark.parametrize("version", ["2.2.3", "3.0.3"])
def test_it(version):
    pass

@pytest.mark.feature("logins")
@pytest.mark.nacos
@pytest.mark.parametrize("way", [1, 2])
def test_of_the_real_server(way):
    if way == 2:
        pytest.skip("not here")

@pytest.mark.feature("logins")
@pytest.mark.nacos
@pytest.mark.parametrize("version", ["3.1"])
def test_of_another_server(version):
    raise AssertionError("is of another run")

@pytest.mark.feature("logins")
def test_of_no_version():
    pass
"""


def document() -> list[list[str]]:
    """The cells of the committed table, its first row the headings."""
    lines = [line for line in FILE.read_text().splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines]
    return [rows[0], *rows[2:]]


def marked() -> dict[str, set[str]]:
    """The tests of each feature, as the marks in the tests' sources say."""
    found: dict[str, set[str]] = {}
    for file in (file for place in PLACES for file in (ROOT / place).rglob("test_*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in map(ast.unparse, function.decorator_list):
                    if name := re.match(r"pytest\.mark\.feature\((['\"])(.+?)\1[,)]", mark):
                        test = f"{file.relative_to(ROOT)}::{function.name}"
                        found.setdefault(name[2], set()).add(test)
    return found


def test_the_table_has_the_features_and_versions_of_today() -> None:
    """A feature or a version that comes or goes is no longer what the committed table names."""
    headings, *rows = document()
    versions = sorted({*VERSIONS, *RELEASES}, key=numbers)

    assert headings == ["feature", *versions]
    assert [row[0] for row in rows] == sorted(marked()), "make test-nacos-versions"
    assert {each for row in rows for each in row[1:]} <= {REAL, FAKE, CANNOT, NOT_TRIED}


def test_the_table_names_tests_that_exist() -> None:
    """Each row has tests, and each of them is marked with its feature."""
    listed = FILE.read_text().partition("## Tests")[2]
    lines = dict(re.findall(r"^- (.+?): (`.+)$", listed, re.MULTILINE))
    tests = {feature: set(re.findall(r"`(.+?)`", line)) for feature, line in lines.items()}

    assert tests.keys() == marked().keys()
    assert all(tests[feature] and tests[feature] <= marked()[feature] for feature in tests)


TRIALS = st.builds(
    Trial,
    st.just("pushes"),
    st.just("3.0.3"),
    real=st.booleans(),
    possible=st.booleans(),
    test=st.just("t.py::test"),
    passed=st.booleans(),
)


@given(st.lists(TRIALS))
def test_a_cell_claims_no_more_than_what_passed(trials: list[Trial]) -> None:
    """Nothing is claimed without a test that passed, nothing real without a real server."""
    said, passed = cell(trials), [trial for trial in trials if trial.passed]
    assert (said == NOT_TRIED) is (passed == [])
    assert said != REAL or any(trial.real for trial in passed)
    assert said not in {REAL, FAKE} or all(trial.possible for trial in passed)


def test_a_mark_is_enough(tmp_path: Path) -> None:
    """A test with the mark is in the table; what was skipped, or is of no version, is not."""
    example, report = tmp_path / "test_example.py", tmp_path / "report.xml"
    example.write_text(EXAMPLE)
    marks = ["-o", "markers=feature:\nnacos:", "--rootdir", str(tmp_path)]
    argv = [sys.executable, "-m", "pytest", "-p", "tests.nacos_versions.trial", *marks]
    ran = subprocess.run(
        [*argv, f"--junit-xml={report}", "-c", os.devnull, str(example)],
        cwd=ROOT,
        env={**os.environ, "NACOS_VERSION": "2.3.2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

    table = text(read(report))
    assert "| feature | 2.2.3 | 2.3.2 | 3.0.3 |" in table
    assert "| logins | not tried | real | not tried |" in table
    assert "| pushes | cannot (server) | not tried | fake |" in table
    assert "- logins: `test_example.py::test_of_the_real_server`\n" in table


@pytest.mark.parametrize(("version", "expected"), [("3.1", (3, 1, 0)), ("2.0.4", (2, 0, 4))])
def test_versions_are_put_in_order_by_their_numbers(
    version: str, expected: tuple[int, ...]
) -> None:
    """A version of two numbers is the first of its line."""
    assert numbers(version) == expected
