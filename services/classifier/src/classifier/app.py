"""The classifier's HTTP face."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Self

import orjson
from car_evaluation_model import Model, load
from fastapi import APIRouter, Request, Response
from model_service import (
    ModelService,
    Parts,
    deferred,
    instance_metadata as every_metadata,
    welcome_page,
)
from model_service.feedback import add_feedback
from service_kit import (
    REQUEST_TIMEOUT_SECONDS,
    AtOnce,
    EventSink,
    HealthChecks,
    ModelRoutes,
    Stages,
    ThreadPool,
    Tracer,
    json_body,
    model_app,
    problems,
    require_json,
    to_file,
    to_http,
)
from starlette.types import ASGIApp, Scope

from classifier import schemas
from classifier.engine import AUDIT, Engine
from classifier.fast_path import FastPredict
from classifier.inference import CarInference
from classifier.schemas import RowReader
from classifier.settings import DATA_ID, ClassifierSettings, ServingConfig

VERSION = version("modelserve-classifier")
API = "/api/v1"
MAX_EXPLAINED = 100
MAX_IMPROVEMENTS = 10
"""Ways to a better class that an explanation lists; there may be dozens of the same size."""
SMALL_BODY_BYTES = 2 * 1024
"""Bytes of the largest body that the event loop reads itself: some 18 rows, in 0.1 ms, at worst in
less than 10. So a small body neither waits behind large ones nor takes a place in their queue."""
MAX_BODY_BYTES = 2 * 1024 * 1024
"""Bytes of the largest body that is taken: 10,000 rows are 1.1 MB, indented ones 1.7 MB."""


class Classifier(ModelService):
    """The classifier, for `model_service.main`."""

    name, version = DATA_ID, VERSION
    Settings, Config = ClassifierSettings, ServingConfig

    def __init__(self, model: Model) -> None:
        """Check the model's table; the configuration's defaults are in force until `app`."""
        self._model = model
        self._engine = Engine(model, ServingConfig)
        self._sink: EventSink | None = None

    @classmethod
    def load(cls, settings: ClassifierSettings) -> Self:
        """Load the packaged model of the version that the environment names."""
        return cls(load(settings.model_version or None))

    @property
    def model_version(self) -> str:
        """Version of the packaged model."""
        return self._model.version

    @property
    def about(self) -> dict[str, str]:
        """Version and digest of the model."""
        return {"version": self._model.version, "sha256": self._model.sha256}

    def app(self, parts: Parts) -> ASGIApp:
        """Return the application, which follows the document from now on."""
        self._engine.follow(parts.config)
        self._sink = audit_sink(parts.settings)
        return create_app(
            self._engine,
            parts.config,
            parts.health,
            parts.threads,
            timeout_seconds=parts.settings.timeout_seconds,
            cors_origins=parts.settings.cors_origins,
            tracer=parts.tracer,
        )

    def decline(self) -> None:
        """Answer 503 to the rows that wait for the estimator."""
        self._engine.decline()

    def close(self) -> None:
        """End the estimator's thread, and send what waits of the audit."""
        self._engine.close()
        if self._sink is not None:
            self._sink.close()


def audit_sink(settings: ClassifierSettings) -> EventSink | None:
    """Return the sink of the audit's events that the environment names, at work; None for none."""
    if settings.audit_file is not None:
        return EventSink(AUDIT, to_file(settings.audit_file))
    return None if settings.audit_url is None else EventSink(AUDIT, to_http(settings.audit_url))


instance_metadata = partial(every_metadata, version=VERSION, path=Classifier.path)


def create_app(
    engine: Engine,
    config: Callable[[], ServingConfig],
    health: HealthChecks,
    threads: ThreadPool,
    *,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    cors_origins: Sequence[str] = (),
    tracer: Tracer | None = None,
) -> ASGIApp:
    """Return the classifier's application.

    Args:
        engine: answers rows.
        config: returns the configuration in force, for each request.
        health: state of the service.
        threads: pool that reads large bodies and makes explanations.
        timeout_seconds: the service's own limit for a request.
        cors_origins: origins whose pages may call.
        tracer: makes the spans of requests; None makes none.
    """
    reader = RowReader(engine.model)
    requests = _Requests(reader, threads)

    async def predictions(scope: Scope) -> list[int]:
        began = perf_counter()
        ranks = await requests.ranks(scope, config().max_rows)
        decoded = perf_counter()
        classes, _ = await engine.answer(ranks, probabilities=False, deadline=scope["deadline"])
        computed = perf_counter()
        stages.observe(began, decoded, computed, computed)
        return classes

    stages = Stages(engine.model.version)
    health.measure(engine.drift.collect)
    health.measure(engine.feedback.collect)
    path, fast = f"{API}/predict", FastPredict(engine, config, threads, stages)
    routes = ModelRoutes(
        title="Car evaluation",
        description=__doc__,
        router=_router(engine, requests, config, threads, stages),
        model=CarInference(engine, reader, config, threads),
        page=welcome_page("classifier", "Car evaluation", DATA_ID, "api/v1/openapi.json"),
        fast_path=(path, fast),
        at_once=AtOnce(path, fast.at_once),
        predictions=predictions,
        openapi_url=f"{API}/openapi.json",
        max_body_bytes=MAX_BODY_BYTES,
    )
    return model_app(
        routes,
        health,
        threads,
        stages,
        timeout_seconds=timeout_seconds,
        cors_origins=cors_origins,
        tracer=tracer,
    )


class _Requests:
    """Reads the rows of requests, those of large bodies in a thread."""

    def __init__(self, reader: RowReader, threads: ThreadPool) -> None:
        self.schema = reader.schema
        self._reader = reader
        self._threads = threads

    async def ranks(self, scope: Scope, most: int) -> list[int]:
        """Return the rank of each row, of which there may be `most`."""
        require_json(scope)
        body = scope["body"]
        if len(body) <= SMALL_BODY_BYTES:
            return self._reader.read(body, most)
        read = partial(self._reader.read, body, most)
        return await self._threads.run(read, deadline=scope["deadline"])


def _router(
    engine: Engine,
    requests: _Requests,
    config: Callable[[], ServingConfig],
    threads: ThreadPool,
    stages: Stages,
) -> APIRouter:
    router = APIRouter(prefix=API, tags=["car evaluation"])
    model = engine.model

    @router.get("/health")
    async def health() -> schemas.Health:
        """Say what answers, and with which model."""
        return schemas.Health(
            name="car-evaluation", api_version=VERSION, model_version=model.version
        )

    @router.post(
        "/predict",
        responses={**problems(), 200: {"model": schemas.Predictions}},
        openapi_extra=json_body(requests.schema),
    )
    async def predict(request: Request, *, probabilities: bool = False) -> Response:
        """Tell the class of each car: unacc 0, acc 1, good 2, vgood 3."""
        began = perf_counter()
        ranks = await requests.ranks(request.scope, config().max_rows)
        decoded = perf_counter()
        deadline = request.scope["deadline"]
        answers = await engine.answer(ranks, probabilities=probabilities, deadline=deadline)
        computed = perf_counter()
        body = engine.document(answers, request.scope["request_id"])
        stages.observe(began, decoded, computed, perf_counter())
        return Response(body, media_type="application/json")

    @router.post(
        "/explain",
        responses={**problems(), 200: {"model": schemas.Explanations}},
        openapi_extra=json_body(requests.schema),
    )
    async def explain(request: Request) -> Response:
        """Tell why each car has its class, and what would make it better; at most 100 cars."""
        ranks = await requests.ranks(request.scope, MAX_EXPLAINED)

        def work() -> list[object]:
            return [_explained(engine, rank) for rank in ranks]

        explanations = await threads.run(work, deadline=request.scope["deadline"])
        content = {
            "explanations": explanations,
            "version": model.version,
            "model_sha256": model.sha256,
            "request_id": request.scope["request_id"].decode(),
        }
        return Response(orjson.dumps(content), media_type="application/json")

    add_feedback(router, engine.feedback)
    return router


def _explained(engine: Engine, rank: int) -> dict[str, object]:
    found = engine.explain(rank)
    labels = engine.model.classes
    return {
        "prediction": found.predicted,
        "label": labels[found.predicted],
        "concepts": found.concepts,
        "deciding": found.deciding,
        "improvements": [
            {
                "changes": {
                    name: {"now": now, "then": then} for name, (now, then) in one.changes.items()
                },
                "prediction": one.predicted,
                "label": labels[one.predicted],
            }
            for one in found.improvements[:MAX_IMPROVEMENTS]
        ],
    }


app = deferred(Classifier)
