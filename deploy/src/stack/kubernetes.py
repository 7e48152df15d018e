"""Kubernetes: the chart's list of models, and the kustomize manifests, written from the chart.

The chart's templates are the only text of the objects; a test compares what is written from them
with what Helm and kustomize make.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from stack import ROOT
from stack.helm import fill
from stack.services import ServedModel

FOLDER = ROOT / "deploy" / "kubernetes"
CHART = FOLDER / "chart"
BEGIN = "# Each model service, written from the tables of services/*/pyproject.toml:\n"
END = "# End of the model services.\n"
PRESETS: Final[Mapping[str, Sequence[str]]] = {
    "small": ("values.yaml",),
    "ha": ("values.yaml", "values-ha.yaml"),
    "existing-nacos": ("values.yaml", "values-existing-nacos.yaml"),
}
"""The chart's files of values that make the same objects as an overlay."""
MANIFESTS: Final[Mapping[str, tuple[str, str]]] = {
    "base/settings.yaml": ("settings.yaml", "small"),
    "base/gateway.yaml": ("gateway.yaml", "small"),
    "base/models.yaml": ("models.yaml", "small"),
    "nacos/nacos.yaml": ("nacos.yaml", "small"),
    "autoscaling/autoscaling.yaml": ("autoscaling.yaml", "ha"),
    "overlays/existing-nacos/existing-nacos.yaml": ("existing-nacos.yaml", "existing-nacos"),
}
"""Each manifest of kustomize: the template that it is made from, and with whose values."""
HEAD = "# Written from deploy/kubernetes/chart by `make kubernetes-manifests`.\n"


def files(services: Iterable[ServedModel]) -> dict[Path, str]:
    """Return the text of each file that is written, for the given services."""
    version = tomllib.loads((ROOT / "deploy" / "pyproject.toml").read_text())["project"]["version"]
    values = _values_file(services, version)
    texts = {CHART / "values.yaml": values, CHART / "Chart.yaml": _chart_file(version)}
    for target, (template, preset) in MANIFESTS.items():
        text = (CHART / "templates" / template).read_text()
        texts[FOLDER / target] = HEAD + fill(text, preset_values(preset, values))
    return texts


def preset_values(preset: str, values: str) -> dict[str, Any]:
    """Return the values of an overlay; `values` is the text of the chart's values.yaml."""
    merged: dict[str, Any] = yaml.safe_load(values)
    for file in PRESETS[preset][1:]:
        merged = _merged(merged, yaml.safe_load((CHART / file).read_text()))
    return merged


def _values_file(services: Iterable[ServedModel], version: str) -> str:
    head, _, rest = (CHART / "values.yaml").read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    head = re.sub(r'^  tag: ".*"$', f'  tag: "{version}"', head, flags=re.MULTILINE)
    blocks = [
        f"  {each.name}: {{package: {each.package}, port: {each.ports[0]}}}\n" for each in services
    ]
    return head + BEGIN + ("models:\n" if blocks else "models: {}\n") + "".join(blocks) + END + tail


def _chart_file(version: str) -> str:
    text = (CHART / "Chart.yaml").read_text()
    # Helm wants 1.2.0-rc1 where Python writes 1.2.0rc1.
    semantic = re.sub(r"(?<=\d)(?=[a-z])", "-", version)
    text = re.sub(r"^version: .*$", f"version: {semantic}", text, flags=re.MULTILINE)
    return re.sub(r"^appVersion: .*$", f'appVersion: "{version}"', text, flags=re.MULTILINE)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the second values over the first, as Helm lays one file over another."""
    both = {**first, **second}
    for key in first.keys() & second.keys():
        if isinstance(first[key], dict) and isinstance(second[key], dict):
            both[key] = _merged(first[key], second[key])
    return both
