"""The parts of every service: runner, health, problems, request edge, threads, logs, settings."""

from service_kit.binary_tensors import Categorical
from service_kit.bodies import (
    is_json,
    json_body,
    json_schema,
    limit_parts,
    limit_rows,
    read_json,
    require_json,
)
from service_kit.call_spans import CallSpans, trace_call
from service_kit.command import start
from service_kit.correlation import REQUEST_ID, TRACEPARENT
from service_kit.datatypes import Datatype
from service_kit.deadline import FOREVER, Deadline
from service_kit.deferred_app import DeferredApp
from service_kit.docs import add_docs
from service_kit.edge import MAX_BODY_BYTES, AtOnce, RequestEdge
from service_kit.event_sink import EventSink, to_file, to_http
from service_kit.exit_codes import ExitCode
from service_kit.fast_path import FastPath
from service_kit.health import Check, HealthChecks, State, add_health
from service_kit.json_fault import not_json
from service_kit.listen import bind
from service_kit.logs import configure_logs
from service_kit.metric_families import MetricFamily
from service_kit.model_app import ModelRoutes, model_app
from service_kit.problem import Problem, ProblemDocument, invalid, problems, shown, stopping
from service_kit.runner import Listener, Presence, WorkQueue, run, serve
from service_kit.settings import (
    REQUEST_TIMEOUT_SECONDS,
    ModelSettings,
    Port,
    ProcessSettings,
    ServiceName,
    read_env,
)
from service_kit.stages import Stages
from service_kit.tensors import Inferred, ModelSpec, Tensor, TensorSpec
from service_kit.thread_pool import ThreadPool
from service_kit.tracing import Span, SpanKind, Tracer, traced, unsampled
from service_kit.variables import Variable, own_variables

__all__ = [
    "FOREVER",
    "MAX_BODY_BYTES",
    "REQUEST_ID",
    "REQUEST_TIMEOUT_SECONDS",
    "TRACEPARENT",
    "AtOnce",
    "CallSpans",
    "Categorical",
    "Check",
    "Datatype",
    "Deadline",
    "DeferredApp",
    "EventSink",
    "ExitCode",
    "FastPath",
    "HealthChecks",
    "Inferred",
    "Listener",
    "MetricFamily",
    "ModelRoutes",
    "ModelSettings",
    "ModelSpec",
    "Port",
    "Presence",
    "Problem",
    "ProblemDocument",
    "ProcessSettings",
    "RequestEdge",
    "ServiceName",
    "Span",
    "SpanKind",
    "Stages",
    "State",
    "Tensor",
    "TensorSpec",
    "ThreadPool",
    "Tracer",
    "Variable",
    "WorkQueue",
    "add_docs",
    "add_health",
    "bind",
    "configure_logs",
    "invalid",
    "is_json",
    "json_body",
    "json_schema",
    "limit_parts",
    "limit_rows",
    "model_app",
    "not_json",
    "own_variables",
    "problems",
    "read_env",
    "read_json",
    "require_json",
    "run",
    "serve",
    "shown",
    "start",
    "stopping",
    "to_file",
    "to_http",
    "trace_call",
    "traced",
    "unsampled",
]
