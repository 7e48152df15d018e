"""Every make target that a document names is run by a stage of `.ci/run` or by a test."""

import re
import subprocess

import pytest
from stack import ROOT

STAGES = set(re.findall(r"^stage .* make ([a-z-]+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
TESTS = {
    "up": "tests/containers/conftest.py",
    "up-docker": "tests/containers/test_compose.py",
    "up-local": "tests/integration/test_command.py",
    "images": "tests/containers/test_swarm.py",
    "swarm-stack": "tests/containers/test_swarm.py",
    "status": "tests/integration/test_command.py",
    "logs": "tests/integration/test_command.py",
    "down": "tests/integration/test_command.py",
    "new-service": "tests/integration/test_new_service.py",
    "check-service": "tests/integration/test_new_service.py",
    "remove-service": "tests/integration/test_new_service.py",
    "help": "tests/docs/test_readme.py",
    "postman": "tests/interop/test_postman.py",
    "bench-picture": "tests/docs/test_readme.py",
    "bench-scale-short": "tests/docs/test_scale.py",
    "index": "tests/docs/test_model.py",
    "release-model": "tests/docs/test_model.py",
    "release-gateway": "tests/integration/test_gateway_wheels.py",
    "kubernetes-manifests": "tests/kubernetes/test_written.py",
    "kubernetes-secrets": "tests/kubernetes/test_secrets.py",
    "observe-files": "deploy/tests/test_observe.py",
    "prometheus": "conftest.py",
    "environment-page": "tests/docs/test_environment.py",
    "release": "tests/integration/test_release.py",
    "version": "tests/integration/test_release.py",
    "lock": "tests/architecture/test_lock.py",
    "trace-gateway": "tests/architecture/test_trace.py",
    "console-pictures": "services/gateway/tests/test_console_browser.py",
}
PARTS = {
    "train-model": "release-model",
    "gateway-compiled": "test-gateway-compiled",
    "gateway-wheels": "release-gateway",
    "release-check": "release",
    "wheels": "release",
    "test-contract": "test-nacos",
}


def named() -> set[str]:
    """Make targets in the documents, except those of the benchmarks' README, which need peers."""
    listed = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).split()
    texts = [(ROOT / each).read_text() for each in listed if not each.startswith("benchmarks/")]
    return {
        target
        for text in texts
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("target", sorted(named()))
def test_a_named_target_is_run(target: str) -> None:
    """Whoever types a command of the documents types what was run before."""
    whole = PARTS.get(target, target)
    if whole in TESTS:
        assert re.search(rf'"{whole}"|`make {whole}`', (ROOT / TESTS[whole]).read_text())
    else:
        assert whole in STAGES
