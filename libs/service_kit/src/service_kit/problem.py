"""Errors that a service answers with, as RFC 9457 `application/problem+json`.

On the paths of the inference protocols the same document is `application/json`: their clients
read the reason of an error from nothing else.

A problem says what happened, to what, and what to do.

No answer ever carries a traceback or a file name.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from service_kit import logs
from service_kit.metric_families import MetricFamily

MEDIA_TYPE = "application/problem+json"
JSON = "application/json"
PROTOCOLS = ("/v1/", "/v2/")
"""Beginnings of the paths of the inference protocols (KServe's client compares the media type)."""
TYPE_PREFIX = "urn:modelserve:problem:"
"""Every type is listed in docs/protocol.md; `about:blank` says no more than the status does."""
SHOWN_ERRORS = 100
SHOWN_CHARACTERS = 100
BODY = "body"
"""The field of an error of the whole body."""
PROBLEMS = MetricFamily(
    "counter", "http_problems", "Requests refused or failed, by the type of the problem",
    ("type", "status"),
)  # fmt: skip
sent = Counter(PROBLEMS.name, PROBLEMS.text, PROBLEMS.labels)
for _failure in ("internal", "wrong-answer"):
    sent.labels(_failure, "500")  # from zero on: Prometheus takes a first value for no increase
_NO_OBJECT = frozenset({"model_type", "dict_type"})
_OBJECT = "Input should be an object"
"""Replaces pydantic's message, which speaks of dictionaries and instances: a caller has neither."""


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An error that the caller gets as a problem document.

    Attributes:
        status: HTTP status.
        detail: what happened, to what, and what to do.
        type: a slug of docs/protocol.md, or None for `about:blank`.
        headers: more response headers, such as `Retry-After`.
        extra: members beside the standard ones, such as `errors`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        type: str | None = None,  # noqa: A002 - the member's name in RFC 9457
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.type = TYPE_PREFIX + type if type else "about:blank"
        self.title = title or HTTPStatus(status).phrase
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self, request_id: str | None) -> bytes:
        """Return the problem as a JSON document."""
        standard = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            # Clients of the Open Inference Protocol read this member.
            "error": self.detail,
        }
        return orjson.dumps(standard | self.extra, default=str)


class ProblemDocument(BaseModel):
    """Every error answer (RFC 9457); docs/protocol.md lists the types and their further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    error: str
    errors: list[dict[str, Any]] = []
    error_count: int = 0


def media_type(path: str) -> str:
    """Return the media type of problems on a path."""
    return JSON if path.startswith(PROTOCOLS) else MEDIA_TYPE


def problems(*statuses: int, of: str = MEDIA_TYPE) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` argument of a route that reads a body.

    Args:
        statuses: are added to those of every such route.
        of: media type of the problems.
    """
    schema = ProblemDocument.model_json_schema()
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {of: {"schema": schema}},
        }
        for status in (400, 408, 413, 415, 422, 503, 504, *statuses)
    }


def install_problems(app: FastAPI) -> None:
    """Make every error of the application a problem document, those of the framework included."""

    async def answer(request: Request, error: Exception) -> Response:
        return response(translate(error), media_type(request.scope["path"]))

    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)


def translate(error: BaseException) -> Problem:
    """Return the problem that tells a caller of an error; of a bug it tells only where to look."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=error.headers)
        case RequestValidationError():
            return invalid(error.errors())
        case _:
            detail = "The service failed; its log has the request id."
            return Problem(500, detail, type="internal")


def response(problem: Problem, kind: str) -> Response:
    """Return the problem as a response of a media type."""
    body = told(problem, logs.request_id.get())
    return Response(body, problem.status, problem.headers, media_type=kind)


def told(problem: Problem, request_id: str | None) -> bytes:
    """Return the document of a problem that a caller gets, and count the problem.

    Types are few: they are the slugs of docs/protocol.md.
    """
    sent.labels(problem.type.removeprefix(TYPE_PREFIX), str(problem.status)).inc()
    return problem.body(request_id)


def stopping(*, has_begun: bool) -> Problem:
    """Return the 503 of a request that the end of the process came before.

    `Retry-After` promises that nothing of a request was done (docs/protocol.md), so only a request
    that has not begun gets it.
    """
    if has_begun:
        detail = "The process ends before the request is answered; ask another instance."
        return Problem(503, detail, type="stopping")
    detail = "The process ends and takes no more work; ask another instance, or again in 1 s."
    return Problem(503, detail, type="stopping", headers={"Retry-After": "1"})


def invalid(errors: Sequence[Mapping[str, Any]], count: int | None = None) -> Problem:
    """Translate pydantic's errors: 400 for a body that is not JSON, 422 for a wrong shape.

    `count` is the number of all errors, if `errors` has only the first of them.
    """
    for error in errors:
        if error["type"] == "json_invalid":  # FastAPI's own, of a route that names a body
            cause = f"character {error['loc'][-1]}: {error.get('ctx', {}).get('error')}"
            return Problem(400, f"The body is not valid JSON: {cause}.", type="invalid-json")
    listed = [
        {
            "field": ".".join(map(str, error["loc"])) or BODY,
            "message": _OBJECT if error["type"] in _NO_OBJECT else error["msg"],
            "value": shown(error["input"]),
        }
        for error in errors[:SHOWN_ERRORS]
    ]
    first = listed[0]
    return Problem(
        422,
        f"{first['field']}: {first['message']}",
        type="invalid-request",
        errors=listed,
        error_count=len(errors) if count is None else count,
    )


def shown(value: object) -> object:
    """Return a refused value in a form that is safe and short enough to send back."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 1e15:  # noqa: PLR2004 - exact in every JSON reader
        return value
    text = (
        value
        if isinstance(value, str)
        else repr(value)
        if isinstance(value, int | float)
        else type(value).__name__
    )
    return text[:SHOWN_CHARACTERS].encode("utf-8", "replace").decode()
