"""What turned out to be true: callers tell the classes of rows later, and accuracy is counted.

An instance keeps its last answers in memory by request id, so feedback has to reach the instance
that gave the answer. Answers are numbers of classes, a byte for each row.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from service_kit import (
    REQUEST_ID,
    MetricFamily,
    Problem,
    invalid,
    json_body,
    logs,
    problems,
    read_json,
    require_json,
)

from model_service.service import MAX_ROWS

FEEDBACK = MetricFamily(
    "counter",
    "model_feedback",
    "Rows of which the true class was told later, by that class and the answer's result",
    ("model_version", "label", "result"),
)
RESULTS = ("wrong", "right")
TAG = "feedback"
"""Tag of a route that asks the model nothing: its example is answered where a caller's own is."""
MAX_KEPT_ROWS = 100_000
"""The most rows whose answers an instance may keep, which bounds the memory they take."""


class Feedback:
    """The last answers by request id, and the counts of those that turned out right or wrong."""

    def __init__(
        self, classes: Sequence[str], model_version: str, kept_rows: Callable[[], int]
    ) -> None:
        """Start with nothing kept.

        Args:
            classes: names of the classes, at most 256.
            model_version: labels the counts.
            kept_rows: returns how many rows' answers are kept, 0 for none.
        """
        self.classes = tuple(classes)
        self._model_version = model_version
        self._kept_rows = kept_rows
        self._kept: dict[str, bytes] = {}
        self._rows = 0
        self._counts = {(label, result): 0 for label in self.classes for result in RESULTS}

    def keep(self, answers: Sequence[int]) -> None:
        """Keep the class numbers that answer the present request, and forget the oldest."""
        most = self._kept_rows()
        request_id = logs.request_id.get()
        if most and request_id is not None:
            self._forget(request_id)
            self._kept[request_id] = bytes(answers)
            self._rows += len(answers)
        while self._rows > most:
            self._forget(next(iter(self._kept)))

    def _forget(self, request_id: str) -> None:
        self._rows -= len(self._kept.pop(request_id, b""))

    def tell(self, request_id: str, labels: Sequence[str | None]) -> tuple[int, int]:
        """Count the true classes of a request's rows, once; return the rows counted and the right.

        Args:
            request_id: of the request that was answered.
            labels: the class of each row, None where it is not known.

        Raises:
            Problem: 404 for an answer that is not kept, 422 for another number of rows.
        """
        answers = self._kept.get(request_id)
        if answers is None:
            detail = (
                f"No answer to request {request_id} is kept here: none was, it is too old, it was"
                " told already, or another instance gave it."
            )
            raise Problem(404, detail, type="unknown-request")
        if len(labels) != len(answers):
            words = f"Give a class, or null, for each of the {len(answers)} rows of the request"
            error = {"field": "labels", "message": words, "value": len(labels)}
            detail = f"labels: {words}, not {len(labels)}."
            raise Problem(422, detail, type="invalid-request", errors=[error], error_count=1)
        self._forget(request_id)
        told = [
            (label, label == self.classes[answer])
            for label, answer in zip(labels, answers, strict=True)
            if label is not None
        ]
        for label, is_right in told:
            self._counts[label, RESULTS[is_right]] += 1
        return len(told), sum(is_right for _, is_right in told)

    def collect(self) -> Iterator[Metric]:
        """Yield the counts as a metric."""
        family = CounterMetricFamily(FEEDBACK.name, FEEDBACK.text, labels=FEEDBACK.labels)
        for (label, result), count in self._counts.items():
            family.add_metric([self._model_version, label, result], count)
        yield family


class CountedRows(BaseModel):
    """The rows that were counted, and those among them whose answer was right."""

    rows: int
    right: int


def add_feedback(router: APIRouter, feedback: Feedback) -> None:
    """Add the route by which callers tell what was true."""
    body = _body_model(feedback.classes)

    @router.post(
        "/feedback",
        tags=[TAG],
        responses={**problems(404), 200: {"model": CountedRows}},
        openapi_extra=json_body(body),
    )
    async def send_feedback(request: Request) -> CountedRows:
        """Tell the true class of each row of a request that this instance answered, once."""
        require_json(request.scope)
        try:
            told: Any = body.model_validate(read_json(request.scope["body"], 1))
        except ValidationError as error:
            raise invalid(error.errors(), error.error_count()) from error
        rows, right = feedback.tell(told.request_id, told.labels)
        return CountedRows(rows=rows, right=right)


def _body_model(classes: tuple[str, ...]) -> type[BaseModel]:
    example: Any = {
        "request_id": "0190d1a5-7c52-7001-8000-2b1f6a3c4d5e",
        "labels": [classes[0], None],
    }
    label: Any = Literal[classes]
    fields: dict[str, Any] = {
        "request_id": Annotated[str, Field(pattern=f"^{REQUEST_ID.pattern.decode()}$")],
        "labels": Annotated[list[label | None], Field(min_length=1, max_length=MAX_ROWS)],
    }
    config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [example]})
    return create_model("FeedbackRequest", __config__=config, **fields)
