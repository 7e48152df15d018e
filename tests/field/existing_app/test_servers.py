"""An existing application in the hands of each server that people use."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from stack.access import NacosAccess
from stack.process import clean_environment
from stack.waiting import wait_until

from tests.field.existing_app.conftest import Adopt, Adopted, announced, blocks, wait_announced

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

BASH = blocks("bash")
SERVERS, CALL = BASH[2].splitlines(), BASH[3]
ONE_LINE, WITH_LIFESPAN = blocks("python")
LAST_LINE = "app = with_nacos("
PID = """
@app.get("/pid")
async def pid() -> int:
    import os
    return os.getpid()


"""
TELLING = ONE_LINE.replace(LAST_LINE, PID + LAST_LINE)
"""The application, which also tells which of its workers answers."""
OTHERS = [
    "hypercorn app:app --bind 0.0.0.0:8000",
    "gunicorn app:app --bind 0.0.0.0:8000 -k asgi -w 2",
]


def assert_listed_means_served(one: Adopted, nacos: NacosAccess) -> bool:
    """Ask the application if Nacos lists it, for then it has to answer; return whether it does."""
    if not announced(nacos):
        return False
    assert one.get("/hello").status_code == 200
    return True


def workers(one: Adopted) -> set[int]:
    """Return the process ids that answer, after as many answers as find every one of two."""
    return {one.get("/pid").json() for _ in range(20)}


@pytest.mark.parametrize("command", SERVERS)
def test_in_nacos_while_it_serves(command: str, adopt: Adopt, nacos: NacosAccess) -> None:
    """From the first moment in Nacos to the last, whoever asks the application gets an answer.

    After SIGTERM it leaves Nacos first and serves on, asking callers to connect elsewhere.
    """
    one = adopt(command, TELLING, nacos)
    wait_until(lambda: assert_listed_means_served(one, nacos), seconds=60, what="it is in Nacos")
    wait_announced(one, nacos)

    one.process.signal(signal.SIGTERM)
    wait_until(lambda: not assert_listed_means_served(one, nacos), seconds=20, what="it left Nacos")
    answer = one.get("/hello")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert one.process.wait(30), one.log.read_text()
    assert "Traceback" not in one.log.read_text()


@pytest.mark.parametrize("command", OTHERS)
def test_other_servers_announce_and_withdraw(
    command: str, adopt: Adopt, nacos: NacosAccess
) -> None:
    """Where the signal cannot be held back, the instance still comes when it serves, and goes."""
    one = adopt(command, TELLING, nacos)
    wait_until(lambda: assert_listed_means_served(one, nacos), seconds=60, what="it is in Nacos")
    wait_announced(one, nacos)

    one.process.signal(signal.SIGTERM)
    assert one.process.wait(30), one.log.read_text()
    wait_until(lambda: not announced(nacos), seconds=10, what="it left Nacos")
    assert "Traceback" not in one.log.read_text()


@pytest.mark.parametrize("command", SERVERS[1:])
def test_a_worker_that_dies_takes_nothing_out(
    command: str, adopt: Adopt, nacos: NacosAccess
) -> None:
    """The workers are one instance, which stays while one of them is killed after the other."""
    one = adopt(command, TELLING, nacos)
    wait_announced(one, nacos)
    wait_until(lambda: len(workers(one)) == 2, seconds=60, what="both workers answer")
    for victim in workers(one):
        os.kill(victim, signal.SIGKILL)

        def is_replaced(gone: int = victim) -> bool:
            assert announced(nacos) == [("127.0.0.1", one.port)]
            return len(workers(one) - {gone}) == 2

        wait_until(is_replaced, seconds=60, what="the worker is replaced")
    assert_listed_means_served(one, nacos)
    assert "another" not in one.log.read_text()


def test_called_by_name(
    adopt: Adopt, nacos: NacosAccess, environment: Path, tmp_path: Path
) -> None:
    """The document's call finds the application by its name."""
    one = adopt(SERVERS[0], ONE_LINE, nacos)
    wait_announced(one, nacos)
    called = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", CALL],
        cwd=environment.parent,
        env={
            **clean_environment(),
            **nacos.environment,
            "NACOS_CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert called.returncode == 0, called.stderr
    assert '{"greeting":"hello"}' in called.stdout


def test_live_configuration_and_calls_by_name(adopt: Adopt, nacos: NacosAccess) -> None:
    """A published greeting is every worker's next answer, also to a call by name."""
    one = adopt(SERVERS[1], WITH_LIFESPAN, nacos)
    wait_announced(one, nacos)
    assert one.get("/hello").json() == {"greeting": "hello"}
    nacos.publish("greeter.yaml", "text: good morning")

    def is_everywhere() -> bool:
        told = {str(one.get("/hello").json()) for _ in range(20)}
        return told == {str({"greeting": "good morning"})}

    wait_until(is_everywhere, seconds=20, what="every worker has the greeting")
    wait_until(
        lambda: one.get("/mirror").text == '{"mirrored":"good morning"}',
        seconds=20,
        what="the application reaches itself by name",
    )


def test_a_wrong_port_is_not_announced(adopt: Adopt, nacos: NacosAccess) -> None:
    """The log names both ports, and nobody is sent to a port where nothing listens."""
    one = adopt(SERVERS[0], ONE_LINE.replace("8000", "9"), nacos)
    told = f"this process listens on {one.port}, not on 9"
    wait_until(lambda: bool(one.warnings(told)), seconds=60, what="the log names the ports")
    assert announced(nacos) == []
    assert one.get("/hello").status_code == 200


TROUBLES = {
    "Nacos is not reached": {"NACOS_SERVER_ADDR": "127.0.0.1:9"},
    "refused the user 'nobody'": {"NACOS_USERNAME": "nobody"},
    "NACOS_NAMESPACE=nowhere does not exist": {"NACOS_NAMESPACE": "nowhere"},
}


@pytest.mark.parametrize("text", TROUBLES)
@pytest.mark.parametrize("command", [SERVERS[0], SERVERS[2].replace("-w 2", "-w 1")])
def test_trouble_is_told_once_within_seconds(
    command: str, text: str, adopt: Adopt, nacos: NacosAccess
) -> None:
    """One line of the log, where nothing but the server's own logging is set up; it serves on."""
    trouble: Mapping[str, str] = TROUBLES[text]
    one = adopt(command, ONE_LINE, replace(nacos, namespace="public"), env=trouble)
    wait_until(lambda: "Started server" in _log(one) or "Booting" in _log(one), seconds=60, what="")
    wait_until(lambda: bool(one.warnings(text)), seconds=10, what=f"the log says {text}")
    assert one.get("/hello").status_code == 200
    one.process.signal(signal.SIGTERM)
    assert one.process.wait(30)
    assert len(one.warnings(text)) == 1, _log(one)
    assert "Traceback" not in _log(one)


def _log(one: Adopted) -> str:
    return one.log.read_text()
