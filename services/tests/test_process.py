"""What only a process can show: its exit codes, its health check, the version it serves."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import car_evaluation_model
import httpx
import pytest
from classifier.schemas import EXAMPLE

SERVICES = Path(__file__).parents[1]

ONE_CLUSTER = """
import numpy

class KMeans:
    def __init__(self, clusters, **_):
        self.cluster_centers_, self.inertia_ = numpy.zeros((clusters, 2)), 0.0

    def fit_predict(self, points):
        return numpy.zeros(len(points), numpy.int32)
"""
"""A library that puts every point into one cluster."""


def start(
    package: str, environment: dict[str, str], path: Path
) -> subprocess.CompletedProcess[str]:
    """Run a service that is expected to end by itself."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "PORT": "18765",
        "NACOS_SERVER_ADDR": "127.0.0.1:9",
        **environment,
    }
    command = [sys.executable, "-m", package]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)


def test_tampered_model_is_refused(tmp_path):
    """One changed byte of the model: exit code 4, and a line that says what and where."""
    original = Path(car_evaluation_model.__file__).parent
    copy = tmp_path / "car_evaluation_model"
    shutil.copytree(original, copy)
    model = copy / "models" / "1.0.0" / "model.json"
    model.write_bytes(model.read_bytes().replace(b"1", b"2", 1))

    done = start("classifier", {"PYTHONPATH": str(tmp_path)}, tmp_path)

    assert done.returncode == 4, done.stderr
    (event,) = (json.loads(line) for line in done.stdout.splitlines())
    assert event["event"] == "unusable_model"
    assert "artefact of model 1.0.0" in event["reason"]
    assert str(copy) in event["reason"]


def test_another_scikit_learn_is_refused(tmp_path):
    """One that did not train the model: exit code 4, and a line that says which and where."""
    other = tmp_path / "scikit_learn-1.4.2.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.4.2\n")

    done = start("classifier", {"PYTHONPATH": str(tmp_path)}, tmp_path)

    assert done.returncode == 4, done.stderr
    (event,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (event["event"], event["kind"]) == ("unusable_model", "WrongLibraryError")
    assert f"scikit-learn in {tmp_path}" in event["reason"]
    assert "is 1.4.2, model 1.0.0 was trained with" in event["reason"]


def test_missing_version_is_refused(tmp_path):
    """A model version that the package does not carry: exit code 4, and its name."""
    done = start("classifier", {"MODEL_VERSION": "9.9.9"}, tmp_path)

    assert done.returncode == 4
    assert "9.9.9" in done.stdout


def test_libraries_that_cluster_differently_are_refused(tmp_path):
    """A scikit-learn that does not give the published clusters: exit code 4, and which differ."""
    other = tmp_path / "sklearn"
    other.mkdir()
    (other / "__init__.py").write_text("def set_config(**_): pass\n")
    (other / "cluster.py").write_text(ONE_CLUSTER)

    done = start("kmeans", {"PYTHONPATH": str(tmp_path)}, tmp_path)

    assert done.returncode == 4, done.stderr
    (event,) = (json.loads(line) for line in done.stdout.splitlines())
    assert event["event"] == "self_check_failed"
    found, published = [0] * 9, [1, 1, 1, 1, 2, 0, 0, 0, 0]
    assert event["reason"] == f"3 clusters of the example: {found}, not {published}"


@pytest.mark.parametrize("package", ["classifier", "kmeans", "gateway"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            {"ADVERTISE_IP": "localhost", "NACOS_CLUSTER": "a b", "NACOS_GROUP": "a b"},
            ["nor an interface"],
        ),
        ({"HOST": "127.0.0.1", "ADVERTISE_IP": "192.0.2.7"}, ["is not where", "listens"]),
        ({"NACOS_TLS_CA": "/nowhere/ca.pem"}, ["cannot be used", "No such file"]),
        ({"NACOS_LABELS": "app=iris,zone"}, ["'zone' is not key=value"]),
        ({"NACOS_CIPHER_KEY_FILE": "/nowhere/key"}, ["cannot be read", "No such file"]),
    ],
    ids=["no names", "contradiction", "absent file", "no label", "absent key"],
)
def test_what_nobody_could_call_or_register_ends_the_start(package, bad, words, tmp_path):
    """Before anything listens or is logged: exit code 2, one line of variables and reasons."""
    done = start(package, bad, tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    named = [name for name in bad if name != "NACOS_TLS_CA"]
    assert all(word in line for word in (*named, *bad.values(), *words)), line


def test_all_addresses_are_those_of_ipv4_too(tmp_path, running):
    """`HOST=::` answers by IPv6 and by IPv4."""
    with running("kmeans", tmp_path / "log", {"HOST": "::"}) as dual:
        port = dual.url.rpartition(":")[2]
        found = [httpx.get(f"http://{ip}:{port}/livez") for ip in ("127.0.0.1", "[::1]")]

    assert [answer.json() for answer in found] == [{"status": "alive"}] * 2


def test_the_address_that_is_told_follows_host(tmp_path, running):
    """With HOST of this host alone, `/readyz` warns that others cannot reach what is announced."""
    with running("kmeans", tmp_path / "log", {"NACOS_SERVER_ADDR": "192.0.2.1:9"}) as one:
        deadline = time.monotonic() + 30
        while (state := announcement(one))["warning"] is None:
            assert time.monotonic() < deadline, state
            time.sleep(0.05)  # noqa: TID251 - the test's own thread, which polls

    assert "127.0.0.1 is a loopback address" in state["warning"]
    warned = [json.loads(line) for line in one.text.splitlines() if "loopback" in line]
    assert [line["level"] for line in warned] == ["warning"]


def announcement(one: Any) -> dict[str, Any]:
    """Return what a service says about its announcement."""
    return httpx.get(one.url + "/readyz", timeout=10).json()["checks"]["announcement skl-kmeans"]


@pytest.mark.parametrize("package", ["classifier", "kmeans"])
def test_the_image_asks_the_port_that_is_set(service, package):
    """An image's health check asks where PORT has the service listen, and nowhere else."""
    root = SERVICES.parent
    dockerfile = (root / "deploy" / "Dockerfile").read_text()
    (command,) = re.findall(r"^HEALTHCHECK .*\n +CMD (\[.*\])$", dockerfile, re.MULTILINE)
    copied = r"^COPY (deploy/health\S+)(?: \S+)* (\S+/)$"
    ((source, folder),) = re.findall(copied, dockerfile, re.MULTILINE)
    assert json.loads(command) == ["python", folder + Path(source).name]
    assert f"!{source}\n" in (root / ".dockerignore").read_text(), "it is sent to the build"

    def health(port: str) -> int:
        env = {"PATH": os.environ["PATH"], "PORT": port}
        asked = [sys.executable, root / source]
        return subprocess.run(asked, env=env, capture_output=True, check=False).returncode

    assert health(service(package).url.rpartition(":")[2]) == 0
    assert health("9") == 1


def test_both_versions_can_be_served(tmp_path, running):
    """Another process serves the package's other model, and says so."""
    with running("classifier", tmp_path / "log", {"MODEL_VERSION": "1.1.0"}) as other:
        answer = httpx.post(other.url + "/api/v1/predict", json={"inputs": [EXAMPLE]}, timeout=30)

    assert answer.json()["version"] == "1.1.0"
    assert answer.json()["labels"] == ["acc"]
