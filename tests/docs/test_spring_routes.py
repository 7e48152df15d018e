"""docs/spring-routes.md tells the truth: its example is run, its tables are the command's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gateway.routing.spring.filters import CLOSING, FILTERS, LEFT_OUT, NEEDLESS
from gateway.routing.spring.predicates import MISSING, PREDICATES
from stack import ROOT

TEXT = (ROOT / "docs/spring-routes.md").read_text()
BLOCKS = re.findall(r"^```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_example_does_what_the_page_says(tmp_path: Path) -> None:
    """The command, typed as it stands, makes the document and the findings of the page."""
    source, command, findings, document = BLOCKS
    (tmp_path / "application.yml").write_text(source)

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stderr == findings
    assert done.returncode == 1
    assert (tmp_path / "gateway.yaml").read_text() == document


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Predicates", PREDICATES.keys() | MISSING.keys()),
        ("Filters", FILTERS.keys() | NEEDLESS.keys() | LEFT_OUT.keys() | CLOSING.keys()),
    ],
)
def test_the_tables_are_complete(heading: str, known: set[str]) -> None:
    """Each predicate and filter that the command knows has its row, and no other one has."""
    table = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w+)", cell)}

    assert named == known
