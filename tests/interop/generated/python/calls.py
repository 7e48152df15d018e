"""Calls every route of a service by a client that openapi-python-client made; prints it as JSON.

Usage: calls.py PACKAGE DESCRIPTION URL DIRECT, where PACKAGE is the client, in the current folder,
and DESCRIPTION the OpenAPI document that it was made from, whose examples are what is sent. DIRECT
is the service's URL without a gateway, which sets deadlines of its own.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODELS = "#/components/schemas/"


def described(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each operation with the arguments of its example; feedback needs an answer first."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "feedback" in operation["tags"]:
                continue
            named = {
                each["name"]: each["examples"]["served"]["value"]
                for each in operation.get("parameters", ())
                if each["required"]
            }
            yield operation, named


def body_of(package: str, operation: dict[str, Any], given: Any = None) -> dict[str, Any]:
    """Return the argument `body`, made by the model's class, if the operation takes one."""
    if "requestBody" not in operation:
        return {}
    content = operation["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].removeprefix(MODELS)
    model = getattr(importlib.import_module(f"{package}.models"), name)
    body = model.from_dict(content["example"] if given is None else given)
    return {"body": body}


def function(package: str, operation: dict[str, Any]) -> Any:
    """Return the function of an operation."""
    group = operation["tags"][0].replace(" ", "_").replace("-", "_")
    return importlib.import_module(f"{package}.api.{group}.{operation['operationId']}")


def told(answer: Any) -> dict[str, Any]:
    """Return what the client understood of an answer."""
    parsed = answer.parsed
    content = parsed.to_dict() if hasattr(parsed, "to_dict") else parsed
    kind = type(parsed).__name__
    return {"status": int(answer.status_code), "kind": kind, "content": content}


def main(package: str, description: str, url: str, direct: str) -> None:
    """Call every operation, and some with what is refused."""
    document = json.loads(Path(description).read_text())
    make = importlib.import_module(package).Client
    client = make(base_url=url)
    answers, problems = {}, {}
    for operation, named in described(document):
        name, called = operation["operationId"], function(package, operation)
        body = body_of(package, operation)
        answers[name] = told(called.sync_detailed(client=client, **named, **body))
        if body:
            empty = {key: [] for key in body["body"].to_dict() if key != "outputs"}
            wrong = body_of(package, operation, empty)
            problems[name] = told(called.sync_detailed(client=client, **named, **wrong))
        if named:
            other = named | {"model_name": "other"}
            problems[f"{name} of another"] = told(
                called.sync_detailed(client=client, **other, **body)
            )
    late = make(base_url=direct, headers={"X-Request-Timeout-Ms": "0"})
    first, named = next(each for each in described(document) if "requestBody" in each[0])
    problems["late"] = told(
        function(package, first).sync_detailed(client=late, **named, **body_of(package, first))
    )
    print(json.dumps({"answers": answers, "problems": problems}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main(*sys.argv[1:])
