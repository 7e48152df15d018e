"""Prometheus' own file: the services that it scrapes, from their tables, and the rules."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from stack.observe import FOLDER
from stack.plan import HOST, Plan
from stack.services import ServedModel

COMPOSE = FOLDER / "prometheus.yml"
HEAD = "# Written by `make observe-files` from the tables of services/*/pyproject.toml.\n"
SECONDS = 15
"""Seconds between two scrapes."""


def files(services: Iterable[ServedModel]) -> Iterator[tuple[Path, str]]:
    """Yield Prometheus' file of the Compose network, with its text.

    The names of Compose's services have the addresses of all their containers.
    """
    places = [("gateway", "gateway", 8010), *((s.name, s.package, s.ports[0]) for s in services)]
    jobs = [
        {
            "job_name": job,
            "dns_sd_configs": [{"names": [host], "type": "A", "port": port}],
        }
        for job, host, port in places
    ]
    yield COMPOSE, HEAD + configuration(jobs, "rules.yml")


def of_plan(plan: Plan, rules: Path, seconds: int = SECONDS) -> str:
    """Return Prometheus' file for the processes of a plan."""
    jobs = {part.service: [] for part in plan.parts}  # type: dict[str, list[str]]
    for part in plan.parts:
        jobs[part.service].append(f"{HOST}:{part.admin_port}")
    listed = [
        {"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in jobs.items()
    ]
    return configuration(listed, str(rules), seconds)


def configuration(jobs: Sequence[dict[str, Any]], rules: str, seconds: int = SECONDS) -> str:
    """Return Prometheus' file for jobs."""
    every = f"{seconds}s"
    content = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [rules],
        "scrape_configs": list(jobs),
    }
    return yaml.safe_dump(content, sort_keys=False)
