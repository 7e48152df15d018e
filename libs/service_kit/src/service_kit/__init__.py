"""What every service shares: runner, health, problems, request edge, workers, logs, settings."""

from service_kit.bodies import (
    is_json,
    json_body,
    limit_parts,
    limit_rows,
    read_json,
    require_json,
)
from service_kit.docs import add_docs
from service_kit.edge import MAX_BODY_BYTES, Edge
from service_kit.health import Check, HealthChecks, State, add_health
from service_kit.inference import add_inference
from service_kit.logs import configure_logs
from service_kit.page import add_page
from service_kit.problem import Problem, ProblemDocument, invalid, problems, shown
from service_kit.runner import Listener, Presence, run, serve
from service_kit.settings import Port, ProcessSettings, ServiceName, read_env
from service_kit.shortcut import Shortcut
from service_kit.stages import Stages
from service_kit.tensors import Inferred, ModelSpec, Tensor, TensorSpec
from service_kit.workers import FOREVER, Workers

__all__ = [
    "FOREVER",
    "MAX_BODY_BYTES",
    "Check",
    "Edge",
    "HealthChecks",
    "Inferred",
    "Listener",
    "ModelSpec",
    "Port",
    "Presence",
    "Problem",
    "ProblemDocument",
    "ProcessSettings",
    "ServiceName",
    "Shortcut",
    "Stages",
    "State",
    "Tensor",
    "TensorSpec",
    "Workers",
    "add_docs",
    "add_health",
    "add_inference",
    "add_page",
    "configure_logs",
    "invalid",
    "is_json",
    "json_body",
    "limit_parts",
    "limit_rows",
    "problems",
    "read_env",
    "read_json",
    "require_json",
    "run",
    "serve",
    "shown",
]
