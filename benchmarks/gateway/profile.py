"""The compiled gateway's CPU time, sampled by perf: user and kernel, binaries, functions."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.study import MAIN, Runner
from benchmarks.measure import wrk
from benchmarks.measure.process import Process, family
from benchmarks.measure.report import table

SECONDS = 8
HERTZ = 999
TOP = 25
LINE = re.compile(r"^\s*([\d.]+)%\s+(\S+)\s+\[([.k])\] (\S+)", re.MULTILINE)
"""A line of perf's report: share, binary, k for the kernel, symbol."""
ABI = re.compile(r"\.cpython-[^.]+")
"""The part of an extension module's file name that tells for which Python it is."""
NATIVE = re.compile(r"CPy(?:Def|Py)_(.+)")
"""A C function that mypyc made: CPyDef_ of the Python function itself, CPyPy_ of the way to that
function for callers that are not compiled."""
INTRODUCTION = f"""Samples by perf, {HERTZ} a second for {SECONDS} s of the load "{MAIN.name}", each
function with its own time, without that of the functions it calls. The binaries with `__mypyc` in
their name are the data path of the gateway and of failover, their functions named as in Python."""


def where_time_goes(runner: Runner, *, core: int) -> str:
    """Sample the gateway's processes under the main load and render Markdown tables."""
    if not shutil.which("perf"):
        return "perf is not installed."
    with tempfile.TemporaryDirectory() as folder:
        report = _sample(runner, Path(folder), core)
    samples = [
        (float(share), ABI.sub("", binary), mode == "k", legible(symbol))
        for share, binary, mode, symbol in LINE.findall(report)
    ]
    modes = [("kernel" if kernel else "user", share) for share, _, kernel, _ in samples]
    binaries = [(binary, share) for share, binary, _, _ in samples]
    user = [(f"{name} ({binary})", share) for share, binary, kernel, name in samples if not kernel]
    kernel = [(name, share) for share, _, in_kernel, name in samples if in_kernel]
    parts = [INTRODUCTION]
    for title, shares, rows in (
        ("mode", modes, 2),
        ("binary", binaries, 12),
        ("function outside the kernel", user, TOP),
        ("kernel function", kernel, TOP),
    ):
        parts.append(_table(title, shares, rows))
    return "\n\n".join(parts)


def legible(symbol: str) -> str:
    """Return the name of a C function, that of a compiled Python function as Python writes it."""
    if native := NATIVE.fullmatch(symbol):
        return native[1].replace("___", ".")
    return symbol


def _sample(runner: Runner, folder: Path, core: int) -> str:
    data = folder / "perf.data"
    pids = ",".join(map(str, family(runner.process.pid)))
    argv = ("perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-p", pids, "-o", data)
    with Process((*argv, "--", "sleep", str(SECONDS)), log=folder / "perf.log", core=core) as perf:
        wrk.run(runner.url, MAIN, seconds=SECONDS, core=core)
        perf.wait(30)
    report = ("perf", "report", "-i", data, "--sort", "dso,symbol", "--stdio", "-q")
    return subprocess.run(report, check=True, capture_output=True, text=True).stdout


def _table(title: str, shares: Sequence[tuple[str, float]], rows: int) -> str:
    summed: dict[str, float] = {}
    for name, share in shares:
        summed[name] = summed.get(name, 0.0) + share
    largest = sorted(summed.items(), key=lambda pair: -pair[1])[:rows]
    return table((title, "share"), [(f"`{name}`", f"{share:.1f}%") for name, share in largest])
