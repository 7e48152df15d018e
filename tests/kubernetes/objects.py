"""The objects of the chart, as Python reads them."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from stack.helm import fill
from stack.kubernetes import CHART, PRESETS, preset_values

TEMPLATES = sorted((CHART / "templates").glob("*.yaml"))
PRESET = pytest.mark.parametrize("preset", PRESETS)

Object = dict[str, Any]


def values_of(preset: str) -> dict[str, Any]:
    """Return the values of an overlay."""
    return preset_values(preset, (CHART / "values.yaml").read_text())


def read(text: str) -> list[Object]:
    """Return the objects of a text, in the order of their kinds and names."""
    objects = [each for each in yaml.safe_load_all(text) if each is not None]
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))


def objects_of(values: Mapping[str, Any]) -> list[Object]:
    """Return every object of the chart for some values."""
    return read("\n---\n".join(fill(each.read_text(), values) for each in TEMPLATES))


def workloads(objects: list[Object]) -> list[Object]:
    """Return the objects that make pods."""
    return [each for each in objects if each["kind"] in {"Deployment", "StatefulSet", "Job"}]


def pods(objects: list[Object]) -> list[Object]:
    """Return the specification of the pods of each object that makes pods."""
    return [each["spec"]["template"]["spec"] for each in workloads(objects)]


def containers(objects: list[Object]) -> list[Object]:
    """Return the containers of all pods."""
    return [each for pod in pods(objects) for each in pod["containers"]]
