"""What every service shares: runner, health, problems, request edge, workers, logs, settings."""

from service_kit.edge import MAX_BODY_BYTES, Edge
from service_kit.health import Check, Health, State, install
from service_kit.logs import configure_logs
from service_kit.problem import PROBLEMS, Problem, ProblemDocument, invalid, shown
from service_kit.runner import Listener, Presence, run, serve
from service_kit.settings import ProcessSettings, read_env
from service_kit.workers import FOREVER, Workers

__all__ = [
    "FOREVER",
    "MAX_BODY_BYTES",
    "PROBLEMS",
    "Check",
    "Edge",
    "Health",
    "Listener",
    "Presence",
    "Problem",
    "ProblemDocument",
    "ProcessSettings",
    "State",
    "Workers",
    "configure_logs",
    "install",
    "invalid",
    "read_env",
    "run",
    "serve",
    "shown",
]
