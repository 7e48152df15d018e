"""A Nacos of one's own, without a server: what is read, kept, and given to processes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack import ROOT
from stack.own_nacos import OwnNacos, UnusableNacosError
from stack.plan import Plan
from stack.services import found

BASE: Any = yaml.safe_load((ROOT / "deploy" / "docker-compose.yml").read_text())
OVER: Any = yaml.safe_load((ROOT / "deploy" / "own-nacos.yml").read_text())
FILES = ("-f", "deploy/docker-compose.yml", "-f", "deploy/own-nacos.yml")
MODELS = {each.package: each.ports[0] for each in found()}


@pytest.fixture(autouse=True)
def _no_nacos_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own environment says about Nacos is no part of a test."""
    for name in list(os.environ):
        if name.startswith(("NACOS_", "ADVERTISE_")):
            monkeypatch.delenv(name)


def test_what_a_process_gets_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Login, namespace and TLS go through; what is about the stack's own Nacos does not."""
    given = {"NACOS_USERNAME": "models", "NACOS_PASSWORD": "secret-1", "NACOS_TLS": "true"}
    stack = {"NACOS_VERSION": "2.3.2", "NACOS_AUTH_TOKEN": "t", "NACOS_CACHE_DIR": "/elsewhere"}
    for name, value in {**given, **stack, "ADVERTISE_IP": "10.0.0.7"}.items():
        monkeypatch.setenv(name, value)

    assert OwnNacos.at("nacos.example:8848").environment == {
        **given,
        "NACOS_SERVER_ADDR": "nacos.example:8848",
        "ADVERTISE_IP": "10.0.0.7",
        "HOST": "0.0.0.0",  # noqa: S104
    }


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:8848", True),
        ("localhost", True),
        ("[::1]:8848", True),
        ("127.0.0.1,10.0.0.1", True),
        ("10.0.0.1:8848", False),
        ("[2001:db8::5]:8848", False),
        ("nacos.example:8848", False),
    ],
)
def test_a_nacos_on_loopback_keeps_the_services_there(address: str, *, loopback: bool) -> None:
    """Nobody else can find them, so nobody else is let in; a container cannot use such a Nacos."""
    own = OwnNacos.at(address)

    assert own.environment["HOST"] == ("127.0.0.1" if loopback else "0.0.0.0")  # noqa: S104
    assert (own.out_of_reach_of_containers() is not None) is loopback


def test_a_file_of_this_host_is_not_in_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason against containers names the variable."""
    monkeypatch.setenv("NACOS_TLS_CA", "/etc/ca.pem")

    assert "NACOS_TLS_CA" in str(OwnNacos.at("10.0.0.1").out_of_reach_of_containers())


def test_the_address_of_this_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that reaches Nacos, unless another is given; a bad name is told."""
    assert OwnNacos.at("127.0.0.1:8848").address_of_this_host() == "127.0.0.1"
    with pytest.raises(UnusableNacosError, match=r"NACOS=nacos\.invalid:8848: "):
        OwnNacos.at("nacos.invalid:8848").address_of_this_host()
    monkeypatch.setenv("ADVERTISE_IP", "10.0.0.7")
    assert OwnNacos.at("nacos.invalid:8848").address_of_this_host() == "10.0.0.7"


def test_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make status` reads the address and the namespace; nothing else is written."""
    monkeypatch.setenv("NACOS_PASSWORD", "secret-1")
    monkeypatch.setenv("NACOS_NAMESPACE", "staging")
    own, file = OwnNacos.at("10.0.0.1:8848"), tmp_path / "stack" / "own-nacos.json"
    assert OwnNacos.read(file) is None
    own.keep(file)

    assert OwnNacos.read(file) == own
    assert json.loads(file.read_text()) == {"server_addr": "10.0.0.1:8848", "namespace": "staging"}


@pytest.mark.parametrize("instances", [0, 1, 2])
def test_a_plan_has_as_many_instances_as_are_wanted(instances: int) -> None:
    """Of each model; the gateway is always there, and nobody is told to call what is not there."""
    plan = Plan(instances=instances)

    assert len(plan.models) == len(MODELS) * instances
    assert plan.parts == (*plan.models, plan.gateway)
    assert bool(plan.calls) is bool(instances)


def test_the_override_starts_no_nacos() -> None:
    """Nacos and what sets its password are in a profile; all else is of the file below."""
    started = {name for name, service in OVER["services"].items() if "profiles" not in service}

    assert started == {*MODELS, "gateway"}
    assert OVER["services"].keys() == {
        name for name, service in BASE["services"].items() if "profiles" not in service
    }
    assert OVER["services"]["gateway"]["depends_on"]["nacos-password"]["required"] is False


@pytest.mark.parametrize("name", MODELS)
def test_the_override_publishes_what_is_announced(name: str) -> None:
    """The port of the host is the port of the container, so one instance has it."""
    service = OVER["services"][name]
    port = f"${{{name.upper()}_PORT:-{MODELS[name]}}}"

    assert service["ports"] == [f"{port}:{port}"]
    assert service["environment"]["PORT"] == port
    assert service["environment"]["ADVERTISE_IP"].startswith("${ADVERTISE_IP:?")
    assert service["deploy"]["replicas"] == 1


@pytest.mark.parametrize("name", [*MODELS, "gateway"])
def test_an_image_has_the_version_of_its_service(name: str) -> None:
    """A registry can tell two releases apart."""
    image = BASE["services"][name]["image"]

    assert image == f"${{IMAGE_REGISTRY:-modelserve}}/{name}:${{{name.upper()}_VERSION:-latest}}"


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Compose on both files."""
    return subprocess.run(
        ["docker", "compose", *FILES, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_compose_takes_the_override() -> None:
    """The services that would start have the login of the environment, or none."""
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("MISSING PROGRAM docker compose: its tests did not run (`make engine`)")
    secrets = dict.fromkeys(
        ("NACOS_AUTH_TOKEN", "NACOS_AUTH_IDENTITY_VALUE", "GATEWAY_ADMIN_TOKEN", "MODELS_PASSWORD"),
        "made by make up",
    )
    where = {"NACOS_SERVER_ADDR": "10.0.0.1:8848", "ADVERTISE_IP": "10.0.0.7"}
    login = {"NACOS_USERNAME": "", "NACOS_PASSWORD": ""}
    made = compose("config", "--format", "json", **secrets, **where, **login)
    nowhere = compose("config", **secrets, **login, ADVERTISE_IP="10.0.0.7")

    assert made.returncode == 0, made.stderr
    services = json.loads(made.stdout)["services"]
    assert services.keys() == {*MODELS, "gateway"}
    for service in services.values():
        assert service["environment"]["NACOS_SERVER_ADDR"] == "10.0.0.1:8848"
        assert service["environment"]["NACOS_USERNAME"] == ""
        assert service["environment"]["ADVERTISE_IP"] == "10.0.0.7"
    assert [port["published"] for port in services["kmeans"]["ports"]] == ["9999"]
    assert (nowhere.returncode != 0, "NACOS_SERVER_ADDR" in nowhere.stderr) == (True, True)
