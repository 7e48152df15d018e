"""Chart and manifests are written from one text and from the tables of the services."""

import subprocess
from pathlib import Path

import pytest
import yaml
from stack import ROOT, kubernetes
from stack.helm import TemplateError, fill
from stack.kubernetes import CHART, FOLDER, MANIFESTS
from stack.services import ServedModel, found

from tests.kubernetes.objects import TEMPLATES, containers, objects_of, read, values_of, workloads

IRIS = ServedModel("iris", "iris-2", (8002, 8012), "iris.app:Iris", "/api/v1/predict", "{}")


def test_what_is_written_is_what_the_chart_says() -> None:
    """The committed manifests and values are those that are derived: no service was forgotten."""
    assert {f: f.read_text() for f in kubernetes.files(found())} == kubernetes.files(found())
    assert {template for template, _ in MANIFESTS.values()} == {each.name for each in TEMPLATES}


def test_a_new_service_is_in_chart_and_manifests() -> None:
    """One more table is one more model in the values, and its objects in base and autoscaling."""
    texts = kubernetes.files((*found(), IRIS))
    models = yaml.safe_load(texts[CHART / "values.yaml"])["models"]
    base = read(texts[FOLDER / "base" / "models.yaml"])
    scaled = read(texts[FOLDER / "autoscaling" / "autoscaling.yaml"])

    assert models["iris-2"] == {"package": "iris", "port": 8002}
    kinds = {each["kind"] for each in base if each["metadata"]["name"].endswith("iris-2")}
    assert kinds == {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}
    assert {each["metadata"]["name"] for each in scaled} >= {"iris-2", "gateway"}
    assert yaml.safe_load(kubernetes.files(())[CHART / "values.yaml"])["models"] == {}


@pytest.mark.parametrize("name", ["nacos", "nacos-password", "to-nacos", "closed", "small"])
def test_a_model_may_have_any_name(name: str) -> None:
    """No object is named twice, and no selector means pods of two workloads."""
    objects = objects_of({**values_of("ha"), "models": {name: {"package": "iris", "port": 8002}}})
    ids = [(each["kind"], each["metadata"]["name"]) for each in objects]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in workloads(objects)]
    selectors = [
        selector.get("matchLabels", selector)
        for each in objects
        if (selector := each.get("spec", {}).get("selector"))
    ]

    assert len(set(ids)) == len(ids)
    assert len(selectors) == 8
    for selector in selectors:
        assert sum(selector.items() <= each.items() for each in labels) == 1


def test_make_writes_nothing_new() -> None:
    """`make kubernetes-manifests` leaves the files as they are committed."""
    before = {file: file.stat().st_mtime_ns for file in kubernetes.files(found())}
    subprocess.run(["make", "--silent", "kubernetes-manifests"], cwd=ROOT, check=True)

    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_version_is_the_charts_and_the_images(checkout: Path) -> None:
    """`make version` writes the version into chart and manifests, for Helm in Helm's form."""
    subprocess.run(["make", "version", "VERSION=7.8.9rc1"], cwd=checkout, check=True)
    folder = checkout / "deploy" / "kubernetes"
    chart = yaml.safe_load((folder / "chart" / "Chart.yaml").read_text())
    (container,) = containers(read((folder / "base" / "gateway.yaml").read_text()))

    assert (chart["version"], chart["appVersion"]) == ("7.8.9-rc1", "7.8.9rc1")
    assert container["image"] == "modelserve/gateway:7.8.9rc1"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a: {{ .Values.b }}\n", r"no value \.Values\.b"),
        ("a: {{ add .Values.on 1 }}\n", "neither text nor"),
        ("a: {{ .Values.on }}\n", "neither text nor a whole number"),
        ("{{- if .Values.on }}\n", "no end of"),
        ("{{- end }}\n", "end of no block"),
        ("a: {{ .Values.on | quote }}\n", r"not known here: .*quote"),
        ("{{- with .Values.on }}\n{{- end }}\n", r"not known here: .*with"),
    ],
)
def test_what_only_helm_would_understand_is_refused(template: str, reason: str) -> None:
    """A template that uses more of Helm's language ends the writing, with the line."""
    with pytest.raises(TemplateError, match=reason):
        fill(template, {"on": True})
