"""docs/scale.md tells the kept results, and the benchmark that makes them runs."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from stack import ROOT

from benchmarks.scale.costs import Costs
from benchmarks.scale.fleet import DEAD, PEACE, SICK, ZONE, Plan, modes
from benchmarks.scale.reckoning import rows

PAGE = (ROOT / "docs" / "scale.md").read_text()
KEPT: Mapping[str, Any] = json.loads((ROOT / "benchmarks/results/scale.json").read_text())
EVERY, APERTURE, ZONES, BOTH = (mode.name for mode in modes(Plan()))


def told(mode: str, phase: str, figure: str) -> float:
    """Return a figure of the simulation."""
    return float(KEPT["modes"][mode][phase][figure])


@pytest.mark.parametrize(
    ("row", "phase", "figure", "form"),
    [
        ("Connections that are open", PEACE, "open", ",.0f"),
        ("Connections dialled for 100 requests", PEACE, "dials of 100 attempts", ".1f"),
        ("Answer time, p99", PEACE, "p99 ms", ".0f"),
        ("Attempts that meet one sick instance", SICK, "bad attempts", ",.0f"),
        ("Attempts that meet one dead instance", DEAD, "bad attempts", ",.0f"),
        ("Requests lost with a zone", ZONE, "failed", ",.0f"),
    ],
)
def test_the_page_tells_what_was_simulated(row: str, phase: str, figure: str, form: str) -> None:
    """Each figure of the table, for each way of sharing out."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {row}")]
    cells = [cell.strip() for cell in line.strip("|").split("|")[1:]]

    assert cells == [format(told(m, phase, figure), form) for m in (EVERY, APERTURE, ZONES, BOTH)]


def test_the_page_tells_what_is_reckoned() -> None:
    """Each figure of the reckoning is that of the kept unit costs, and the page has it."""
    reckoned = rows(Plan(), Costs(**KEPT["costs"]))

    assert dict(reckoned) == KEPT["reckoning"]
    for what, figure in reckoned:
        assert f"| {figure} |" in PAGE, what


def test_sharing_out_is_even_and_moves_little() -> None:
    """The ring is even exactly; the others are not, or move more when an instance leaves."""
    found = {(each["method"], each["gateways"], each["size"]): each for each in KEPT["sharing"]}
    for (method, *case), each in found.items():
        if method == "ring":
            assert each["most"] - each["least"] < 0.1
            assert found["rendezvous", *case]["most"] > 1.5
            assert each["instance_leaves"] < found["shuffle", *case]["instance_leaves"]


def test_the_benchmark_runs() -> None:
    """`make bench-scale-short` prints every table."""
    done = subprocess.run(
        ["make", "--silent", "bench-scale-short"], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    for heading in ("Simulated", "Ways of sharing out", "Unit costs, measured", "Reckoned"):
        assert f"## {heading}\n" in done.stdout
