"""Prometheus as a process of the stack."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stack import STATE
from stack.jars import MissingToolError
from stack.observe.alerts import RULES
from stack.observe.scraping import SECONDS, of_plan
from stack.plan import HOST, Plan

FETCHED = STATE / "prometheus" / "usr" / "bin"
"""The folder in which `make prometheus` leaves Debian's programs."""

EXEMPLARS = "--enable-feature=exemplar-storage"
"""The option of a Prometheus that keeps what leads from its metrics to traces."""


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`.

    Raises:
        MissingToolError: it is neither on the search path nor fetched.
    """
    if path := shutil.which(name) or shutil.which(name, path=FETCHED):
        return path
    raise MissingToolError(
        f"{name} is missing: install it (Debian: prometheus), or fetch it with `make prometheus`"
    )


def configure(plan: Plan, home: Path, seconds: int = SECONDS) -> Path:
    """Write Prometheus' file for the processes of a plan; one that runs reads it at SIGHUP."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "prometheus.yml"
    file.write_text(of_plan(plan, RULES, seconds))
    return file


def command(plan: Plan, home: Path, seconds: int = SECONDS) -> Sequence[str]:
    """Write Prometheus' file for a plan, and return the command that starts it.

    Args:
        plan: the processes to scrape.
        home: its folder: the file, and 15 days of data, at most a gigabyte.
        seconds: between two scrapes.

    Raises:
        MissingToolError: there is no such program.
    """
    return (
        program("prometheus"),
        f"--config.file={configure(plan, home, seconds)}",
        f"--storage.tsdb.path={home / 'data'}",
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=1GB",
        EXEMPLARS,
        f"--web.listen-address={HOST}:{plan.prometheus_port}",
    )
