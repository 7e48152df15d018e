"""The console's part of models, of a real model service in a real Nacos."""

import re

import httpx
import pytest
from stack.waiting import wait_until

pytestmark = pytest.mark.nacos
SERVICE = "car-evaluation"
CAR = {
    "buying": "low", "maint": "low", "doors": "4", "persons": "4", "lug_boot": "big",
    "safety": "high",
}  # fmt: skip


def test_a_real_models_drift_answers_and_refusals_are_on_the_console(nacos, service):
    """Rows that are all alike drift much; the class that they have, and a refusal, have a share.

    The gateway has two workers, so that another process than theirs asks the instance.
    """
    service("classifier", nacos)
    gateway = service("gateway", nacos, env={"GATEWAY_WORKERS": "2"})
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as http:
        path = f"/{SERVICE}/api/v1/predict"
        for _ in range(3):
            assert http.post(path, json={"inputs": [CAR] * 200}).status_code == httpx.codes.OK
        refused = http.post(path, json={"inputs": [{**CAR, "safety": "none"}]})

    def page() -> str:
        return httpx.get(
            f"{gateway.admin_url}/", params={"service": SERVICE}, timeout=30, trust_env=False
        ).text

    wait_until(lambda: "Drift" in page(), seconds=90, what="the page tells of the model")
    text = re.sub(r"<[^>]+>", "|", page())

    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    kind = refused.json()["type"].rpartition(":")[2]
    assert re.search(r"\|safety\|+[1-9]\.\d\d\|+much", text), text
    assert re.search(r"\|vgood\|+100 %", text), text
    assert re.search(rf"\|{kind}\|+25 %", text), text
