"""Results as Markdown and JSON under benchmarks/results, with a description of the machine."""

import json
import os
import platform
import socket
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render a Markdown table; the first column is aligned left, the others right."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine() -> dict[str, str]:
    """Describe this machine: processor, memory, kernel, Python, and how busy it was before."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{cpu.strip()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load average before": f"{os.getloadavg()[0]:.2f}",
        "connection tracking": "on: every packet costs more" if _tracks_connections() else "off",
    }


def _tracks_connections() -> bool:
    """Return whether a packet filter with state, such as Docker's rules, sees loopback too."""
    count = Path("/proc/sys/net/netfilter/nf_conntrack_count")
    if not count.exists():
        return False
    before = int(count.read_text())
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = [socket.create_connection(server.getsockname()) for _ in range(50)]
        seen = int(count.read_text())
        for one in held:
            one.close()
    return seen >= before + len(held) // 2


def facts(pairs: dict[str, str]) -> str:
    """Render name and value pairs as a Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in pairs.items())


def write(name: str, *, markdown: str, data: object, charts: dict[str, str] | None = None) -> None:
    """Write `name`.md, `name`.json and an SVG file for each chart (file stem to SVG text)."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(markdown.rstrip() + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    for stem, svg in (charts or {}).items():
        (RESULTS / f"{stem}.svg").write_text(svg)
    print(f"wrote {', '.join(str(path) for path in sorted(RESULTS.glob(f'{name}*')))}")
