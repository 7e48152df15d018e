"""The examples in Python, run as their READMEs say, in a real Nacos."""

import json
import re
from pathlib import Path

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.process import clean_environment
from stack.waiting import wait_until

from tests.examples.readme import EXAMPLES, Example, commands, run, running

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]
PATIENT = {"age": 48.0, "bmi": 30.5, "bp": 93.0}


def test_the_application_is_that_of_the_document() -> None:
    """docs/existing-app.md shows the example whole, so whoever copies either has both."""
    page = (ROOT / "docs" / "existing-app.md").read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    assert (EXAMPLES / "fastapi-app" / "app.py").read_text() == shown[1]


def test_an_application_joins(nacos: NacosAccess, tmp_path: Path) -> None:
    """It answers by its name, has the published greeting, and reaches itself by name."""
    start, calls = commands("fastapi-app")
    with running(start, "greeter", nacos, tmp_path) as example:
        first, *_ = example.run(calls).splitlines()
        wait_until(
            lambda: '{"mirrored":"good morning"}' in example.run(calls),
            seconds=20,
            what="the application has the published greeting",
        )

    assert first == '{"greeting":"hello"}'


def asked(example: Example) -> tuple[float, float, float]:
    """Return the progression of the README's patient, with its bounds."""
    answer = httpx.post(
        f"http://127.0.0.1:{example.port}/api/v1/predict",
        json={"inputs": [PATIENT]},
        timeout=30,
        trust_env=False,
    ).json()
    ((progression,), (low,), (high,)) = (answer[name] for name in ("progression", "low", "high"))
    return progression, low, high


def test_a_forest_is_a_service(nacos: NacosAccess, tmp_path: Path) -> None:
    """It answers by its name; a share of half the trees, once published, narrows the bounds."""
    start, calls = commands("scikit-learn")
    with running(start, "diabetes", nacos, tmp_path) as example:
        before = asked(example)
        said = json.loads(example.run(calls))
        wait_until(
            lambda: before[1] < asked(example)[1],
            seconds=20,
            what="the published share is in force",
        )
        after = asked(example)

    assert (said["progression"], said["low"]) == ([before[0]], [before[1]])
    assert before[1] < after[1] < after[0] == before[0] < after[2] < before[2]


def test_a_model_comes_as_onnx(checkout: Path, nacos: NacosAccess, tmp_path: Path) -> None:
    """The file that the script writes becomes a service, whose declaration the example shows.

    In a copy of the checkout, whose environment stays as it is: `make` installs nothing.
    """
    make, start, call = commands("onnx")
    (tmp_path / "ready").touch()
    copy = {
        **clean_environment(),
        "MAKEFLAGS": f"--silent UV=true READY={tmp_path / 'ready'}",
        "PYTHONPATH": f"{checkout / 'deploy' / 'src'}:{checkout / 'services' / 'wine' / 'src'}",
    }
    run(make, checkout, copy)
    written = (checkout / "services" / "wine" / "src" / "wine" / "model.py").read_text()
    path = {"PYTHONPATH": copy["PYTHONPATH"]}
    with running(start, "wine", nacos, tmp_path, folder=checkout, **path) as example:
        answer = json.loads(example.run(call))

    port = re.compile(r'(?<="1\.0\.0", )\d+')
    shown = (EXAMPLES / "onnx" / "model.py").read_text()
    assert port.sub("8002", written) == shown
    assert answer["label"] == [0]
    assert answer["probabilities"][0][0] > 0.5
