"""A model that is declared in a page of code, in a real Nacos."""

from hashlib import md5
from pathlib import Path

import httpx
import pytest
from stack.waiting import wait_until

pytestmark = pytest.mark.nacos
EXAMPLE = Path(__file__).parents[2] / "libs" / "model_service" / "tests"
UNSURE = {"sepal_length": 6.0, "sepal_width": 2.7, "petal_length": 5.1, "petal_width": 1.6}
SECONDS = 30


def test_the_example_lives_in_a_real_nacos(nacos_server, service):
    """The example is registered, follows its document in answer and metadata, and withdraws."""
    nacos = nacos_server.new_namespace("declared")

    def entry() -> dict[str, str] | None:
        found = nacos.instances("iris")
        return found[0]["metadata"] if found else None

    def shows(config: str) -> bool:
        return (entry() or {}).get("config") == config

    iris = service("iris", nacos, env={"PYTHONPATH": str(EXAMPLE)})
    wait_until(lambda: shows("default"), seconds=SECONDS, what="iris is in Nacos")

    document = "threshold: 1.0\n"
    version = md5(document.encode(), usedforsecurity=False).hexdigest()
    nacos.publish("iris", document)
    wait_until(lambda: shows(version), seconds=SECONDS, what="its entry tells the document")
    answer = httpx.post(iris.url + "/api/v1/predict", json={"inputs": [UNSURE]}, timeout=30).json()
    told = entry()

    iris.terminate()
    wait_until(lambda: not entry(), seconds=SECONDS, what="iris is withdrawn")

    assert (answer["labels"], answer["config_version"]) == (["unknown"], version)
    assert told is not None
    assert (told["version"], told["gateway.idempotent"]) == ("1.0.0", "POST /api/v1/predict")
