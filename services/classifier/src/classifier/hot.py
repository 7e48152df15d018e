"""The short way of `POST /api/v1/predict`: msgspec and a table, past FastAPI.

It answers only what it is sure of. Anything else - another path, a browser's cross-origin call, a
body it does not accept at once - goes on to the FastAPI application, which validates with pydantic
and words the errors. So there is one schema, one place that refuses, and two ways to the same bytes
(docs/adr/0022-one-schema-two-ways.md).
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any, Literal

import msgspec
from car_evaluation_model import Model
from service_kit import Workers
from starlette.types import ASGIApp, Receive, Scope, Send

from classifier.engine import Engine
from classifier.settings import ServingConfig

PATH = "/api/v1/predict"
LARGE_BODY_BYTES = 32 * 1024
"""Reading more than this takes over a millisecond, and is left to a worker."""
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8"})
_PROBABILITIES = {b"": False, b"probabilities=true": True, b"probabilities=false": False}


class FastRows:
    """Decodes well-formed bodies into ranks, in C where it counts."""

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
        """Return the rank of each row, or None for a body that needs a closer look."""
        try:
            rows: list[Any] = self._decoder.decode(body).inputs
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        ranks = self._ranks
        return [ranks[row] for row in rows]


class HotRoute:
    """Wraps the FastAPI application with the short way."""

    path = PATH

    def __init__(
        self,
        app: ASGIApp,
        engine: Engine,
        config: Callable[[], ServingConfig],
        workers: Workers,
    ) -> None:
        self._app = app
        self._engine = engine
        self._config = config
        self._workers = workers
        self._rows = FastRows(engine.model)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        body: bytes = scope["body"]
        if len(body) > LARGE_BODY_BYTES:
            read = partial(self._rows.read, body)
            ranks = await self._workers.run(read, deadline=scope["deadline"])
        else:
            ranks = self._rows.read(body)
        if not ranks or len(ranks) > self._config().max_rows:
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        answers = await self._engine.answer(
            ranks,
            probabilities=_PROBABILITIES[scope["query_string"]],
            deadline=scope["deadline"],
        )
        document = self._engine.document(answers, scope["request_id"])
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(document)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": document})


def _is_plain(scope: Scope) -> bool:
    """Return whether this is a prediction asked for without ceremony."""
    return (
        scope["path"] == PATH
        and scope["method"] == "POST"
        and scope["query_string"] in _PROBABILITIES
        and scope["fields"].get(b"content-type") in _JSON
        and b"origin" not in scope["fields"]
    )
