"""The gateway alone under load for minutes: its memory and its open files must not grow.

The loads take turns. For each load the medians of its first three and of its last three readings
are compared, the first fifth of all left out for caches and pools to fill: memory may differ by 5 %
or 5 MB, open files by 10 % or 50.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gateway.__main__ import LOAD_CORE, runner, site
from benchmarks.gateway.peers import GATEWAY, versions
from benchmarks.gateway.study import LOADS
from benchmarks.measure import chart, report, wrk
from benchmarks.measure.process import end_in_order_on_sigterm

MINUTES = 10.0
"""Minutes of a run; the results of a shorter run are printed only."""
WINDOW_SECONDS = 10.0
MEMORY_SHARE, MEMORY_BYTES = 0.05, 5_000_000
FILES_SHARE, FILES = 0.1, 50
GOOD = "nothing grew, nothing failed"


@dataclass(frozen=True, slots=True)
class Reading:
    """The resources that the gateway held after a window of load."""

    load: str
    rss_bytes: int
    open_files: int
    errors: int
    requests: int


@dataclass(frozen=True, slots=True)
class Held:
    """The medians of three readings."""

    rss_bytes: float
    open_files: float


def by_load(readings: list[Reading]) -> Iterator[tuple[str, Held, Held, int]]:
    """Yield each load with its first and last readings once settled, and its number of requests."""
    for load in dict.fromkeys(reading.load for reading in readings):
        mine = [reading for reading in readings[len(readings) // 5 :] if reading.load == load]
        requests = sum(reading.requests for reading in readings if reading.load == load)
        yield load, _held(mine[:3]), _held(mine[-3:]), requests


def _held(readings: list[Reading]) -> Held:
    return Held(
        statistics.median(reading.rss_bytes for reading in readings),
        statistics.median(reading.open_files for reading in readings),
    )


def faults(readings: list[Reading]) -> Iterator[str]:
    """Yield a sentence for each thing that grew or failed."""
    for load, first, last, _ in by_load(readings):
        if last.rss_bytes - first.rss_bytes > max(MEMORY_BYTES, MEMORY_SHARE * first.rss_bytes):
            before, after = first.rss_bytes / 1e6, last.rss_bytes / 1e6
            yield f"{load}: memory grew from {before:.1f} to {after:.1f} MB"
        if last.open_files - first.open_files > max(FILES, FILES_SHARE * first.open_files):
            yield f"{load}: open files grew from {first.open_files:.0f} to {last.open_files:.0f}"
    if errors := sum(reading.errors for reading in readings):
        yield f"{errors} requests failed"


def _keep(readings: list[Reading], found: list[str], about: dict[str, str]) -> None:
    rows = [
        ((number + 1) * WINDOW_SECONDS, reading.rss_bytes / 1e6)
        for number, reading in enumerate(readings)
    ]
    lines = report.table(
        ("load", "first RSS MB", "last RSS MB", "first open files", "last open files", "requests"),
        [
            (load, f"{first.rss_bytes / 1e6:.1f}", f"{last.rss_bytes / 1e6:.1f}",
             f"{first.open_files:.0f}", f"{last.open_files:.0f}", f"{requests:,}")
            for load, first, last, requests in by_load(readings)
        ],
    )  # fmt: skip
    version = {GATEWAY: versions()[GATEWAY]}
    parts = [
        "# The gateway under load for minutes",
        f"{__doc__.partition(chr(10) * 2)[2]}\nErrors: {sum(one.errors for one in readings)}.",
        report.facts({**about, **version}),
        "\n".join(found) or f"Result: {GOOD}.",
        "![Resident memory](soak.svg)",
        lines,
    ]
    report.write(
        "soak",
        markdown="\n\n".join(parts),
        data={"machine": about, "readings": [asdict(one) for one in readings], "faults": found},
        charts={
            "soak": chart.line("Resident memory of the gateway, all loads in turn", "MB", rows)
        },
    )


def failures(access_log: Path) -> dict[str, int]:
    """Return how often each kind of failure is in an access log; clients that left are none."""
    found: Counter[str] = Counter()
    with access_log.open(errors="replace") as lines:
        for line in lines:
            if '"event":"request"' in line and '"status":200,' not in line:
                told = json.loads(line)
                found[f"{told['status']} {told.get('result')} {told.get('reason', '')}"] += 1
    return {kind: count for kind, count in found.items() if not kind.startswith("499 ")}


def main() -> int:
    """Run the loads again and again; return 1 if something grew or failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    minutes = parser.parse_args().minutes
    end_in_order_on_sigterm()
    about = report.machine()
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = stack.enter_context(site(Path(folder)))
        soaked = stack.enter_context(runner(GATEWAY, place))
        for window in range(max(3 * len(LOADS), round(minutes * 60 / WINDOW_SECONDS))):
            load = LOADS[window % len(LOADS)]
            seen = wrk.run(soaked.url, load, seconds=WINDOW_SECONDS, core=LOAD_CORE)
            cost = soaked.process.usage()
            if seen.errors:
                print(f"  {seen}\n  {failures(soaked.process.log)}", flush=True)
            soaked.process.log.write_bytes(b"")  # an access log of minutes would fill the disk
            readings.append(
                Reading(load.name, cost.rss_bytes, cost.open_files, seen.errors, seen.requests)
            )
            print(
                f"{(window + 1) * WINDOW_SECONDS:5.0f} s  {load.name:26} {seen.rps:8.0f}/s"
                f"  RSS {cost.rss_bytes / 1e6:6.1f} MB  files {cost.open_files:5}"
                f"  errors {seen.errors}",
                flush=True,
            )
    found = list(faults(readings))
    print("\n".join(found) or GOOD)
    if minutes >= MINUTES:
        _keep(readings, found, about)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
