"""docs/life-of-a-model.md tells the truth: its commands release, try, promote and roll back."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from car_evaluation_model import load
from stack import ROOT
from stack.access import NacosAccess
from stack.ports import free_port
from stack.process import clean_environment
from stack.waiting import wait_until

from tests.docs.shell import Shell

PAGE = (ROOT / "docs" / "life-of-a-model.md").read_text()
CHANGE, RELEASE, START, SHARE, COMPARE, PROMOTE, TAKE_BACK = re.findall(
    r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
CALLS = 300
ROWS = 5
"""Cars of a call: the canary tells drift from 500 rows on."""
OLD, NEW = "1.0.0", "1.2.0"


@pytest.fixture
def shell(checkout: Path, nacos: NacosAccess, tmp_path: Path) -> Iterator[Shell]:
    """A shell in the checkout; all that is started in it ends with the test."""
    one = Shell(
        checkout,
        {
            **clean_environment(),
            **nacos.environment,
            "PYTHONPATH": str(checkout / "libs" / "model_pkg" / "src"),
            "HOST": "127.0.0.1",
            "ADVERTISE_IP": "127.0.0.1",
            "DRAIN_SECONDS": "0.5",
            "INDEX_PORT": str(free_port()),
            "INDEX_FOLDER": str(tmp_path / "index"),
            "CANARY_PORT": str(free_port()),
        },
    )
    yield one
    one.end()


def versions(gateway: str, calls: int = CALLS) -> Counter[str]:
    """Return how many calls by name each version has answered; none may fail."""
    found: Counter[str] = Counter()
    model = load()
    with httpx.Client(base_url=gateway, trust_env=False, timeout=10) as client:
        for number in range(calls):
            cars = [
                {
                    field.name: field.values[(number + row) // (place + 1) % len(field.values)]
                    for place, field in enumerate(model.features)
                }
                for row in range(ROWS)
            ]
            answer = client.post("/car-evaluation/api/v1/predict", json={"inputs": cars})
            assert answer.status_code == httpx.codes.OK, answer.text
            found[answer.json()["version"]] += 1
    return found


def held(folder: Path) -> dict[str, str]:
    """The digests of all files below a folder."""
    return {
        str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.nacos
@pytest.mark.timeout(600)
def test_a_model_is_released_tried_promoted_and_taken_back(
    shell: Shell, checkout: Path, service: Callable[..., Any], nacos: NacosAccess, tmp_path: Path
) -> None:
    """As a data team does it, while calls by name go on: none fails.

    The index has the older versions, whose bytes stay. The canary meets nobody, then a tenth, then
    everybody, then a tenth again.
    """
    models = checkout / "libs" / "model_pkg" / "src" / "car_evaluation_model" / "models"
    old = [
        service("classifier", nacos, env={"NACOS_CANARY": "false"}, ready=False) for _ in range(2)
    ]
    gateway = service("gateway", nacos, ready=False)
    subprocess.run(
        [sys.executable, ROOT / "libs/model_pkg/release.py", "--output", tmp_path / "index"],
        check=True,
        timeout=60,
    )
    before = held(models), held(tmp_path / "index")
    assert len(before[1]) == 2

    shell.run(CHANGE)
    said = shell.run(RELEASE)

    assert f"published car_evaluation_model-{NEW}-py3-none-any.whl" in said
    after = held(models), held(tmp_path / "index")
    assert all(was.items() < now.items() for was, now in zip(before, after, strict=True))
    assert {name.partition("/")[0] for name in after[0].keys() - before[0].keys()} == {NEW}

    for one in (*old, gateway):
        one.wait_ready()
    shell.run(f"export GATEWAY={gateway.url} GATEWAY_ADMIN={gateway.admin_url}")
    shell.run(START)
    wait_until(
        lambda: sorted(each["weight"] for each in nacos.instances("car-evaluation")) == [0, 1, 1],
        seconds=20,
        what="Nacos shows the canary without a weight beside the others",
    )
    assert versions(gateway.url) == {OLD: CALLS}

    shell.run(SHARE)
    found = versions(gateway.url)
    assert found.keys() == {OLD, NEW}
    assert 8 <= found[NEW] <= 60, "a tenth of 300, give or take five deviations"

    said = shell.run(COMPARE)
    assert re.search(r'gateway_shadow_total{.*result="agreed".*} [1-9]', said), said
    assert "model_psi" in said

    said = shell.run(PROMOTE)
    assert said.count("canary 1.0.0") == 2, said
    assert "serves 1.2.0" in said
    wait_until(
        lambda: versions(gateway.url, 10) == {NEW: 10},
        seconds=10,
        what="the gateway sends everything to the promoted version",
    )

    said = shell.run(TAKE_BACK)
    assert said.count("serves 1.0.0") == 2, said
    wait_until(
        lambda: versions(gateway.url, 50)[OLD] > 25,
        seconds=10,
        what="the gateway sends most to the version before",
    )
