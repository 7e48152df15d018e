"""Bodies that a route reads itself: description in OpenAPI, content type, bounded reading."""

from typing import Any

import orjson
from pydantic import BaseModel
from starlette.types import Scope

from service_kit.problem import Problem

SPARE_PARTS = 1000
"""Lists and objects that a body may have beside two for each row."""


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return `openapi_extra=` of a route whose JSON body has the shape of `model`."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.get("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, defs: dict[str, Any]) -> Any:
    """Put definitions where they are referred to: OpenAPI would look for them elsewhere."""
    if isinstance(schema, list):
        return [_inlined(each, defs) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    return {key: _inlined(value, defs) for key, value in schema.items() if key != "$defs"}


def is_json(scope: Scope) -> bool:
    """Return whether a body is declared to be JSON, or not declared to be anything."""
    declared: bytes = scope["fields"].get(b"content-type", b"")
    kind = declared.partition(b";")[0].strip().lower()
    return kind in {b"", b"application/json"} or kind.endswith(b"+json")


def require_json(scope: Scope) -> None:
    """Refuse a body that is declared to be something else than JSON.

    Raises:
        Problem: 415.
    """
    if not is_json(scope):
        raise Problem(415, "Send the body as application/json.", type="not-json")


def limit_parts(body: bytes, max_rows: int) -> None:
    """Refuse a body, before it is parsed, of far more lists and objects than its rows can need.

    Each takes three bytes in the body and twenty times that as one of Python's.

    Raises:
        Problem: 413.
    """
    parts = body.count(b"[") + body.count(b"{")
    if parts > 2 * max_rows + SPARE_PARTS:
        detail = f"{parts} lists and objects are more than {max_rows} rows can need; send less."
        raise Problem(413, detail, type="too-many-rows", limit_rows=max_rows)


def read_json(body: bytes, max_rows: int) -> Any:
    """Return a JSON document of at most so many rows as Python objects.

    Raises:
        Problem: 413 for too many lists and objects, 400 for what is no JSON.
    """
    limit_parts(body, max_rows)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "The body is not valid JSON.", type="invalid-json") from error


def limit_rows(rows: int, most: int) -> None:
    """Refuse a request of more rows than one may have.

    Raises:
        Problem: 413.
    """
    if rows > most:
        detail = f"{rows} rows, one request may have {most}; send several."
        raise Problem(413, detail, type="too-many-rows", limit_rows=most)
