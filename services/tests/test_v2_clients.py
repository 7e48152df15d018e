"""The Open Inference Protocol as two public clients understand it, in an environment of theirs."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stack import ROOT

CLIENT = ROOT / "libs/service_conformance/src/service_conformance/tests/v2_clients/client.py"
CAR = {"buying": "med", "maint": "high", "doors": "4", "persons": "more", "lug_boot": "big"}
POINTS = [1, 2, 2, 3, 3, 5, 4, 6, 8, 8, 10, 11, 12, 12, 12, 15, 10, 12]


def ask(python: Path, url: str, model: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    command = [python, CLIENT, url, model, json.dumps(inputs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(400)
def test_both_clients_speak_to_the_classifier(v2_python, classifier):
    """Tritonclient and kserve get class, label and probabilities, and a clear error."""
    car = CAR | {"safety": "high"}
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [2], "data": [value, value]}
        for name, value in car.items()
    ]

    found = ask(v2_python, classifier.url, "car-evaluation", inputs)

    for client in ("triton", "kserve"):
        outputs = found[client]["outputs"]
        assert outputs["predictions"] == [1, 1]
        assert outputs["labels"] == ["acc", "acc"]
        assert outputs["probabilities"][0][1] > 0.9
        assert (
            found[client]["live"] is found[client]["ready"] is found[client]["model_ready"] is True
        )
    triton = found["triton"]
    assert triton["version"] == ["1.0.0"]
    assert triton["id"] == "t-1"
    assert triton["other_ready"] is False
    status, message = triton["refused"]
    assert status == "422"
    assert "safety" in message


@pytest.mark.timeout(400)
def test_both_clients_speak_to_the_clusterer(v2_python, kmeans):
    """Tritonclient and kserve get the published clusters of the example points."""
    inputs = [{"name": "points", "datatype": "FP64", "shape": [9, 2], "data": POINTS}]

    found = ask(v2_python, kmeans.url, "skl-kmeans", inputs)

    for client in ("triton", "kserve"):
        assert found[client]["outputs"]["labels"] == [1, 1, 1, 1, 2, 0, 0, 0, 0]
        assert found[client]["outputs"]["inertia"] == [28.0]
    assert found["triton"]["refused"][0] == "422"
