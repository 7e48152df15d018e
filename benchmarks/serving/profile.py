"""The CPU time of a one-row table answer by Python function, sampled with py-spy."""

import collections
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import wrk
from benchmarks.measure.process import Process
from benchmarks.measure.report import table
from benchmarks.serving.peers import LOCAL, PEERS, TABLE, Site
from benchmarks.serving.study import LOAD_CORE, started

SECONDS = 8
CLIENTS = 16
TOP = 25


def where_time_goes(site: Site, body: Path, expected: Sequence[int]) -> str:
    """Sample the table engine under load; render a Markdown table of shares and microseconds."""
    (peer,) = (peer for peer in PEERS if peer.name == TABLE)
    stacks = site.work / "stacks"
    with started(peer, site, body.read_bytes(), expected) as service:
        load = wrk.Load("one row", CLIENTS, peer.path, body_file=body)
        before = service.process.usage()
        seen = wrk.run(service.url, load, seconds=SECONDS, core=LOAD_CORE)
        after = service.process.usage()
        argv: list[str | Path] = [LOCAL / "py-spy" / "bin" / "py-spy", "record", "--gil"]
        argv += ["--rate", "250", "--format", "raw", "--duration", str(SECONDS)]
        argv += ["--output", stacks, "--pid", str(service.process.pid)]
        with Process(argv, log=site.work / "py-spy.log", core=LOAD_CORE) as sampler:
            wrk.run(service.url, load, seconds=SECONDS, core=LOAD_CORE)
            sampler.wait(30)
    total_us = (after.cpu_seconds - before.cpu_seconds) / seen.requests * 1e6
    kernel_us = (after.system_seconds - before.system_seconds) / seen.requests * 1e6
    own: collections.Counter[str] = collections.Counter()
    for line in stacks.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        own[re.sub(r":\d+\)$", ")", frames.rpartition(";")[2])] += int(samples)
    share = 1 / (own.total() or 1)
    rows = [
        (name, f"{count * share:.1%}", f"{count * share * total_us:.1f}")
        for name, count in own.most_common(TOP)
    ]
    return (
        f"{total_us:.1f} us of CPU a request, {kernel_us:.1f} of them in the kernel, {CLIENTS} "
        "clients. Own time by Python function (calls into C count for the caller; the kernel's "
        "time is in the transport's functions):\n\n" + table(("function", "share", "us"), rows)
    )
