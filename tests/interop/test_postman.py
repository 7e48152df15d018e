"""`make postman`: a Postman collection of each service, made from its OpenAPI, run by newman."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.services import found
from stack.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.nacos, pytest.mark.timeout(240)]
NEWMAN = ROOT / "deploy" / "postman" / "node_modules" / ".bin" / "newman"


def requests(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every request of a collection, out of all its folders."""
    if "request" in part:
        return [part["request"]]
    return [request for each in part["item"] for request in requests(each)]


def operations(url: str) -> int:
    """Return how many operations a service describes, but for feedback on an earlier answer."""
    for path in ("/openapi.json", "/api/v1/openapi.json"):
        answer = httpx.get(url + path, trust_env=False)
        if answer.is_success:
            described = [each for path in answer.json()["paths"].values() for each in path.values()]
            return sum("feedback" not in each["tags"] for each in described)
    raise AssertionError(answer.text)


def newman(collection: Path) -> subprocess.CompletedProcess[str]:
    """Run a collection."""
    return subprocess.run(
        [NEWMAN, "run", collection], capture_output=True, text=True, timeout=120, check=False
    )


def test_every_request_of_the_collections_is_answered(
    service: Callable[..., Any], nacos: NacosAccess, tmp_path: Path
) -> None:
    """Through the gateway, with the examples of the documentation, each answer is 2xx.

    A collection has a request for each operation. One whose body is no question fails, and so
    does newman.
    """
    models = [service(each.package, nacos) for each in found()]
    gateway = service("gateway", nacos)
    for each in found():
        address = f"{gateway.url}/{each.name}/livez"
        wait_until(
            lambda address=address: httpx.get(address, trust_env=False).is_success,
            seconds=20,
            what=f"the gateway knows {each.name}",
        )
    made = subprocess.run(
        ["make", "--silent", "postman", f"GATEWAY={gateway.url}", f"COLLECTIONS={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 0, made.stdout[-6000:] + made.stderr[-2000:]
    for model, each in zip(models, found(), strict=True):
        collection = json.loads((tmp_path / f"{each.name}.json").read_text())
        asked = requests(collection)
        assert len(asked) == operations(model.url)
        questions = [request for request in asked if request["method"] == "POST"]
        assert len(questions) > 2
        for question in questions:
            question["body"]["raw"] = "{}"
        broken = tmp_path / f"{each.name}-broken.json"
        broken.write_text(json.dumps(collection))
        done = newman(broken)
        assert done.returncode == 1
        assert done.stdout.count("AssertionError") >= len(questions)
