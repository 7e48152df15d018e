"""Clients that are made from a service's OpenAPI document.

openapi-generator's Java client takes a model with `additionalProperties` for a map and sends `{}`:
https://github.com/OpenAPITools/openapi-generator/issues/17361, 20747 and 22345. What is generated,
compiled and called is in tests/interop/test_generated.py.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

METHOD_NAME = re.compile(r"[a-z][a-z0-9_]{2,40}")
V2 = "/v2/models/{model_name}"
VERSIONED = f"{V2}/versions/{{model_version}}"


@pytest.fixture
def document(client, subject) -> dict[str, Any]:
    return client.get(subject.description_path).json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def parts(node: object) -> Iterator[dict[str, Any]]:
    """Yield every object of a document."""
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from parts(each)
    elif isinstance(node, list):
        for each in node:
            yield from parts(each)


def test_no_model_looks_like_a_map(document):
    """A class with members says nothing of further members, whether they are taken or not."""
    models = document["components"]["schemas"]
    assert [name for name, each in models.items() if "additionalProperties" in each] == []
    assert all("properties" in each for each in models.values())


def test_every_body_and_problem_is_a_named_model(document, subject):
    """Requests, answers of V2 and problems are references to components, which exist."""
    models = document["components"]["schemas"]
    for path, operation in operations(document):
        body = operation.get("requestBody", {"content": {}})["content"]
        assert all(media["schema"].keys() == {"$ref"} for media in body.values()), path
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if int(status) >= 400 and "application/problem+json" in content:
                (media,) = content.values()
                assert media == {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}, path
            if path.startswith("/v2") and status == "200":
                assert content["application/json"]["schema"].keys() == {"$ref"}, path
    for part in parts(document):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/components/schemas/") in models
    assert subject.posts


def test_operations_have_names(document):
    """An operation's id is the name of a method, and each has its own."""
    names = Counter(operation["operationId"] for _, operation in operations(document))

    assert [name for name in names if not METHOD_NAME.fullmatch(name)] == []
    assert names.total() == len(names) > 10
    assert {"server_ready", "model_infer", "model_version_infer"} <= names.keys()


def test_versioned_routes_declare_both_parameters(document):
    """Name and version are required texts, with the value that is served."""
    for path, names in ((V2, ["model_name"]), (VERSIONED, ["model_name", "model_version"])):
        for end, method in (("", "get"), ("/ready", "get"), ("/stats", "get"), ("/infer", "post")):
            given = document["paths"][path + end][method]["parameters"]
            assert [each["name"] for each in given] == names
            for each in given:
                assert (each["in"], each["required"]) == ("path", True)
                assert each["schema"]["type"] == "string"
                assert each["examples"]["served"]["value"]


def test_numbers_have_the_width_that_is_meant(document):
    """Without a format Java reads an integer into 32 bits, and a number into a decimal."""
    for part in parts(document["components"]["schemas"]):
        if part.get("type") in ("integer", "number"):
            assert part["format"] in ("int32", "int64", "float", "double"), part
