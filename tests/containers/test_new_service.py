"""A model service of one's own in containers: Compose and the one Dockerfile know it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from stack import ROOT
from stack.docker import DockerStack
from stack.waiting import wait_until

from tests.new_services import add_service

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture
def iris(docker_stack: DockerStack, checkout: Path) -> Iterator[None]:
    """A new service of a copy of the checkout, in the running stack: its image and a container."""
    shutil.copy2(ROOT / "deploy" / ".env", checkout / "deploy")
    add_service(checkout, "iris")
    project = {**os.environ, "COMPOSE_PROJECT_NAME": f"modelserve-{docker_stack.plan.offset}"}

    def compose(*words: str) -> None:
        file = checkout / "deploy" / "docker-compose.yml"
        subprocess.run(["docker", "compose", "-f", file, *words], env=project, check=True)

    try:
        compose("up", "--detach", "--build", "--wait", "--no-deps", "--scale=iris=1", "iris")
        yield
    finally:
        compose("rm", "--stop", "--force", "iris")
        subprocess.run(["docker", "image", "rm", "--force", "modelserve/iris"], check=True)


@pytest.mark.usefixtures("iris")
def test_a_new_service_answers_by_name_from_its_image(docker_stack: DockerStack) -> None:
    """With no file edited by hand it is built, started, in Nacos, and behind the gateway."""
    url = f"http://127.0.0.1:{docker_stack.plan.gateway.port}/iris/api/v1/predict"

    def call() -> httpx.Response:
        return httpx.post(url, json={"inputs": [SETOSA]}, timeout=30, trust_env=False)

    wait_until(lambda: call().is_success, seconds=60, what="the gateway knows the new service")

    assert call().json()["labels"] == ["setosa"]
