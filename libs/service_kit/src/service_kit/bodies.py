"""Bodies that a route reads itself: their description in OpenAPI, content type and limits."""

from typing import Any

import orjson
from pydantic import BaseModel
from starlette.types import Scope

from service_kit.json_fault import not_json
from service_kit.problem import Problem

SPARE_PARTS = 1000
"""Lists and objects that a body may have in addition to two for each row."""


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` argument of a route whose JSON body has the shape of `model`.

    The first of the model's `examples` becomes the body's, which the documentation tries.
    """
    schema = json_schema(model)
    examples = schema.pop("examples", ())
    content = {"schema": schema} | ({"example": examples[0]} if examples else {})
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of `model` in one piece, without references."""
    schema = model.model_json_schema()
    inlined: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return inlined


def _inlined(schema: Any, defs: dict[str, Any]) -> Any:
    """Return a schema with the definition itself in place of each `$ref`.

    pydantic refers to `#/$defs/`, and an OpenAPI document has no definitions at that place.
    """
    if isinstance(schema, list):
        return [_inlined(each, defs) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    return {key: _inlined(value, defs) for key, value in schema.items() if key != "$defs"}


def is_json(scope: Scope) -> bool:
    """Return whether a request declares its body to be JSON, or declares no content type."""
    declared: bytes = scope["fields"].get(b"content-type", b"")
    kind = declared.partition(b";")[0].strip().lower()
    return kind in {b"", b"application/json"} or kind.endswith(b"+json")


def require_json(scope: Scope) -> None:
    """Refuse a request that declares its body to be something else than JSON.

    Raises:
        Problem: 415.
    """
    if not is_json(scope):
        raise Problem(415, "Send the body as application/json.", type="not-json")


def limit_parts(body: bytes, max_rows: int) -> None:
    """Refuse an unparsed body of far more lists and objects than `max_rows` rows can need.

    An empty list takes three bytes in the body, and twenty times as many as a Python object.

    Raises:
        Problem: 413.
    """
    parts = body.count(b"[") + body.count(b"{")
    if parts > 2 * max_rows + SPARE_PARTS:
        detail = f"{parts} lists and objects are more than {max_rows} rows can need; send less."
        raise Problem(413, detail, type="too-many-rows", limit_rows=max_rows)


def read_json(body: bytes, max_rows: int) -> Any:
    """Parse a JSON body that is meant to hold at most `max_rows` rows.

    Raises:
        Problem: 413 for too many lists and objects, 400 for a body that is not JSON.
    """
    limit_parts(body, max_rows)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(body) from error


def limit_rows(rows: int, most: int) -> None:
    """Refuse a request of more than `most` rows.

    Raises:
        Problem: 413.
    """
    if rows > most:
        detail = f"{rows} rows, one request may have {most}; send several."
        raise Problem(413, detail, type="too-many-rows", limit_rows=most)
