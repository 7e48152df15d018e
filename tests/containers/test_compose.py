"""`docker compose up` gives the same system as the local stack, in small and tight containers."""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.credentials import read_or_make
from stack.docker import COMPOSE, DockerStack
from stack.plan import Plan
from stack.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

POINTS = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
MEGABYTE = 1_000_000
IMAGES = tomllib.loads((ROOT / "deploy" / "images.toml").read_text())
SERVICES = sorted(IMAGES["megabytes"])


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def run(image: str, script: str, *options: str) -> str:
    """Run a script by the Python of an image, in a container as tight as the stack's."""
    tight = ("--rm", "--read-only", "--network", "none", "--tmpfs", "/tmp")  # noqa: S108
    return docker("run", *tight, image, "python", *options, "-c", script)


def is_ours(distribution: str) -> bool:
    return distribution.startswith("modelserve-") or distribution == "car-evaluation-model"


def call(plan: Plan, path: str, body: Any) -> httpx.Response:
    url = f"http://127.0.0.1:{plan.gateway.port}{path}"
    return httpx.post(url, json=body, timeout=30, trust_env=False)


def cluster(plan: Plan) -> Any:
    answer = call(plan, "/skl-kmeans/api/skl-kmeans", {"points": POINTS})
    return answer.json().get("results")


@pytest.fixture(scope="module")
def containers(docker_stack: DockerStack) -> dict[str, Any]:
    """The engine's description of each running container, by `service-number`."""
    prefix = f"modelserve-{docker_stack.plan.offset}"
    ids = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={prefix}")
    shown = json.loads(docker("inspect", *ids.split()))
    return {each["Name"].removeprefix(f"/{prefix}-"): each for each in shown}


def test_both_models_answer_through_the_gateway(docker_stack: DockerStack) -> None:
    """The documented calls give the documented answers."""
    car = call(docker_stack.plan, "/car-evaluation/api/v1/predict", {"inputs": [CAR]}).json()

    assert cluster(docker_stack.plan) == [1, 1, 1, 1, 2, 0, 0, 0, 0]
    assert (car["predictions"], car["labels"]) == ([1], ["acc"])


def test_a_document_published_in_the_console_changes_the_answer(docker_stack: DockerStack) -> None:
    """`clusters: 4` through the published console gives four clusters, with no restart."""
    url = f"http://127.0.0.1:{docker_stack.plan.console_port}"
    document = {"dataId": "skl-kmeans", "groupName": "DEFAULT_GROUP", "namespaceId": "public"}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as console:
        login = {"username": "nacos", "password": read_or_make().nacos.password}
        token = console.post("/v3/auth/user/login", data=login).json()["accessToken"]
        console.headers["accessToken"] = token
        content = {"content": "clusters: 4", "type": "yaml"}
        console.post("/v3/console/cs/config", data={**document, **content}).raise_for_status()
        wait_until(
            lambda: cluster(docker_stack.plan) == [0, 0, 2, 2, 3, 1, 1, 1, 1],
            seconds=30,
            what="four clusters",
        )
        console.delete("/v3/console/cs/config", params=document).raise_for_status()
        wait_until(
            lambda: cluster(docker_stack.plan) == [1, 1, 1, 1, 2, 0, 0, 0, 0],
            seconds=30,
            what="three clusters again",
        )


def test_a_second_start_changes_nothing(docker_stack: DockerStack) -> None:
    """`make up-docker` while all runs: the same containers, and a success."""
    before = docker("ps", "--quiet", "--no-trunc")
    again = subprocess.run(
        ["make", "--silent", "up-docker"],
        cwd=ROOT,
        env={**os.environ, "STACK_OFFSET": str(docker_stack.plan.offset)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert again.returncode == 0, again.stdout + again.stderr
    assert docker("ps", "--quiet", "--no-trunc") == before


def test_a_killed_container_costs_no_call(
    docker_stack: DockerStack, containers: dict[str, Any]
) -> None:
    """One container of each model killed: every call is answered 200."""
    statuses: set[int] = set()
    for name in ("kmeans-1", "classifier-2"):
        docker("kill", "--signal", "KILL", containers[name]["Id"])
        for _ in range(50):
            body = {"points": POINTS}
            statuses.add(call(docker_stack.plan, "/skl-kmeans/api/skl-kmeans", body).status_code)
            body = {"inputs": [CAR]}
            statuses.add(
                call(docker_stack.plan, "/car-evaluation/api/v1/predict", body).status_code
            )
    for name in ("kmeans-1", "classifier-2"):
        docker("start", containers[name]["Id"])

    assert statuses == {200}


def test_containers_are_tight(docker_stack: DockerStack, containers: dict[str, Any]) -> None:
    """Nobody is root, may gain a right, or write to his file system; memory is bounded."""
    assert len(containers) == len(docker_stack.plan.parts) + 1
    for name, container in containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert 0 < host["Memory"] <= 1300 * MEGABYTE, name
        if not name.startswith("nacos"):
            assert container["Config"]["User"] == "10001:10001"


def test_only_the_gateway_and_the_console_are_published(
    docker_stack: DockerStack, containers: dict[str, Any]
) -> None:
    """Of all ports, the host has the gateway's two and the console's; two on loopback only."""
    published = {
        (name, port.removesuffix("/tcp"), binding["HostIp"] == "127.0.0.1")
        for name, container in containers.items()
        for port, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or ()
        if ":" not in binding["HostIp"]
    }

    assert published == {
        ("gateway-1", str(docker_stack.plan.gateway.port), False),
        ("gateway-1", "8010", True),
        ("nacos-1", "8080", True),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_each_distribution_for_a_stated_reason(
    docker_stack: DockerStack, service: str
) -> None:
    """Its distributions are those of deploy/images.toml: not one more, not one less."""
    script = (
        "from importlib.metadata import distributions; print(*(d.name for d in distributions()))"
    )
    installed = run(docker_stack.images()[service], script).lower().replace("_", "-").split()

    assert sorted(installed) == sorted(IMAGES["every-image"] | IMAGES[service])


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_adds_a_bounded_size_to_its_base(docker_stack: DockerStack, service: str) -> None:
    """Its megabytes above the base are at most those of deploy/images.toml."""
    images = docker_stack.images()
    sizes = [
        int(docker("image", "inspect", "-f", "{{.Size}}", image))
        for image in (images[service], images["nacos-password"])
    ]

    assert sizes[0] - sizes[1] <= IMAGES["megabytes"][service] * MEGABYTE


@pytest.mark.parametrize("service", SERVICES)
def test_what_an_image_leaves_out_is_not_missed(docker_stack: DockerStack, service: str) -> None:
    """Every module of ours imports there without a warning, and all that these import.

    The image lacks the libraries' tests, sources and debug information (deploy/image-install.sh).
    """
    ours = [name for name in IMAGES["every-image"] | IMAGES[service] if is_ours(name)]
    script = f"""
import importlib, pkgutil
from importlib.metadata import packages_distributions
ours = [package for package, found in packages_distributions().items() if {{*found}} & {set(ours)}]
for package in ours:
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, package + "."):
        try:
            importlib.import_module(module.name)
            print(module.name)
        except ModuleNotFoundError as error:
            if error.name != "sklearn":  # the model's training, which is an extra of its package
                raise
"""
    imported = run(docker_stack.images()[service], script, "-W", "error").split()

    assert {f"{service}.__main__", "nacos_client.transport", "service_kit.runner"} <= {*imported}


def test_no_secret_is_in_an_image(docker_stack: DockerStack) -> None:
    """Neither the history nor the settings of an image hold a secret of the checkout."""
    kept = read_or_make()
    for image in set(docker_stack.images().values()):
        told = docker("image", "inspect", image) + docker("history", "--no-trunc", image)
        assert kept.nacos.password not in told
        assert kept.nacos.token_key not in told
        assert kept.admin_token not in told


def form_of(image: str) -> str:
    return docker(
        *("run", "--rm", image, "python", "-c"),
        "from gateway.control.form import form; import shutil; print(form(), shutil.which('gcc'))",
    ).strip()


def test_the_gateways_image_is_compiled(docker_stack: DockerStack) -> None:
    """The gateway runs its compiled form, without a compiler in its image, and says so.

    A bad setting is still named by it.
    """
    image = docker_stack.images()["gateway"]
    url = f"http://127.0.0.1:{docker_stack.plan.gateway.admin_port}/actuator/info"
    started = subprocess.run(
        ["docker", "run", "--rm", "--env", "PORT=0", image],
        check=False,
        capture_output=True,
        text=True,
    )

    assert form_of(image) == "compiled None"
    assert httpx.get(url, trust_env=False).json()["build"]["form"] == "compiled"
    assert (started.returncode, "PORT" in started.stderr) == (2, True)


@pytest.mark.slow
def test_the_gateways_image_can_be_interpreted(tmp_path: Path) -> None:
    """GATEWAY_COMPILED=0: the image has the sources alone."""
    image = "modelserve/gateway-interpreted"
    renamed = tmp_path / "renamed.yml"
    renamed.write_text(f"services: {{gateway: {{image: {image}}}}}\n")
    subprocess.run(
        [*COMPOSE, "-f", renamed, "build", "gateway"],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_COMPILED": "0"},
        check=True,
    )

    assert form_of(image) == "interpreted None"
