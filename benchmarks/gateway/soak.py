"""The gateway alone under load for minutes: its memory and its open files must not grow.

The loads take turns. For each load its readings are compared, the first fifth of all left out for
caches and pools to fill: memory may differ by 5 % or 5 MB, open files by 10 % or 50.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.__main__ import LOAD_CORE, runner, site
from benchmarks.gateway.peers import GATEWAY_LOGGING
from benchmarks.gateway.study import LOADS
from benchmarks.measure import wrk
from benchmarks.measure.process import end_in_order_on_sigterm

WINDOW_SECONDS = 10.0
MEMORY_SHARE, MEMORY_BYTES = 0.05, 5_000_000
FILES_SHARE, FILES = 0.1, 50


@dataclass(frozen=True, slots=True)
class Reading:
    """What the gateway held after a window of load."""

    load: str
    rss_bytes: int
    open_files: int
    errors: int


def faults(readings: list[Reading]) -> Iterator[str]:
    """Say what grew or failed; nothing if all is well."""
    settled: dict[str, list[Reading]] = {}
    for reading in readings[len(readings) // 5 :]:
        settled.setdefault(reading.load, []).append(reading)
    for load, (first, *_, last) in settled.items():
        if last.rss_bytes - first.rss_bytes > max(MEMORY_BYTES, MEMORY_SHARE * first.rss_bytes):
            before, after = first.rss_bytes / 1e6, last.rss_bytes / 1e6
            yield f"{load}: memory grew from {before:.1f} to {after:.1f} MB"
        if last.open_files - first.open_files > max(FILES, FILES_SHARE * first.open_files):
            yield f"{load}: open files grew from {first.open_files} to {last.open_files}"
    if errors := sum(reading.errors for reading in readings):
        yield f"{errors} requests failed"


def main() -> int:
    """Go through the loads again and again; 1 if something grew or failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    end_in_order_on_sigterm()
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = stack.enter_context(site(Path(folder)))
        soaked = stack.enter_context(runner(GATEWAY_LOGGING, place))
        for window in range(max(3 * len(LOADS), round(minutes * 60 / WINDOW_SECONDS))):
            load = LOADS[window % len(LOADS)]
            seen = wrk.run(soaked.url, load, seconds=WINDOW_SECONDS, core=LOAD_CORE)
            cost = soaked.process.usage()
            soaked.process.log.write_bytes(b"")  # the access log of minutes would fill the disk
            readings.append(Reading(load.name, cost.rss_bytes, cost.open_files, seen.errors))
            print(
                f"{(window + 1) * WINDOW_SECONDS:5.0f} s  {load.name:26} {seen.rps:8.0f}/s"
                f"  RSS {cost.rss_bytes / 1e6:6.1f} MB  files {cost.open_files:5}"
                f"  errors {seen.errors}",
                flush=True,
            )
    found = list(faults(readings))
    print("\n".join(found) or "nothing grew, nothing failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
