"""The application of a model service, assembled from the parts that every model service has."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from service_kit.description import DescribedApp
from service_kit.docs import add_docs
from service_kit.edge import MAX_BODY_BYTES, AtOnce, RequestEdge
from service_kit.fast_path import FastPath
from service_kit.head import HeadAsGet
from service_kit.health import HealthChecks, add_health
from service_kit.inference import InferenceModel, add_inference
from service_kit.page import add_page
from service_kit.row_protocols import Predictions, add_row_protocols
from service_kit.settings import REQUEST_TIMEOUT_SECONDS
from service_kit.stages import Stages
from service_kit.thread_pool import ThreadPool
from service_kit.tracing import Tracer


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    """Those parts of a model service's HTTP interface that are the model's own.

    Attributes:
        title: title of the OpenAPI document.
        description: description in the OpenAPI document, in Markdown.
        router: the model's own routes.
        model: answers the routes of the Open Inference Protocol; its version labels metrics.
        page: HTML of the welcome page; `{{version}}` stands for the model's version.
        fast_path: path of the POST route that has a fast path, and the function that answers it:
            it returns the JSON document, or None to leave the request to the router.
        at_once: the answers of the same path for which nothing has to be waited.
        predictions: answers rows by the protocols of `service_kit.row_protocols`; without it the
            service does not speak them.
        openapi_url: path of the OpenAPI document.
        max_body_bytes: a larger body is refused.
    """

    title: str
    description: str
    router: APIRouter
    model: InferenceModel
    page: str
    fast_path: tuple[str, Callable[[Scope], Awaitable[bytes | None]]]
    at_once: AtOnce | None = None
    predictions: Predictions | None = None
    openapi_url: str = "/openapi.json"
    max_body_bytes: int = MAX_BODY_BYTES


def model_app(
    routes: ModelRoutes,
    health: HealthChecks,
    threads: ThreadPool,
    stages: Stages,
    *,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    cors_origins: Sequence[str] = (),
    tracer: Tracer | None = None,
) -> ASGIApp:
    """Return the application of a model service.

    It has the model's routes, the Open Inference Protocol, the welcome page, documentation, health,
    metrics, limits, deadlines and problem documents.

    Args:
        routes: the model's own part.
        health: state of the service, for /readyz and the actuator's routes; names the version.
        threads: pool that reads large bodies.
        stages: counts of the answers.
        timeout_seconds: the service's own limit for a request.
        cors_origins: origins whose pages may call; `*` is all.
        tracer: makes the spans of requests; None makes none.
    """
    version = routes.model.spec.version
    app = DescribedApp(
        title=routes.title,
        version=health.about["build"]["version"],
        description=routes.description,
        openapi_url=routes.openapi_url,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the edge has dropped a last slash
    )
    health.measure(stages.collect)
    app.include_router(routes.router)
    add_inference(app, routes.model, health, threads, stages)
    if routes.predictions is not None:
        add_row_protocols(app, routes.model.spec.name, routes.predictions, health)
    # Last, for /docs shows routes in their order: what people look for there is the model.
    add_health(app, health)
    add_docs(app)
    add_page(app, routes.page, {"version": version})
    path, answer = routes.fast_path
    edge = RequestEdge(
        FastPath(HeadAsGet(app), path, answer),
        max_body_bytes=routes.max_body_bytes,
        timeout_seconds=timeout_seconds,
        model_version=version,
        at_once=routes.at_once,
        tracer=tracer,
    )
    if not cors_origins:
        return edge
    # CORS stands outside the edge, so that a page may read the problems of the edge too. So nothing
    # is answered at once: an answer would be without the fields that tell a page it may read it.
    return CORSMiddleware(
        edge, allow_origins=cors_origins, allow_methods=["*"], allow_headers=["*"]
    )
