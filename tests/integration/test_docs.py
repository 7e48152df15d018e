"""/docs of a service, opened through the gateway, which takes a prefix off."""

import pytest
from stack.local import LocalStack

pytestmark = [pytest.mark.nacos, pytest.mark.browser, pytest.mark.timeout(400)]


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
