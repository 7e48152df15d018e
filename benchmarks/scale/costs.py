"""The unit costs of a gateway that knows many instances, measured by `unit` beside a Nacos.

The Nacos is the one in memory of the tests (`tests/nacos_wire`), in a process of its own: it speaks
as the real one does, so what it costs the client is real; what it costs the server is not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stack.access import GROUP, NacosAccess

from benchmarks.scale.unit import METADATA, SERVICE, places

NACOS = "3.0.3"
PORT = 8000


@dataclass(frozen=True, slots=True)
class Costs:
    """What one thing costs.

    Attributes:
        instances: of the service that was followed.
        instance_bytes: memory of a gateway's worker for an instance, Nacos' client included.
        connection_bytes: memory of a worker for an open connection, without the kernel's.
        listing_bytes: the service's list as JSON, which each push carries whole.
        push_cpu: seconds of a worker for a push in which one instance is changed.
        choice_cpu: seconds for the first choice after a change.
        choice_cpu_aperture: the same with an aperture.
    """

    instances: int
    instance_bytes: float
    connection_bytes: float
    listing_bytes: int
    push_cpu: float
    choice_cpu: float
    choice_cpu_aperture: float


def measured(instances: int, pushes: int) -> Costs:
    """Measure everything, one after the other."""
    memory, choice = _told("memory", instances), _told("choice", instances)
    with _nacos() as nacos:
        _register(nacos, dict.fromkeys(places(instances), METADATA))
        listing = len(json.dumps(nacos.instances(SERVICE), separators=(",", ":")))
        with _running("follow", instances, nacos) as follower:
            first = _next(follower)
            last = first
            for number in range(pushes):
                changed = {**METADATA, "number": str(number)}
                _register(nacos, {places(instances)[number]: changed})
                last = _next(follower)
    return Costs(
        instances, last["instance"], memory["connection"], listing,
        (last["cpu"] - first["cpu"]) / pushes, choice["all"], choice["aperture"],
    )  # fmt: skip


def _register(nacos: NacosAccess, instances: Mapping[str, Mapping[str, str]]) -> None:
    """Register persistent instances, or change their metadata."""
    place = {"serviceName": SERVICE, "groupName": GROUP, "namespaceId": nacos.namespace}
    with nacos.operator() as operator:
        for ip, metadata in instances.items():
            labels = {"ephemeral": "false", "metadata": json.dumps(metadata)}
            form = {**place, **labels, "ip": ip, "port": PORT}
            operator.http.post("/v3/client/ns/instance", data=form).raise_for_status()


def _command(what: str, count: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.scale.unit", what, str(count)]


def _told(what: str, count: int) -> dict[str, float]:
    done = subprocess.run(_command(what, count), check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


@contextmanager
def _nacos() -> Iterator[NacosAccess]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.nacos_wire", NACOS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        yield NacosAccess(told["NACOS_SERVER_ADDR"], told["NACOS_USERNAME"], told["NACOS_PASSWORD"])
        server.stdin.close()


@contextmanager
def _running(what: str, count: int, nacos: NacosAccess) -> Iterator[subprocess.Popen[str]]:
    with (
        TemporaryDirectory() as cache,
        subprocess.Popen(
            _command(what, count), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **nacos.environment, "NACOS_CACHE_DIR": str(Path(cache))},
        ) as child,
    ):  # fmt: skip
        yield child
        assert child.stdin is not None
        child.stdin.close()


def _next(follower: subprocess.Popen[str]) -> dict[str, float]:
    """Return the next line that the follower prints of itself; its log goes by."""
    assert follower.stdout is not None
    for line in follower.stdout:
        if line.startswith('{"cpu"'):
            return dict(json.loads(line))
    raise RuntimeError(f"the follower ended with {follower.wait()}")
