"""The goals of the gateway's benchmark: which figures decide them, and when they are met."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gateway.goals import RATIOS, Ratio, compared, judge, without_errors
from benchmarks.gateway.peers import GATEWAY, HAPROXY, OURS, START
from benchmarks.gateway.sampling import (
    HEADING,
    OFF,
    SHARES,
    Sampling,
    TracedRun,
    section,
    with_section,
)
from benchmarks.gateway.study import LOADS, MAIN, HalfLoad, Run, Runner, turns
from benchmarks.measure.process import Process
from benchmarks.measure.wrk import Load

HALF = {name: HalfLoad(name, 1000, 1.0, 2.0, 3.0, 0) for name in (GATEWAY, HAPROXY)}


def runs(loads: Sequence[Load] = LOADS) -> dict[tuple[str, str], Run]:
    """Return a run of every gateway under every load, all with the same figures."""
    run = Run("", "", 40.0, 20.0, 0.9, 9.0, 1.0, 2.0, 3.0, 0, 9, 80.0, 80.0)
    return {
        (name, load.name): replace(run, gateway=name, load=load.name)
        for name in START
        for load in loads
    }


def test_a_whole_run_decides_every_goal() -> None:
    """No goal is left out in silence, as it would be for a name that one place writes otherwise."""
    assert len(judge(runs(), HALF)) == len(RATIOS) + len({"half load", "memory"})


def test_a_short_run_decides_what_its_load_shows() -> None:
    """The other goals are not judged, and so not missed."""
    found = judge(runs([MAIN]), {})
    assert len(found) == sum(ratio.load == MAIN for ratio in RATIOS) + len({"memory"})


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
def test_a_goal_is_met_up_to_its_limit(ratio: Ratio) -> None:
    """A figure at the limit meets its goal, and a figure above misses this goal alone."""

    def missed(figure: float) -> list[str]:
        found = runs([ratio.load])
        figures = {**dict.fromkeys(START, 1000.0), ratio.peer: 100.0, GATEWAY: figure}
        for name, value in figures.items():
            key = (name, ratio.load.name)
            found[key] = replace(found[key], **{ratio.figure: value})
        return [goal.what for goal in judge(found, {}) if not goal.met]

    assert missed(ratio.limit * 100) == []
    assert [ratio.peer in what for what in missed(ratio.limit * 100 + 0.1)] == [True]


def test_p99_at_half_load_is_at_most_the_peers() -> None:
    """Equal is good enough, more is not."""
    slower = {**HALF, GATEWAY: replace(HALF[GATEWAY], p99_ms=2.01)}
    assert [goal.met for goal in judge({}, HALF)] == [True]
    assert [goal.met for goal in judge({}, slower)] == [False]


@pytest.mark.parametrize("form", OURS)
def test_an_error_of_any_form_counts(form: str) -> None:
    """One failed request, in whichever load, misses the goal of that form."""
    found = runs()
    assert without_errors(form, found, HALF).met
    key = (form, LOADS[-1].name)
    assert not without_errors(form, {**found, key: replace(found[key], errors=1)}, HALF).met
    half = {form: HalfLoad(form, 1000, 1.0, 2.0, 3.0, errors=1)}
    assert not without_errors(form, found, half).met


def test_gateways_that_are_compared_have_equally_many_turns(tmp_path: Path) -> None:
    """A median of few turns beside one of many would be the noisier of the two."""
    with Process(["true"], log=tmp_path / "log") as process:
        runners = [Runner(name, process, 0) for name in START]
        planned = turns(runners, LOADS, rounds=3, compared=compared)
    count = Counter((turn.load.name, turn.runner.name) for turn in planned)
    assert count.keys() == {(load.name, name) for load in LOADS for name in START}
    for ratio in RATIOS:
        assert count[ratio.load.name, GATEWAY] == count[ratio.load.name, ratio.peer]


def test_traces_are_compared_within_a_round() -> None:
    """A round in which the machine was busy doubles every figure and changes no ratio."""
    run = Run("", "", 10.0, 5.0, 0.9, 9.0, 1.0, 2.0, 3.0, 0, 1000, 80.0, 80.0)
    turns = [
        TracedRun(
            number,
            replace(run, gateway=name, cpu_us=run.cpu_us * number * (1 + (share or 0))),
            spans=int(2000 * (share or 0)),
        )
        for number in (1, 2, 4)
        for name, share in SHARES.items()
    ]
    lines = section(Sampling({}, turns)).splitlines()
    rows = {name: next(line for line in lines if line.startswith(f"| {name} |")) for name in SHARES}

    assert rows[OFF] == "| off | 20.0 | 1.00 | 2.00 | - | 0 |"
    assert rows["100 %"] == "| 100 % | 40.0 | 2.00 | 2.00 | 100% | 0 |"


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("# A\n\n## B\n\nb\n", f"# A\n\n## B\n\nb\n\n{HEADING}\n\nnew"),
        (f"# A\n\n{HEADING}\n\nold\n\n## B\n\nb", f"# A\n\n{HEADING}\n\nnew\n\n## B\n\nb"),
        (f"# A\n\n## B\n\nb\n\n{HEADING}\n\nold\n", f"# A\n\n## B\n\nb\n\n{HEADING}\n\nnew"),
    ],
)
def test_a_part_takes_its_own_place_in_a_report(report: str, expected: str) -> None:
    """The other parts of the results stay as they are."""
    assert with_section(report, f"{HEADING}\n\nnew") == expected
