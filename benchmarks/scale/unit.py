"""Unit costs, each measured in a process of its own: `python -m benchmarks.scale.unit WHAT COUNT`.

memory    bytes that a gateway keeps for an instance that it knows, and for a connection to it
choice    seconds until the first request after a change is sent, without and with an aperture
follow    CPU and memory of the client of Nacos and the gateway's view of a service, told at
          each push until standard input ends
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Sequence

import uvloop
from failover import Aperture, Balancer, Instance, RetryState
from gateway.upstream.connection import InstanceConnection
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.service import Service, ServiceLimits
from nacos_client import Nacos, NacosSettings

from benchmarks.measure.process import usage

SERVICE = "crowded"
METADATA = {
    "model_version": "1.1.0", "gateway.idempotent": "POST /api/v1/predict", "protocol": "http",
    "preserved.register.source": "PYTHON",
}  # fmt: skip
"""Labels of the length that a model service of ours has."""
ROUNDS = 50


def places(count: int) -> Sequence[str]:
    """Return so many addresses of this host's loopback."""
    return [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)]


def rss() -> int:
    """Return the resident memory of this process in bytes."""
    return usage(os.getpid()).rss_bytes


def tell(**facts: float) -> None:
    """Print facts for the process that reads them."""
    print(json.dumps(facts), flush=True)


class Holder:
    """Waits for one connection and keeps it."""

    def __init__(self, left: list[None], done: asyncio.Event) -> None:
        self._left, self._done = left, done

    def connected(self, connection: InstanceConnection) -> None:
        """Give the connection back, as at the end of a request."""
        connection.pool.put(connection)
        self._left.pop()
        if not self._left:
            self._done.set()

    def connect_failed(self) -> None:
        """End: the backlog of the socket took less than was asked for."""
        raise SystemExit("a connection failed")


async def memory(count: int) -> None:
    """Make a service of instances, then connect to each; nobody takes the connections."""
    with socket.create_server(("0.0.0.0", 0), backlog=2 * count) as server:  # noqa: S104
        port = server.getsockname()[1]
        found = [Instance(ip, port, metadata=dict(METADATA)) for ip in places(count)]
        warm = Service("warm", ServiceLimits())
        warm.sync(found[:1], 0.0)
        await _connect(warm.pools.values())
        before = rss()
        service = Service(SERVICE, ServiceLimits())
        service.sync(found, 0.0)
        known = rss()
        await _connect(service.pools.values())
        tell(instance=(known - before) / count, connection=(rss() - known) / count)


async def _connect(pools: Sequence[ConnectionPool]) -> None:
    done, left = asyncio.Event(), [None] * len(pools)
    for pool in pools:
        pool.wait(Holder(left, done))
    async with asyncio.timeout(60):
        await done.wait()


async def choice(count: int) -> None:
    """Let an instance change, and choose one for a request, fifty times each way."""
    found = [Instance(ip, 80, metadata=METADATA) for ip in places(count)]
    balancer = Balancer()
    balancer.sync(found, 0.0)
    took = {}
    for name, aperture in (("all", None), ("aperture", Aperture(20, 0, 100))):
        balancer.narrow(aperture)
        began = time.process_time()
        for number in range(ROUNDS):
            balancer.drain(found[number].address, drained=True)
            balancer.pick(RetryState(repeatable=True, deadline=9.0), 0.0, 0.5)
        took[name] = (time.process_time() - began) / ROUNDS
    tell(**took)


async def follow(count: int) -> None:
    """Follow the service as a worker of the gateway does."""
    async with Nacos(NacosSettings.from_env(os.environ)) as nacos:
        directory = NacosDirectory(nacos, ServiceLimits(), time.monotonic, on_left=lambda *_: None)
        await nacos.discover("empty").known(deadline=30.0)
        before = rss()
        directory.expect([SERVICE], 0.0)
        balancer = directory.services[SERVICE].balancer

        def told(_: object) -> None:
            if len(balancer.members) == count:
                tell(cpu=time.process_time(), instance=(rss() - before) / count)

        nacos.discover(SERVICE).subscribe(told)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    measurement = {"memory": memory, "choice": choice, "follow": follow}[sys.argv[1]]
    uvloop.run(measurement(int(sys.argv[2])))
