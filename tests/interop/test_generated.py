"""Clients that public generators make from a service's OpenAPI document, through the gateway.

A Java client sent `{}` for every body (openapi-generator 17361, 20747, 22345): it took a model that
refuses further members for a map.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import ROOT
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.nacos, pytest.mark.timeout(300)]

HERE = Path(__file__).parent / "generated"
TARGET = HERE / "java" / "target"
PYTHON = ROOT / ".venv" / "generators" / "bin"
EXAMPLES = ROOT / "libs" / "model_service" / "tests"
PREFIX = "urn:modelserve:problem:"


@dataclass(frozen=True)
class Kind:
    """A service and what its clients are to meet.

    Attributes:
        package: what `python -m` runs.
        name: its name in Nacos, and its model's in V2.
        description: path of its OpenAPI document.
        caller: the Java class, and the TypeScript program, that call it.
        operation: its main route.
        answer: a part of that route's answer to the Java class.
        classes: what it answers to the TypeScript program.
        refused: types of the problems that only this service's routes have.
    """

    package: str
    name: str
    description: str
    caller: str
    operation: str
    answer: Mapping[str, Any]
    classes: list[int]
    refused: frozenset[str]


KINDS = (
    Kind(
        "classifier",
        "car-evaluation",
        "/api/v1/openapi.json",
        "CarEvaluation",
        "predict",
        {"predictions": [1, 1], "labels": ["acc", "acc"]},
        [1],
        frozenset({"invalid-rows", "too-many-rows"}),
    ),
    Kind(
        "kmeans",
        "skl-kmeans",
        "/openapi.json",
        "Clusterer",
        "cluster",
        {"results": [0, 0, 1, 2], "sizes": [2, 1, 1]},
        [0, 0, 1, 2],
        frozenset({"invalid-points", "too-few-points"}),
    ),
    Kind(
        "iris",
        "iris",
        "/openapi.json",
        "Iris",
        "predict",
        {"predictions": [0], "labels": ["setosa"]},
        [0],
        frozenset({"invalid-rows"}),
    ),
)
SHARED = frozenset({"no-model", "invalid-tensor", "deadline", "bad-deadline"})


@dataclass(frozen=True)
class Served:
    """A service behind a gateway, and the document that it gives.

    The gateway sets deadlines of its own, so bad deadlines are for the service itself (`direct`).
    """

    kind: Kind
    url: str
    direct: str
    document: Mapping[str, Any]
    file: Path

    @property
    def operations(self) -> set[str]:
        """The id of each operation that can be asked first: feedback follows an answer."""
        paths = self.document["paths"].values()
        return {
            each["operationId"]
            for operations in paths
            for each in operations.values()
            if "feedback" not in each["tags"]
        }


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def served(
    request: pytest.FixtureRequest,
    service: Callable[..., Any],
    nacos: NacosAccess,
    tmp_path: Path,
) -> Served:
    """Start each service and a gateway, and read the service's document through the gateway."""
    kind: Kind = request.param
    direct = service(kind.package, nacos, env={"PYTHONPATH": str(EXAMPLES)}).url
    gateway = service("gateway", nacos)
    url = f"{gateway.url}/{kind.name}"
    wait_until(
        lambda: httpx.get(f"{url}/livez", trust_env=False).is_success,
        seconds=30,
        what=f"the gateway knows {kind.name}",
    )
    document = httpx.get(url + kind.description, trust_env=False).json()
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    return Served(kind, url, direct, document, file)


def run(*command: str | Path, cwd: Path) -> str:
    """Return the output of a command that must end well."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def of_java(served: Served, folder: Path) -> dict[str, Any]:
    """Generate the Java client, compile it with the caller, and return what the caller met."""
    packages = "invokerPackage=client,apiPackage=client.api,modelPackage=client.model"
    java = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    generate = ("generate", "-g", "java", "--library", "native", "-i", served.file, "-o", "client")
    generator = TARGET / "openapi-generator-cli.jar"
    run(*java, "-jar", generator, *generate, f"--additional-properties={packages}", cwd=folder)
    sources = [*(folder / "client/src/main").rglob("*.java"), HERE / "java/Calls.java"]
    sources.append(HERE / "java" / f"{served.kind.caller}.java")
    libraries = f"{TARGET}/lib/*"
    run("javac", "-nowarn", "-d", "classes", "-cp", libraries, *sources, cwd=folder)
    model = httpx.get(f"{served.url}/v2/models/{served.kind.name}", trust_env=False).json()
    where = (served.url, model["name"], model["versions"][0], served.direct)
    caller = f"caller.{served.kind.caller}"
    out = run(*java, "-cp", f"classes:{libraries}", caller, *where, cwd=folder)
    met: dict[str, Any] = json.loads(out)
    return met


def test_a_java_client_calls_every_route(served: Served, tmp_path: Path) -> None:
    """openapi-generator's Java client compiles, is answered and reads problems."""
    met = of_java(served, tmp_path)

    answers, problems = met["answers"], met["problems"]
    assert answers.keys() == served.operations
    main = answers[served.kind.operation]
    assert served.kind.answer.items() <= main.items()
    assert main["request_id"] == "from-java"
    assert answers["model_infer"]["id"] == "mine"
    assert answers["model_infer"]["outputs"] == answers["model_version_infer"]["outputs"]
    assert answers["model_statistics"]["model_stats"][0]["inference_stats"]["success"]["ns"] > 0
    assert {name: each["type"] for name, each in problems.items()} == {
        name: PREFIX + name for name in SHARED | served.kind.refused
    }
    for each in problems.values():
        assert each["code"] == each["status"]
        assert each["detail"]
    for name in served.kind.refused & {"invalid-rows", "invalid-points"}:
        assert problems[name]["errors"][0]["row"] in (0, 1)


def test_a_python_client_calls_every_route(served: Served, tmp_path: Path) -> None:
    """openapi-python-client's client is answered by every route, and reads problems as such."""
    config = tmp_path / "config.yml"
    config.write_text("package_name_override: client\npost_hooks: []\n")
    generate = ("generate", "--path", served.file, "--config", config, "--meta", "none")
    said = run(PYTHON / "openapi-python-client", *generate, cwd=tmp_path)
    assert "WARNING" not in said.upper(), said

    calls = ("client", served.file, served.url, served.direct)
    out = run(PYTHON / "python", HERE / "python/calls.py", *calls, cwd=tmp_path)

    met = json.loads(out)
    answers = met["answers"]
    assert answers.keys() == served.operations
    assert {each["status"] for each in answers.values()} == {200}
    assert answers["model_infer"]["kind"] == "ModelInferResponse"
    assert answers["model_version_statistics"]["kind"] == "ModelStatisticsResponse"
    told = [each["content"] for each in met["problems"].values()]
    assert {each["kind"] for each in met["problems"].values()} == {"ProblemDocument"}
    assert {each["status"] for each in met["problems"].values()} == {404, 422, 504}
    assert all(each["type"].startswith(PREFIX) and each["detail"] for each in told)


def test_a_typescript_program_has_the_types(served: Served, tmp_path: Path) -> None:
    """With openapi-typescript's types a strict program compiles; it is answered, and refused."""
    folder = HERE / "typescript"
    programs = folder / "node_modules" / ".bin"
    for name in (f"{served.kind.caller}.ts", "given.ts", "tsconfig.json", "package.json"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    run("node", programs / "openapi-typescript", served.file, "-o", "openapi.ts", cwd=tmp_path)
    run("node", programs / "tsc", "--project", ".", cwd=tmp_path)

    out = run("node", f"{served.kind.caller}.js", served.url, served.kind.name, cwd=tmp_path)

    met = json.loads(out)
    assert met["classes"] == served.kind.classes
    assert met["inputs"]
    assert met["problem"].startswith(PREFIX)
