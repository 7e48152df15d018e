"""Kubernetes: the chart's list of models, and the kustomize manifests, written from the chart.

The chart's templates are the only text of the objects. They keep to the part of Helm's language
that is read here: values, `add`, and, each on a line of its own, `range`, `if`, `if not` and `end`.
So a new service needs no Helm on the machine; a test compares with what Helm and kustomize make.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from stack import ROOT
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

Scope = Mapping[str, Any]
"""The values that a template may name, by their first words: `.Values`, `$name`, `$model`."""
_BLOCK = re.compile(r"\{\{- (?:(if|if not|range \$name, \$model :=) \$?([\w.]+)|(end)) \}\}\n")
_VALUE = re.compile(r"\{\{ (?:(add) )?([\w.$]+)(?: (\d+))? \}\}")


class TemplateError(ValueError):
    """A template uses what is not known here; the message has the line."""


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


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return what Helm makes of a template.

    Raises:
        TemplateError: the template uses more of Helm's language, or a value that is not there.
    """
    lines = template.splitlines(keepends=True)
    return "".join(_filled(lines, {"": {"Values": values}}))


def _filled(lines: Sequence[str], scope: Scope) -> Iterator[str]:
    at = 0
    while at < len(lines):
        block = _BLOCK.fullmatch(lines[at])
        if block is None:
            yield _line(lines[at], scope)
            at += 1
            continue
        end = _end(lines, at)
        for inner in _scopes(block, scope):
            yield from _filled(lines[at + 1 : end], inner)
        at = end + 1


def _end(lines: Sequence[str], begin: int) -> int:
    """Return the place of the line that ends the block which begins at `begin`."""
    if lines[begin].startswith("{{- end"):
        raise TemplateError("an end of no block")
    depth = 0
    for at in range(begin, len(lines)):
        if block := _BLOCK.fullmatch(lines[at]):
            depth += -1 if block[3] else 1
            if depth == 0:
                return at
    raise TemplateError(f"no end of {lines[begin].strip()}")


def _scopes(block: re.Match[str], scope: Scope) -> list[Scope]:
    """Return the scope of each time that a block's lines stand in the result."""
    word, value = block[1], _value(block[2], scope)
    if word.startswith("range"):
        return [{**scope, "name": name, "model": value[name]} for name in sorted(value)]
    return [scope] if bool(value) == (word == "if") else []


def _line(line: str, scope: Scope) -> str:
    filled = _VALUE.sub(lambda found: _text(found, scope), line)
    if "{{" in filled:
        raise TemplateError(f"not known here: {line.strip()}")
    return filled


def _text(found: re.Match[str], scope: Scope) -> str:
    value = _value(found[2].removeprefix("$"), scope)
    if found[1]:
        value += int(found[3])
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TemplateError(f"{found[0]} is neither text nor a whole number")
    return str(value)


def _value(path: str, scope: Scope) -> Any:
    value: Any = scope
    for key in path.split("."):
        try:
            value = value[key]
        except (KeyError, TypeError) as error:
            raise TemplateError(f"there is no value {path}") from error
    return value


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
