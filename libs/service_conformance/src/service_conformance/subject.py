"""A model service under test: its process, with no Nacos to reach, and what it says of itself."""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import httpx
from model_service import ModelService

from service_conformance.service_process import ServiceProcess, free_port, started

SECONDS = 60.0
DESCRIPTIONS = ("/openapi.json", "/api/v1/openapi.json")
SHRINK = 2
"""A request that is too large is tried again with a part of its rows, so much smaller."""


def declaration(named: str) -> type[ModelService]:
    """Return the declaration that `module:class` names."""
    module, _, kind = named.partition(":")
    return cast("type[ModelService]", getattr(importlib.import_module(module), kind))


@dataclass(frozen=True)
class Post:
    """A POST route of a service.

    Attributes:
        path: with the model's name and version in it.
        example: a good body, as its description has it.
        template: path as its description has it.
    """

    path: str
    example: dict[str, Any]
    template: str

    def with_rows(self, count: int) -> bytes:
        """Return the example with so many rows, or points, or elements of each tensor."""
        body = dict(self.example)
        (name,) = (
            key for key, value in body.items() if isinstance(value, list) and key != "outputs"
        )
        if self.template.startswith("/v2/"):
            body[name] = [_longer(tensor, count) for tensor in body[name]]
        else:
            body[name] = _cycled(body[name], count)
        return json.dumps(body, separators=(",", ":")).encode()


def _longer(tensor: Mapping[str, Any], count: int) -> dict[str, Any]:
    rows, *shape = tensor["shape"]
    flat = tensor["data"]
    return {
        **tensor,
        "shape": [count, *shape],
        "data": _cycled(flat, count * len(flat) // rows),
    }


def _cycled(values: list[Any], count: int) -> list[Any]:
    return (values * (count // len(values) + 1))[:count]


@dataclass
class Subject(ServiceProcess):
    """A process of a model service, whose declaration `named` names."""

    named: str

    @property
    def declared(self) -> type[ModelService]:
        """The service's declaration."""
        return declaration(self.named)

    @cached_property
    def description_path(self) -> str:
        """The path of the OpenAPI description."""
        return next(path for path in DESCRIPTIONS if httpx.get(self.url + path).is_success)

    @cached_property
    def posts(self) -> list[Post]:
        """The POST routes that ask the model; `feedback` tells what became of an earlier answer."""
        with httpx.Client(base_url=self.url, timeout=SECONDS) as client:
            description = client.get(self.description_path).json()
            model = client.get(f"/v2/models/{self.declared.name}").json()
        found = []
        for template, operations in description["paths"].items():
            if "post" in operations and "feedback" not in operations["post"].get("tags", ()):
                content = operations["post"]["requestBody"]["content"]["application/json"]
                path = template.replace("{model_name}", model["name"])
                path = path.replace("{model_version}", model["versions"][0])
                found.append(Post(path, example_of(content, description), template))
        return found

    def largest(self, post: Post) -> bytes:
        """Return the largest body of a route that is answered, to a factor of two."""
        count = 10_000
        with httpx.Client(base_url=self.url, timeout=SECONDS) as client:
            while count > 1:
                body = post.with_rows(count)
                answer = client.post(post.path, content=body, headers=JSON)
                if answer.is_success:
                    return body
                count //= SHRINK
        return post.with_rows(len(next(iter(post.example.values()))))


JSON = {"Content-Type": "application/json"}


def example_of(content: Mapping[str, Any], description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the example of a route's body, of which `description` is the OpenAPI document."""
    if "example" in content:
        return dict(content["example"])
    if "examples" in content:
        return dict(next(iter(content["examples"].values()))["value"])
    schema = content["schema"]
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return dict(schema["examples"][0])


def command(named: str) -> list[str]:
    """Return the command that starts a service: `python -m` with the package of its declaration."""
    return [sys.executable, "-m", named.partition(":")[0].partition(".")[0]]


@contextmanager
def running(named: str, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Subject]:
    """Start a service; ready within the context."""
    with started(command(named), folder / "log", free_port(), more or {}) as process:
        yield Subject(process.url, process.log, process.popen, named)
