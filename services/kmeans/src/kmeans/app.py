"""The clusterer's HTTP face."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from time import perf_counter

import orjson
from fastapi import APIRouter, Request, Response
from model_service import InForce, ModelService, Parts, deferred, welcome_page
from service_kit import (
    REQUEST_TIMEOUT_SECONDS,
    HealthChecks,
    ModelRoutes,
    Problem,
    Stages,
    ThreadPool,
    Tracer,
    json_body,
    model_app,
    problems,
    require_json,
)
from starlette.types import ASGIApp, Scope

from kmeans.accept import JSON, SVG, wants_picture
from kmeans.clustering import Clustering, fit, prepare_thread, self_check
from kmeans.inference import ClusterInference
from kmeans.picture import draw
from kmeans.schemas import Array, Clusters, Points, read_points
from kmeans.settings import DATA_ID, ClusterConfig, KMeansSettings

VERSION = version("modelserve-kmeans")
PATH = "/api/skl-kmeans"


class Clusterer(ModelService):
    """The clusterer, for `model_service.main`."""

    name, version, path = DATA_ID, VERSION, PATH
    Settings, Config = KMeansSettings, ClusterConfig

    def check(self) -> None:
        """Check the published labels, in a thread that is prepared as those of the pool are."""
        prepare_thread()
        self_check()

    def threads(self, settings: KMeansSettings) -> ThreadPool:
        """Return the pool in which fits run."""
        return ThreadPool(
            "fit",
            threads=settings.fit_workers,
            queue_limit=settings.fit_queue,
            limited_by="FIT_WORKERS + FIT_QUEUE",
            prepare=prepare_thread,
        )

    def metadata(self, settings: KMeansSettings, config_version: str | None) -> dict[str, str]:
        """Return the instance's metadata in Nacos, with the fits that it takes at once."""
        most = {"gateway.max-in-flight": str(settings.fit_workers + settings.fit_queue)}
        return super().metadata(settings, config_version) | most

    def app(self, parts: Parts) -> ASGIApp:
        """Return the application."""
        return create_app(
            parts.in_force,
            parts.health,
            parts.threads,
            timeout_seconds=parts.settings.timeout_seconds,
            cors_origins=parts.settings.cors_origins,
            tracer=parts.tracer,
        )


instance_metadata = Clusterer().metadata


def create_app(
    in_force: Callable[[], InForce[ClusterConfig]],
    health: HealthChecks,
    threads: ThreadPool,
    *,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    cors_origins: Sequence[str] = (),
    tracer: Tracer | None = None,
) -> ASGIApp:
    """Return the clusterer's application.

    Args:
        in_force: returns the configuration in force; a request reads it once and keeps to it.
        health: state of the service.
        threads: pool in which fits run.
        timeout_seconds: the service's own limit for a request.
        cors_origins: origins whose pages may call.
        tracer: makes the spans of requests; None makes none.
    """
    router = APIRouter()
    stages = Stages(VERSION)

    async def answer(scope: Scope, *, detail: bool, canonical: bool, is_drawn: bool) -> bytes:
        require_json(scope)
        now = in_force()

        def work() -> tuple[bytes, float, float, float, float]:
            began = perf_counter()
            points = read_points(scope["body"], now.config)
            if is_drawn:
                _check_plane(points)
            decoded = perf_counter()
            clustering = fit(points, now.config, scope["deadline"].moment)
            if canonical:
                clustering = clustering.by_first_appearance()
            computed = perf_counter()
            if is_drawn:
                body = draw(points, clustering).encode()
            else:
                body = _document(clustering, now, scope["request_id"].decode(), detail=detail)
            return body, began, decoded, computed, perf_counter()

        body, *moments = await threads.run(work, deadline=scope["deadline"])
        stages.observe(*moments)
        return body

    @router.post(
        PATH,
        tags=["clustering"],
        responses={
            **problems(),
            200: {"model": Clusters, "content": {SVG: {"schema": {"type": "string"}}}},
        },
        openapi_extra=json_body(Points),
    )
    async def cluster(
        request: Request, *, detail: bool = False, canonical: bool = False
    ) -> Response:
        """Put points into clusters.

        The number of clusters comes from the live configuration. `detail` adds centres, inertia and
        sizes. `canonical` numbers the clusters in the order in which the points first name them,
        instead of as KMeans found them. `Accept: image/svg+xml` answers points of two dimensions
        with a picture.
        """
        is_drawn = _accepts_picture(request.scope)
        body = await answer(request.scope, detail=detail, canonical=canonical, is_drawn=is_drawn)
        return Response(body, media_type=SVG if is_drawn else JSON)

    async def predictions(scope: Scope) -> list[int]:
        require_json(scope)
        now = in_force()
        work = partial(_labels, scope["body"], now.config, scope["deadline"].moment)
        labels, began, decoded, computed = await threads.run(work, deadline=scope["deadline"])
        stages.observe(began, decoded, computed, computed)
        return labels

    async def plain_answer(scope: Scope) -> bytes | None:
        if scope["query_string"] or _accepts_picture(scope):
            return None
        return await answer(scope, detail=False, canonical=False, is_drawn=False)

    routes = ModelRoutes(
        title="KMeans clusterer",
        description=__doc__,
        router=router,
        model=ClusterInference(VERSION, in_force, threads),
        page=welcome_page("kmeans", "KMeans clusterer", DATA_ID),
        fast_path=(PATH, plain_answer),
        predictions=predictions,
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


def _labels(
    body: bytes, config: ClusterConfig, moment: float
) -> tuple[list[int], float, float, float]:
    """Return the cluster of each point of a body, and when reading and fitting began and ended."""
    began = perf_counter()
    points = read_points(body, config)
    decoded = perf_counter()
    labels: list[int] = fit(points, config, moment).labels.tolist()
    return labels, began, decoded, perf_counter()


def _accepts_picture(scope: Scope) -> bool:
    return wants_picture(scope["fields"].get(b"accept", b""))


def _check_plane(points: Array) -> None:
    if points.shape[1] != 2:  # noqa: PLR2004 - the plane
        detail = f"A picture needs points of 2 dimensions, these have {points.shape[1]}."
        raise Problem(422, detail, type="invalid-points")


def _document(
    clustering: Clustering, now: InForce[ClusterConfig], request_id: str, *, detail: bool
) -> bytes:
    answer = {
        "results": clustering.labels,
        "clusters": now.config.clusters,
        "config_version": now.version,
        "request_id": request_id,
        **clustering.shortfall,
    }
    if detail:
        answer |= {
            "centres": clustering.centres,
            "inertia": clustering.inertia,
            "sizes": clustering.sizes,
        }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


app = deferred(Clusterer)
