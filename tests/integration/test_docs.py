"""/docs of a service through the gateway, and the gateway's page of all APIs."""

from typing import Any

import httpx
import pytest
from selenium.webdriver.common.by import By
from stack.local import LocalStack
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.browser, pytest.mark.timeout(400)]

TOKEN = "correct-horse-battery"  # noqa: S105 - of this test alone
TRIED = {
    "car-evaluation": ("/api/v1/predict", "labels", ["acc"]),
    "skl-kmeans": ("/api/skl-kmeans", "results", [1, 1, 1, 1, 2, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("service", list(TRIED))
def test_docs_work_behind_the_prefix(local_stack: LocalStack, try_out, service):
    """Try it out answers, through the gateway, and the page asks no other host for anything."""
    path, key, expected = TRIED[service]
    gateway = f"127.0.0.1:{local_stack.plan.gateway.port}"

    tried = try_out(f"http://{gateway}/{service}/docs", path)

    assert tried.status == "200"
    assert tried.answer[key] == expected
    assert f"http://{gateway}/{service}{path}" in tried.requested
    assert tried.hosts == {gateway}
    assert tried.complaints == []


def test_all_models_are_tried_out_from_one_page(browser, try_out, service, nacos):
    """From the operator's page, which shows both models, each answers through the gateway.

    The data port's page, switched on, does the same for a reader without a token.
    """
    for package in ("classifier", "kmeans"):
        service(package, nacos)
    env = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_DOCS": "true"}
    gateway = service("gateway", nacos, env=env)
    for name in TRIED:
        wait_until(lambda at=f"{gateway.url}/{name}/readyz": _answers(at), seconds=60, what=name)
    browser.get(gateway.admin_url)
    browser.find_element(By.NAME, "token").send_keys(TOKEN)
    browser.find_element(By.CSS_SELECTOR, ".sign-in button").click()

    for page in (gateway.admin_url, gateway.url):
        for name, (path, key, expected) in TRIED.items():
            tried = try_out(f"{page}/docs?service={name}", path)
            told: Any = tried.answer

            assert tried.status == "200"
            assert told[key] == expected
            assert tried.hosts == {page.removeprefix("http://")}
            assert tried.complaints == []


def _answers(url: str) -> bool:
    return httpx.get(url, trust_env=False).is_success
