"""Bodies that a route reads itself: their description in OpenAPI and their content type."""

from typing import Any

from pydantic import BaseModel
from starlette.types import Scope

from service_kit.problem import Problem


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


def require_json(scope: Scope) -> None:
    """Refuse a body that is declared to be something else; none declared is taken for JSON.

    Raises:
        Problem: 415.
    """
    declared: bytes = scope["fields"].get(b"content-type", b"")
    kind = declared.partition(b";")[0].strip().lower()
    if kind not in {b"", b"application/json"} and not kind.endswith(b"+json"):
        raise Problem(415, "Send the body as application/json.", type="not-json")
