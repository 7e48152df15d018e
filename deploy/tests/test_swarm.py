"""The Compose file in the format of `docker stack deploy`."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from stack import ROOT
from stack.swarm import stack_file

DATA = {"target": 8000, "published": "8000", "protocol": "tcp", "mode": "ingress"}
ADMIN = {**DATA, "target": 8010, "published": "8010", "host_ip": "127.0.0.1"}
LIMITS = {"mem_limit": "268435456", "pids_limit": 256}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Two services, as Compose reads them."""
    program = tmp_path / "program.py"
    program.write_text("print(1)\n")
    common = {**LIMITS, "read_only": True, "cap_drop": ["ALL"], "tmpfs": ["/tmp"]}  # noqa: S108
    return {
        "name": "modelserve",
        "services": {
            "gateway": {
                **common,
                "image": "modelserve/gateway:1",
                "build": {"context": "."},
                "depends_on": {"nacos-password": {"condition": "service_completed_successfully"}},
                "restart": "unless-stopped",
                "security_opt": ["no-new-privileges:true"],
                "ports": [DATA, ADMIN],
                "deploy": {"replicas": 2},
            },
            "nacos-password": {
                **common,
                "image": "python",
                "command": ["python3", "/program.py"],
                "configs": [{"source": "program", "target": "/program.py"}],
                "restart": "on-failure",
                "entrypoint": None,
            },
        },
        "volumes": {"nacos-data": {"name": "modelserve_nacos-data"}},
        "configs": {"program": {"name": "modelserve_program", "file": str(program)}},
    }


def test_what_a_swarm_refuses_is_left_out(config: dict[str, Any]) -> None:
    """No key of the newer format is left; limits and restarts stand where a swarm reads them."""
    made = stack_file(config, "ingress")
    gateway, password = made["services"]["gateway"], made["services"]["nacos-password"]

    assert not {*LIMITS, "build", "depends_on", "restart", "tmpfs", "name"} & gateway.keys()
    assert gateway["deploy"]["resources"]["limits"] == {"memory": "268435456", "pids": 256}
    assert gateway["deploy"]["replicas"] == 2
    assert gateway["volumes"] == [{"type": "tmpfs", "target": "/tmp"}]  # noqa: S108
    assert (gateway["read_only"], gateway["cap_drop"]) == (True, ["ALL"])
    assert gateway["deploy"]["restart_policy"] == {"condition": "any"}
    assert password["deploy"]["restart_policy"] == {"condition": "on-failure"}
    assert made["volumes"] == {"nacos-data": {}}


@pytest.mark.parametrize(
    ("ports", "order", "endpoint"),
    [("ingress", "start-first", "vip"), ("host", "stop-first", "dnsrr")],
)
def test_a_port_of_loopback_is_not_published(
    config: dict[str, Any], ports: str, order: str, endpoint: str
) -> None:
    """A swarm has no ports of one address: those for this host alone are left out.

    A port of a node is free only once the task that has it has ended.
    """
    gateway = stack_file(config, ports)["services"]["gateway"]

    assert gateway["ports"] == [
        {"target": 8000, "published": 8000, "protocol": "tcp", "mode": ports}
    ]
    assert gateway["deploy"]["update_config"]["order"] == order
    assert gateway["deploy"]["endpoint_mode"] == endpoint


def test_members_of_nacos_find_each_other_before_they_are_healthy(config: dict[str, Any]) -> None:
    """A swarm names healthy tasks alone, so the health of Nacos is not looked at; others' is."""
    check = {"test": ["CMD", "true"]}
    services = config["services"]
    services["nacos-2"] = {**services["gateway"], "healthcheck": check, "ports": []}
    services["gateway"]["healthcheck"] = check
    made = stack_file(config, "ingress")["services"]

    assert "healthcheck" not in made["nacos-2"]
    assert made["nacos-2"]["deploy"]["update_config"]["order"] == "stop-first"
    assert made["gateway"]["healthcheck"] == check


def test_a_changed_file_is_another_config(config: dict[str, Any]) -> None:
    """The name of a file in the swarm follows its content, which the swarm never changes."""
    file = Path(config["configs"]["program"]["file"])
    before = stack_file(config, "host")["configs"]["program"]["name"]
    same = stack_file(config, "host")["configs"]["program"]["name"]
    file.write_text("print(2)\n")

    assert before == same != stack_file(config, "host")["configs"]["program"]["name"]
    assert before.startswith("modelserve_program-")


@pytest.mark.parametrize(
    ("word", "reason"), [("CLUSTER=2", "invalid choice: 2"), ("PORTS=all", "invalid choice: 'all'")]
)
def test_a_bad_choice_is_named(word: str, reason: str) -> None:
    """`make swarm-stack` with two servers, or ports of no kind, prints no file but the reason."""
    command = ["make", "--silent", "swarm-stack", word]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode != 0, done.stdout) == (True, "")
    assert reason in done.stderr
