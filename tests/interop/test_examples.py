"""The examples in Java, built and run as their READMEs say, against real models in a real Nacos."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stack import ROOT
from stack.access import NacosAccess
from stack.process import clean_environment
from stack.waiting import wait_until

from tests.examples.readme import EXAMPLES, Example, commands, run, running

pytestmark = [pytest.mark.interop, pytest.mark.nacos, pytest.mark.timeout(300)]

NEWEST_SPRING = ROOT / "benchmarks" / "gateway" / "spring" / "target" / "spring-gateway.jar"
"""Spring Cloud Gateway of Spring Cloud 2025.1, as it is measured."""
NAMING = "DEFAULT_GROUP:naming/*"
"""What docs/you-have-nacos.md says that Spring has to be permitted."""


def java(home: Path) -> dict[str, str]:
    """Return the variables of a small Java process whose files are in a folder."""
    options = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    places = (f"-Duser.home={home}", f"-DJM.LOG.PATH={home}/logs")
    return {"JAVA_TOOL_OPTIONS": " ".join((*options, *places))}


def built(example: str) -> str:
    """Run the first command of a README, which builds; return the second, which starts."""
    build, start = commands(example)[0].splitlines()
    run(build, ROOT, clean_environment())
    return start


def labels(output: str) -> list[list[str]]:
    """Return the labels of the answers that a block of calls printed."""
    decoder, found = json.JSONDecoder(), []
    while output := output.strip():
        answer, end = decoder.raw_decode(output)
        found.append(answer["labels"])
        output = output[end:]
    return found


def test_a_spring_application_calls_by_name(
    service: Callable[..., Any], nacos: NacosAccess, tmp_path: Path
) -> None:
    """By RestClient and by OpenFeign the answer is the model's."""
    service("classifier", nacos)
    start, call = built("spring-client"), commands("spring-client")[1]
    with running(start, "spring-client", nacos, tmp_path, **java(tmp_path)) as client:
        assert labels(client.run(call)) == [["acc"], ["acc"]]


@pytest.fixture
def finder(nacos: NacosAccess, tmp_path: Path) -> Iterator[NacosAccess]:
    """A user who may find and announce services in the test's namespace, and nothing else."""
    name, password = f"user-{os.urandom(4).hex()}", os.urandom(12).hex()
    role = {"username": name, "role": name}
    access = NacosAccess(nacos.server_addr, name, password, nacos.namespace)
    with nacos.operator() as operator:
        operator.request("POST", "user", username=name, password=password)
        operator.request("POST", "role", **role)
        operator.request(
            "POST", "permission", role=name, resource=f"{nacos.namespace}:{NAMING}", action="rw"
        )
    listing = [ROOT / ".venv" / "bin" / "nacos-call", "--list", "edge"]
    env = {**clean_environment(), **access.environment, "NACOS_CACHE_DIR": str(tmp_path / "cache")}
    wait_until(
        lambda: subprocess.run(listing, env=env, capture_output=True, check=False).returncode == 1,
        seconds=60,
        what="the permission holds: no instance is listed, and nothing is refused",
    )
    yield access
    with nacos.operator() as operator:
        operator.request("DELETE", "role", **role)
        operator.request("DELETE", "user", username=name)


def since_2025(folder: Path) -> str:
    """Write the example's YAML with the keys of Spring Cloud 2025; return the option to read it."""
    text = (EXAMPLES / "spring-gateway" / "src/main/resources/application.yml").read_text()
    settings = yaml.safe_load(text)
    gateway = settings["spring"]["cloud"].pop("gateway")
    settings["spring"]["cloud"]["gateway"] = {"server": {"webflux": gateway}}
    (folder / "application.yml").write_text(yaml.safe_dump(settings))
    return f"--spring.config.location=file:{folder}/application.yml"


@pytest.fixture(params=["2023.0", "2025.1"])
def edge(
    request: pytest.FixtureRequest, finder: NacosAccess, nacos: NacosAccess, tmp_path: Path
) -> Iterator[Example]:
    """Spring Cloud Gateway with the routes of the example, of two releases of Spring Cloud."""
    start = built("spring-gateway")
    if request.param == "2025.1":
        start = f"java -jar {NEWEST_SPRING} {since_2025(tmp_path)}"
    login = {**finder.environment, **java(tmp_path)}
    with running(start, "edge", nacos, tmp_path, **login) as example:
        yield example


def test_spring_cloud_gateway_leads_to_the_models(
    edge: Example,
    service: Callable[..., Any],
    nacos: NacosAccess,
    questions: Mapping[str, Any],
    answers: Mapping[str, Any],
) -> None:
    """By `lb://` directly and through our gateway, the documentation too.

    Spring's user in Nacos may do what the page says, and no more.
    """
    assert f"`rw` on `{NAMING}`" in (ROOT / "docs" / "you-have-nacos.md").read_text()
    service("classifier", nacos)
    service("kmeans", nacos)
    service("gateway", nacos)
    paths = {"car-evaluation": "/api/v1/predict", "skl-kmeans": "/api/skl-kmeans"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{edge.port}", trust_env=False, timeout=20
    ) as client:
        for prefix in ("", "/models"):
            for name, path in paths.items():
                target = f"{prefix}/{name}"
                wait_until(
                    lambda target=target: client.get(f"{target}/livez").is_success,
                    seconds=30,
                    what=f"Spring has found {target}",
                )
                answer = client.post(f"{target}{path}", json=questions[name]).json()

                assert answers[name].items() <= answer.items()
                assert client.get(f"{target}/docs").is_success
    assert labels(edge.run(commands("spring-gateway")[1])) == [["acc"], ["acc"]]


@pytest.mark.parametrize("edge", ["2023.0"], indirect=True)
def test_a_rolling_restart_behind_spring_loses_nothing(
    edge: Example,
    models: Callable[..., Any],
    nacos: NacosAccess,
    steady_calls: Callable[..., Any],
    questions: Mapping[str, Any],
) -> None:
    """With the example's YAML the default drain of 2 s is enough: no call of 20 a second fails."""
    running_models = models(DRAIN_SECONDS="2")
    url = f"http://127.0.0.1:{edge.port}"
    targets = [
        (f"{url}/car-evaluation/api/v1/predict", questions["car-evaluation"]),
        (f"{url}/skl-kmeans/api/skl-kmeans", questions["skl-kmeans"]),
    ]
    for name in running_models.instances:
        wait_until(
            lambda name=name: httpx.get(f"{url}/{name}/livez", trust_env=False).is_success,
            seconds=30,
            what=f"Spring has found {name}",
        )
    with steady_calls(targets, 0.05) as calls:
        for number in range(2):
            turn = [instances[number] for instances in running_models.instances.values()]
            for one in turn:
                one.terminate()
            for one in turn:
                assert one.process.wait(60), "ends by itself, after its drain"
                one.start()
            for one in turn:
                one.wait_ready()
            for name in running_models.instances:
                wait_until(
                    lambda name=name: len(nacos.instances(name)) == 2,
                    seconds=20,
                    what=f"both instances of {name} are back",
                )
            wait_until(
                lambda number=number: all(
                    running_models.answered(name)[number] for name in running_models.instances
                ),
                seconds=20,
                what="Spring calls the restarted instances",
            )

    assert calls.lost == []
    assert calls.answered > 100
