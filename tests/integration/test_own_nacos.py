"""`make up NACOS=host:port`: the stack with a Nacos that was there before and stays."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from stack import STATE
from stack.access import NacosAccess
from stack.plan import Plan
from stack.ports import is_free

from tests.make_command import make as make_as_user

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(plan: Plan, nacos: NacosAccess) -> Iterator[Make]:
    """Run a target as a user does who has a login to Nacos in the environment, on free ports.

    What was started ends with the test.
    """

    def run(*words: str, access: NacosAccess = nacos) -> subprocess.CompletedProcess[str]:
        return make_as_user(plan, access, *words)

    yield run
    run("down")


def home(plan: Plan) -> Path:
    """The folder of a plan's stack."""
    return STATE / f"stack-{plan.offset}"


def started(plan: Plan) -> set[str]:
    """The names of the processes that a stack has started."""
    file = home(plan) / "processes.json"
    return {each["name"] for each in json.loads(file.read_text())} if file.exists() else set()


def in_use(plan: Plan) -> list[int]:
    """The ports of the stack on which somebody listens."""
    return [port for part in plan.parts for port in part.ports.values() if not is_free(port)]


def test_everything_runs_with_the_nacos_that_is_there(
    plan: Plan, nacos: NacosAccess, make: Make
) -> None:
    """Calls work, instances are in the namespace named; `make down` leaves the server alone.

    `make status` names the server; another one is refused while the stack runs, and no password is
    written down.
    """
    up = make("up-local", f"NACOS={nacos.server_addr}")
    assert up.returncode == 0, up.stdout + up.stderr
    call = next(line for line in up.stdout.splitlines() if "curl" in line and "kmeans" in line)
    answer = json.loads(subprocess.check_output(["bash", "-c", call]))
    shown = {each["port"] for each in nacos.instances("skl-kmeans")}
    status = make("status").stdout
    other = make("up-local")
    kept = "".join(each.read_text() for each in home(plan).glob("*.json"))
    down = make("down")

    assert answer["clusters"] == 3
    assert shown == {part.port for part in plan.models if part.package == "kmeans"}
    assert f"{nacos.server_addr}, namespace {nacos.namespace}, yours" in up.stdout
    assert started(plan) == set()
    assert f"{nacos.server_addr}, namespace {nacos.namespace}, yours" in status
    assert all(part.name in status for part in plan.parts)
    assert other.returncode == 2
    assert f"it runs with {nacos.server_addr}" in other.stderr
    assert nacos.password not in kept + status
    assert (down.returncode, in_use(plan)) == (0, [])
    assert nacos.instances("skl-kmeans") == []  # and the server answers


def test_the_gateway_runs_without_models(plan: Plan, nacos: NacosAccess, make: Make) -> None:
    """`MODELS=0` starts the gateway alone, in front of whatever Nacos knows."""
    up = make("up-local", f"NACOS={nacos.server_addr}", "MODELS=0")
    assert up.returncode == 0, up.stdout + up.stderr
    ready = httpx.get(f"http://127.0.0.1:{plan.gateway.admin_port}/readyz", trust_env=False)

    assert ready.status_code == 200
    assert started(plan) == {"gateway"}
    assert "curl" not in up.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "wrong"}, "Nacos refused the user 'nacos' or the password"),
        ({"namespace": "nowhere"}, "NACOS_NAMESPACE=nowhere does not exist"),
        ({"server_addr": "127.0.0.1:9"}, "Nacos at 127.0.0.1:9: "),
        ({"server_addr": "http://nacos"}, "NACOS_SERVER_ADDR='http://nacos'"),
    ],
    ids=["password", "namespace", "unreachable", "no address"],
)
def test_a_nacos_that_lets_nobody_in_is_told_before_anything_starts(
    plan: Plan, nacos: NacosAccess, make: Make, change: dict[str, str], told: str
) -> None:
    """One line with the reason, a failing exit status, and nothing left running."""
    access = replace(nacos, **change)  # type: ignore[arg-type]
    up = make("up-local", f"NACOS={access.server_addr}", access=access)
    (line,) = [each for each in up.stderr.splitlines() if not each.startswith("make: ")]

    assert up.returncode == 2
    assert line.startswith("error: ")
    assert told in line
    assert started(plan) == set()
    assert in_use(plan) == []
