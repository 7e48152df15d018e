"""The gateway's CPU time by function (py-spy) and, where perf is installed, by binary."""

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
    """Sample the gateway's processes under the main load and render Markdown tables."""
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
    binaries = re.findall(r"^\s+([\d.]+%)\s+(\S+)", _perf_report(data, "dso"), re.MULTILINE)
    by_symbol = _perf_report(data, "symbol")
    symbols = re.findall(r"^\s+([\d.]+%)\s+\[[.k]\] (\S+)", by_symbol, re.MULTILINE)
    tables = (
        ("By binary:", ("binary", "share"), binaries[:8]),
        ("By C function:", ("function", "share"), symbols[:TOP]),
    )
    return "\n\n".join(
        f"{title}\n\n" + table(headers, [(name, share) for share, name in rows])
        for title, headers, rows in tables
    )


def _perf_report(data: Path, key: str) -> str:
    argv = ("perf", "report", "-i", data, "--sort", key, "--stdio", "-q")
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
