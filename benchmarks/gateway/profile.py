"""Where the gateway's CPU goes: by function with py-spy, by binary with perf where it is there."""

import collections
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.gateway.peers import WHEELS
from benchmarks.gateway.study import MAIN, Runner
from benchmarks.measure import wrk
from benchmarks.measure.process import Process, family
from benchmarks.measure.report import table

SECONDS = 8
TOP = 20


def where_time_goes(runner: Runner, *, core: int) -> str:
    """Sample the gateway's busiest process under the main load; Markdown tables."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        parts.append(_by_function(runner, Path(folder), core))
        if shutil.which("perf"):
            parts.append(_by_binary(runner, Path(folder), core))
    return "\n\n".join(parts)


def _by_function(runner: Runner, folder: Path, core: int) -> str:
    stacks = folder / "stacks"
    argv: list[str | Path] = [
        WHEELS / "py-spy",
        "record",
        "--subprocesses",
        "--gil",
        "--rate",
        "250",
    ]
    argv += ["--format", "raw", "--duration", str(SECONDS), "--output", stacks]
    argv += ["--pid", str(runner.process.pid)]
    with Process(argv, log=folder / "py-spy.log", core=core) as sampler:
        wrk.run(runner.url, MAIN, seconds=SECONDS, core=core)
        sampler.wait(30)
    own: collections.Counter[str] = collections.Counter()
    for line in stacks.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        own[re.sub(r":\d+\)$", ")", frames.rpartition(";")[2])] += int(samples)
    total = own.total() or 1
    rows = [(name, f"{count / total:.1%}") for name, count in own.most_common(TOP)]
    return "Own time by Python function (calls into C count for the caller):\n\n" + table(
        ("function", "share"), rows
    )


def _by_binary(runner: Runner, folder: Path, core: int) -> str:
    data = folder / "perf.data"
    pids = ",".join(map(str, family(runner.process.pid)))
    argv = ("perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-p", pids, "-o", data)
    with Process((*argv, "--", "sleep", str(SECONDS)), log=folder / "perf.log", core=core) as perf:
        wrk.run(runner.url, MAIN, seconds=SECONDS, core=core)
        perf.wait(30)
    done = subprocess.run(
        ["perf", "report", "-i", data, "--sort", "dso", "--stdio", "-q"],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = re.findall(r"^\s+([\d.]+%)\s+(\S+)", done.stdout, re.MULTILINE)[:8]
    return "By binary:\n\n" + table(("binary", "share"), [(name, share) for share, name in rows])
