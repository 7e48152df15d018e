"""Two older protocols of rows, for clients that speak no other: KServe V1 and MLflow's scoring.

Both answer `{"predictions": [...]}`, an element for each row. Their clients read no description, so
the OpenAPI document does not have these routes.
Sources: kserve.github.io, "V1 Protocol"; mlflow.org, "Deploy to Local".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Scope

from service_kit.health import HealthChecks
from service_kit.problem import JSON, Problem, shown

Predictions = Callable[[Scope], Awaitable[Sequence[Any]]]
"""Answers a request's JSON body, in whichever shape it has rows: a prediction for each."""


def add_row_protocols(
    app: FastAPI, name: str, predictions: Predictions, health: HealthChecks
) -> None:
    """Add the routes of both protocols for the model `name`."""
    router = APIRouter(include_in_schema=False)

    async def predicted(scope: Scope) -> Response:
        document = orjson.dumps({"predictions": await predictions(scope)})
        return Response(document, media_type=JSON)

    @router.get("/v1/models")
    async def models() -> Mapping[str, Any]:
        return {"models": [name]}

    @router.get("/v1/models/{model_name}")
    async def model(model_name: str, response: Response) -> Mapping[str, Any]:
        _check_name(model_name, name)
        is_ready = health.is_ready
        response.status_code = 200 if is_ready else 503
        return {"name": name, "ready": is_ready}

    @router.post("/v1/models/{model_name}:predict")
    async def predict(model_name: str, request: Request) -> Response:
        _check_name(model_name, name)
        return await predicted(request.scope)

    @router.post("/invocations")
    async def invocations(request: Request) -> Response:
        return await predicted(request.scope)

    @router.get("/ping")
    async def ping() -> Response:
        return Response("\n", 200 if health.is_ready else 503, media_type=JSON)

    app.include_router(router)


def _check_name(asked: str, name: str) -> None:
    if asked != name:
        raise Problem(404, f"No model {shown(asked)!r} here, only {name!r}.", type="no-model")
