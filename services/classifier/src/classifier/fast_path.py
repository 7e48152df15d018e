"""The fast path of `POST /api/v1/predict`: msgspec and a table, past FastAPI.

The fast path answers only requests that are plainly good. All others, such as those with an unusual
query or a row that msgspec refuses, go on to the FastAPI application, which validates with pydantic
and words the errors. So there is one schema, one place that refuses requests, and two ways to the
same bytes (docs/adr/0022-one-schema-two-ways.md).
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from time import perf_counter
from typing import Any, Literal

import msgspec
from car_evaluation_model import Model
from service_kit import Stages, ThreadPool, is_json
from starlette.types import Scope

from classifier.engine import Answers, Engine
from classifier.settings import ServingConfig

LARGE_BODY_BYTES = 32 * 1024
"""Bytes of the largest body that the event loop reads itself, in about a millisecond."""
_PROBABILITIES = {b"": False, b"probabilities=true": True, b"probabilities=false": False}


class FastRows:
    """A decoder of good bodies into ranks; msgspec decodes and compares the rows in C."""

    def __init__(self, model: Model) -> None:
        spellings = [[*field.codes] for field in model.features]
        fields = [
            (field.name, Literal[tuple(known)])
            for field, known in zip(model.features, spellings, strict=True)
        ]
        row: Any = msgspec.defstruct("Row", fields, frozen=True, forbid_unknown_fields=True)
        body: Any = msgspec.defstruct("Body", [("inputs", list[row])], forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(body)
        self._ranks: Mapping[Any, int] = {
            row(*values): self._rank(model, values) for values in product(*spellings)
        }

    @staticmethod
    def _rank(model: Model, values: tuple[str | int, ...]) -> int:
        rank = 0
        for field, value in zip(model.features, values, strict=True):
            rank = rank * len(field.values) + field.codes[value]
        return rank

    def read(self, body: bytes) -> list[int] | None:
        """Return the rank of each row, or None for a body that FastAPI's route has to validate."""
        try:
            rows: list[Any] = self._decoder.decode(body).inputs
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        ranks = self._ranks
        return [ranks[row] for row in rows]


class FastPredict:
    """The answer to plain predictions, for `service_kit.FastPath`."""

    def __init__(
        self,
        engine: Engine,
        config: Callable[[], ServingConfig],
        threads: ThreadPool,
        stages: Stages,
    ) -> None:
        self._engine = engine
        self._stages = stages
        self._config = config
        self._threads = threads
        self._rows = FastRows(engine.model)

    def at_once(self, scope: Scope) -> bytes | None:
        """Return the JSON document of a small body's rows if the table is the engine in force."""
        engine, body = self._engine, scope["body"]
        if not engine.answers_at_once or len(body) > LARGE_BODY_BYTES or not _is_plain(scope):
            return None
        began = perf_counter()
        ranks = self._rows.read(body)
        if not ranks or len(ranks) > self._config().max_rows:
            return None
        decoded = perf_counter()
        wants_shares = _PROBABILITIES[scope["query_string"]]
        answers = engine.answer_at_once(ranks, probabilities=wants_shares)
        return self._document(scope, answers, began, decoded)

    async def __call__(self, scope: Scope) -> bytes | None:
        """Return the JSON document, or None to leave the request to FastAPI's route."""
        if not _is_plain(scope):
            return None
        began = perf_counter()
        body: bytes = scope["body"]
        if len(body) > LARGE_BODY_BYTES:
            read = partial(self._rows.read, body)
            ranks = await self._threads.run(read, deadline=scope["deadline"])
        else:
            ranks = self._rows.read(body)
        if not ranks or len(ranks) > self._config().max_rows:
            return None
        decoded = perf_counter()
        answers = await self._engine.answer(
            ranks,
            probabilities=_PROBABILITIES[scope["query_string"]],
            deadline=scope["deadline"],
        )
        return self._document(scope, answers, began, decoded)

    def _document(self, scope: Scope, answers: Answers, began: float, decoded: float) -> bytes:
        computed = perf_counter()
        document = self._engine.document(answers, scope["request_id"])
        self._stages.observe(began, decoded, computed, perf_counter())
        return document


def _is_plain(scope: Scope) -> bool:
    """Return whether a request has a query that is known here, and JSON for a body."""
    return scope["query_string"] in _PROBABILITIES and (
        # Nearly all callers spell the content type so: their requests need no parsing of it.
        scope["fields"].get(b"content-type") == b"application/json" or is_json(scope)
    )
