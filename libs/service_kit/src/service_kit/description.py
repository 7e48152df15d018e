"""The OpenAPI document of a service, as programs that generate clients read it right.

FastAPI and pydantic write correct OpenAPI 3.1, some of which such programs misread. So the document
is changed, and only the document: what is validated stays.

- An object that is described in place becomes a component, for clients make a class of each.
- `additionalProperties: false` is left out. openapi-generator's Java client would take the model
  for a map and send `{}` (github.com/OpenAPITools/openapi-generator/issues/20747). The service
  still refuses members that it does not know, and names them.
- The errors that FastAPI would answer are the problem documents that are answered instead.
- Numbers tell their format: without it an integer has 32 bits in Java, and a number is a decimal.
- An operation's id is its function's name, for it becomes the name of a method.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service_kit.problem import problems

_FORMATS = {"integer": "int64", "number": "double"}
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
"""Components that FastAPI adds for its own errors of parameters."""
_ONE = ("items", "additionalProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
"""Members of a schema that are schemas, or lists of schemas."""


class DescribedApp(FastAPI):
    """A FastAPI application whose OpenAPI document is `published`."""

    def __init__(self, **options: Any) -> None:
        """Make the application; `options` are FastAPI's."""
        super().__init__(generate_unique_id_function=_name, **options)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made at the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = published(super().openapi())
        return self.openapi_schema


def _name(route: APIRoute) -> str:
    return route.name


def published(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document in the form that programs which generate clients read right."""
    components = document.get("components", {})
    given = components.get("schemas", {}).items()
    schemas = {name: _readable(each) for name, each in given if name not in _OF_FASTAPI}

    def placed(schema: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(schema.get("title"), str) or "properties" not in schema:
            return schema
        name = re.sub(r"[^\w.-]", "_", schema["title"], flags=re.ASCII)
        while schemas.setdefault(name, schema) != schema:
            name += "_"
        return {"$ref": f"#/components/schemas/{name}"}

    def told(part: Mapping[str, Any]) -> dict[str, Any]:
        """Return a parameter, a body or an answer, with its schemas changed."""
        changed = dict(part)
        if "schema" in part:
            changed["schema"] = _changed(_readable(part["schema"]), placed)
        if "content" in part:
            changed["content"] = {kind: told(media) for kind, media in part["content"].items()}
        return changed

    def operation(described: Mapping[str, Any]) -> dict[str, Any]:
        changed = dict(described)
        if "parameters" in described:
            changed["parameters"] = [told(each) for each in described["parameters"]]
        if "requestBody" in described:
            changed["requestBody"] = told(described["requestBody"])
        answers = described["responses"].items()
        return changed | {"responses": {status: told(_answered(each)) for status, each in answers}}

    paths = {
        path: {method: operation(each) for method, each in operations.items()}
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": paths, "components": {**components, "schemas": schemas}}


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer that is given where FastAPI describes its own error of parameters."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    is_of_fastapi = schema == {"$ref": f"#/components/schemas/{_OF_FASTAPI[0]}"}
    return problems()[422] if is_of_fastapi else answer


def _readable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with formats of numbers, and without a word on further members of models."""

    def change(schema: dict[str, Any]) -> dict[str, Any]:
        if "properties" in schema and isinstance(schema.get("additionalProperties"), bool):
            return {key: each for key, each in schema.items() if key != "additionalProperties"}
        return (
            {"format": _FORMATS[schema["type"]]} | schema
            if schema.get("type") in _FORMATS
            else schema
        )

    return _changed(schema, change)


def _changed(
    schema: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return a schema in which each schema is changed, the inner ones first."""

    def inner(each: Any) -> Any:
        return _changed(each, change) if isinstance(each, dict) else each

    found = dict(schema)
    for key in found.keys() & set(_ONE):
        found[key] = inner(found[key])
    for key in found.keys() & set(_LISTS):
        found[key] = [inner(each) for each in found[key]]
    if "properties" in found:
        found["properties"] = {name: inner(each) for name, each in found["properties"].items()}
    return change(found)
