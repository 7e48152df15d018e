"""Helm and kustomize themselves make the objects that Python reads from the chart."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from service_conformance.programs import MISSING
from service_conformance.surroundings import is_ci
from stack import ROOT, kubernetes
from stack.kubernetes import CHART, FOLDER, PRESETS
from stack.services import ServedModel, found

from benchmarks.kubernetes.page import PAGE
from tests.kubernetes.objects import PRESET, containers, objects_of, read, values_of

PROGRAMS = ROOT / ".local" / "kubernetes"
IRIS = ServedModel("iris", "iris-2", (8002, 8012), "iris.app:Iris", "/api/v1/predict", "{}")
CLUSTER = ("--kube-version", "1.34.0")
"""The version of a cluster, for there is none that helm could ask."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Return the way to run helm or kustomize.

    Without them the tests are skipped, with a line that says so; in CI they fail, unless it said
    that it could not build them.
    """
    if missing := {"helm", "kustomize"} - {each.name for each in PROGRAMS.glob("*")}:
        message = f"{MISSING} {' and '.join(sorted(missing))}: run `make kubernetes-programs`"
        if is_ci() and os.environ.get("KUBERNETES_PROGRAMS") != "absent":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)

    def started(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [PROGRAMS / program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return started


def values_files(preset: str, chart: Path = CHART) -> list[str | Path]:
    """Return the arguments of helm that choose an overlay's values."""
    return [each for file in PRESETS[preset][1:] for each in ("--values", chart / file)]


@PRESET
def test_the_chart_has_no_fault(run: Run, preset: str) -> None:
    """`helm lint --strict` finds none, with the values of each overlay."""
    done = run("helm", "lint", *CLUSTER, "--strict", CHART, *values_files(preset))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout


@PRESET
def test_helm_and_kustomize_make_the_same(run: Run, preset: str, tmp_path: Path) -> None:
    """`helm template` and `kustomize build` agree on each object, with one more service, too."""
    copy = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, copy)
    for services in (found(), (*found(), IRIS)):
        for file, text in kubernetes.files(services).items():
            (copy / file.relative_to(FOLDER)).write_text(text)
        chart = copy / "chart"
        by_helm = run("helm", "template", *CLUSTER, chart, *values_files(preset, chart))
        by_kustomize = run("kustomize", "build", copy / "overlays" / preset)
        assert (by_helm.stderr, by_kustomize.stderr) == ("", "")
        objects = read(by_kustomize.stdout)

        assert read(by_helm.stdout) == objects
        assert len(objects) > 10
        assert {each.name for each in services} <= {each["metadata"]["name"] for each in objects}


def test_both_scale_by_work_alike(run: Run, tmp_path: Path) -> None:
    """The component over the overlay `ha` makes what the chart makes with `byWork`."""
    copy = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, copy)
    own = copy / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(
        "resources: [../overlays/ha]\ncomponents: [../autoscaling-by-work]\n"
    )
    given = (*values_files("ha"), "--set", "autoscaling.byWork=true")
    by_helm = run("helm", "template", *CLUSTER, CHART, *given)
    by_kustomize = run("kustomize", "build", own)

    assert (by_helm.stderr, by_kustomize.stderr) == ("", "")
    assert read(by_helm.stdout) == read(by_kustomize.stdout)


def test_the_overlay_of_the_page_is_one_of_ha(run: Run, tmp_path: Path) -> None:
    """What docs/deploy.md writes names each image anew and is the overlay `ha` in all else."""
    shutil.copytree(FOLDER, tmp_path / "deploy" / "kubernetes")
    folder = tmp_path / ".local" / "ha"
    folder.mkdir(parents=True)
    (text,) = re.findall(r"<<END\n.*?^END$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    given = {"REGISTRY": "r.example/a", "VERSION": "7", "NACOS_IMAGE": "r.example:5000/n:8"}
    overlay = subprocess.check_output(
        ["bash", "-uc", f"cat {text}\n"], env={**given, "CPU": "50m"}, text=True
    )
    (folder / "kustomization.yaml").write_text(overlay)
    made = read(run("kustomize", "build", folder).stdout)
    ha = read(run("kustomize", "build", FOLDER / "overlays" / "ha").stdout)
    images = {each["image"] for each in containers(made)}
    services = {f"r.example/a/{each.package}:7" for each in found()}

    assert images == {*services, "r.example/a/gateway:7", "r.example:5000/n:8"}
    for before, after in zip(containers(ha), containers(made), strict=True):
        assert set(before) == set(after)
        assert before["env"] == after["env"]
    assert [(each["kind"], each["metadata"]["name"]) for each in made] == [
        (each["kind"], each["metadata"]["name"]) for each in ha
    ]


@PRESET
def test_python_reads_the_chart_as_helm_does(run: Run, preset: str, tmp_path: Path) -> None:
    """What the manifests are written with makes Helm's objects, with a user's values, too."""
    values = values_of(preset)
    models = {"b-1": {"package": "b_1", "port": 1}}
    own = {"drainSeconds": 40, "models": {**dict.fromkeys(values["models"]), **models}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    given = (*values_files(preset), "--values", tmp_path / "own.yaml")
    done = run("helm", "template", *CLUSTER, CHART, *given)

    assert read(done.stdout) == objects_of({**values, **own, "models": models}), done.stderr


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("drainSeconds=2", "drainSeconds"),
        ("drainSeconds=2.5", "drainSeconds"),
        ("nacos.servers=nacos", "servers"),
        ("nacos.enabled=false", "network"),
        ("nacos.replicas=2", "replicas"),
        ("gateway.replica=2", "replica"),
        ("models.iris_2.port=1", "iris_2"),
    ],
)
def test_bad_values_are_refused_by_name(run: Run, setting: str, reason: str) -> None:
    """A value that cannot be is refused before anything reaches a cluster, with its name."""
    done = run("helm", "template", *CLUSTER, CHART, "--set", setting)

    assert done.returncode != 0
    assert reason in done.stderr
