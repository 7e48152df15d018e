"""The HTTP interface of a model that answers rows: its JSON route, V2, page and documentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, create_model
from service_kit import (
    Datatype,
    Deadline,
    Inferred,
    ModelRoutes,
    ModelSpec,
    Tensor,
    TensorSpec,
    ThreadPool,
    json_body,
    problems,
    require_json,
)
from starlette.types import Scope

from model_service.outputs import Answers
from model_service.page import form_page
from model_service.predictor import Predictor
from model_service.rows import Rows
from model_service.tensors import rows_of

SMALL_BODY_BYTES = 2 * 1024
"""Bytes of the largest body that the event loop reads itself, so that it neither waits behind large
ones nor takes a place in their queue."""
FEW_ROWS = 20
"""Rows of tensors that the event loop reads itself, for the same reason."""
RESERVED = ("version", "config_version", "request_id")
"""Members of every answer beside the outputs."""
_PYTHON: Mapping[Datatype, type] = {"BOOL": bool, "INT64": int, "FP64": float, "BYTES": str}


@dataclass(frozen=True, slots=True)
class Described:
    """All that callers are told of a model.

    Attributes:
        title: title of page and documentation.
        text: text of page and documentation, in Markdown.
        path: path of the JSON route.
        fields: JSON schema of each field of a row.
        row: a good row.
        spec: the model in V2.
    """

    title: str
    text: str
    path: str
    fields: Mapping[str, Mapping[str, Any]]
    row: Mapping[str, Any]
    spec: ModelSpec


def row_routes(described: Described, predictor: Predictor, threads: ThreadPool) -> ModelRoutes:
    """Return the model's part of the HTTP interface; `threads` reads large bodies."""
    version = described.spec.version
    router = APIRouter(tags=[described.spec.name])

    async def answers_of(scope: Scope) -> tuple[Answers, float, float, float]:
        require_json(scope)
        body, deadline = scope["body"], scope["deadline"]
        began = perf_counter()
        read = partial(predictor.reader.read, body, predictor.max_rows)
        is_small = len(body) <= SMALL_BODY_BYTES
        rows = read() if is_small else await threads.run(read, deadline=deadline)
        decoded = perf_counter()
        answers = await predictor.answer(rows, deadline)
        return answers, began, decoded, perf_counter()

    async def answer(scope: Scope) -> bytes:
        answers, began, decoded, computed = await answers_of(scope)
        content = {
            **answers.lists(),
            "version": version,
            "config_version": answers.version,
            "request_id": scope["request_id"].decode(),
        }
        document = orjson.dumps(content)
        predictor.stages.observe(began, decoded, computed, perf_counter())
        return document

    async def predictions(scope: Scope) -> list[Any]:
        answers, began, decoded, computed = await answers_of(scope)
        found = answers.predictions()
        predictor.stages.observe(began, decoded, computed, perf_counter())
        return found

    @router.post(
        described.path,
        summary=described.text.partition("\n")[0],
        description=described.text,
        responses={**problems(500), 200: {"model": _answer_model(described.spec.outputs)}},
        openapi_extra=json_body(predictor.reader.schema),
    )
    async def predict(request: Request) -> Response:
        return Response(await answer(request.scope), media_type="application/json")

    return ModelRoutes(
        title=described.title,
        description=described.text,
        router=router,
        model=RowInference(described.spec, predictor, threads),
        page=form_page(
            described.title,
            described.text,
            path=described.path,
            name=described.spec.name,
            fields=described.fields,
            row=described.row,
        ),
        fast_path=(described.path, answer),
        predictions=predictions,
    )


def _answer_model(outputs: tuple[TensorSpec, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for spec in outputs:
        values = (spec.parameters or {}).get("enum")
        kind: Any = Literal[tuple(values)] if values else _PYTHON[spec.datatype]
        for _ in spec.shape:
            kind = list[kind]
        fields[spec.name] = (kind, ...)
    fields |= dict.fromkeys(RESERVED, (str, ...))
    return create_model("Answer", **fields)


class RowInference:
    """A model of the Open Inference Protocol that has an input for each field of a row."""

    def __init__(self, spec: ModelSpec, predictor: Predictor, threads: ThreadPool) -> None:
        self.spec = spec
        self._predictor = predictor
        self._threads = threads

    @property
    def max_rows(self) -> int:
        """Rows that one request may have, by the configuration in force."""
        return self._predictor.max_rows

    async def infer(
        self, inputs: Mapping[str, Tensor], outputs: frozenset[str], deadline: Deadline
    ) -> Inferred:
        """Return the outputs for the rows that the tensors make up together."""

        def read() -> Rows[Any]:
            return self._predictor.reader.rows({"inputs": rows_of(inputs)})

        is_small = max(tensor.shape[0] for tensor in inputs.values()) <= FEW_ROWS
        rows = read() if is_small else await self._threads.run(read, deadline=deadline)
        answers = await self._predictor.answer(rows, deadline)
        return Inferred(answers.tensors(outputs), {"config_version": answers.version})
