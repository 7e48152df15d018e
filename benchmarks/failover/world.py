"""The world of a trial: a Nacos server, three instances of a service, a gateway before them."""

import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
from stack.nacos import NacosServer
from stack.waiting import wait_until

from benchmarks.failover.network import PORT, count_packets_to
from benchmarks.gateway.calls import DECLARED, SERVICE
from benchmarks.gateway.peers import ROOT, START, Site
from benchmarks.measure.nacos import Account
from benchmarks.measure.process import Process

HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
GATEWAY_PORT = 8000
READY_SECONDS = 240.0
RECOVERY_SECONDS = 120.0
ROUTES = f"""routes:
- path: /{SERVICE}
  strip_prefix: /{SERVICE}
  service: {SERVICE}
  per_try_timeout: 2.0
  timeout: 8.0
"""
"""The routes document of our gateway, with the time limits that its peers have."""
WORKERS = {"GATEWAY_WORKERS": "2"}


class Instance:
    """One instance of the service, at an address of its own."""

    def __init__(self, host: str, site: Site) -> None:
        self.host = host
        self._site = site
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """Return the process of the instance's present life."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the instance; return when it is ready and Nacos shows it."""
        self._process = self._site.start(
            f"instance-{self.host.rpartition('.')[2]}",
            (sys.executable, "-m", "benchmarks.failover.backend"),
            **self._site.nacos.environment,
            SERVICE_NAME=SERVICE,
            HOST=self.host,
            ADVERTISE_IP=self.host,
            PORT=str(PORT),
            JOURNAL=str(journal(self._site.work)),
            LOG_LEVEL="WARNING",
            PYTHONPATH=str(ROOT),
        )
        self._process.listening(self.host, PORT, READY_SECONDS)
        wait_until(
            lambda: self.host in self._site.nacos.addresses(SERVICE),
            seconds=READY_SECONDS,
            what=f"Nacos shows {self.host}",
        )

    def stop(self) -> None:
        """End the instance, whatever state it is in."""
        self.process.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the instance's process."""
        self.process.signal(number)

    def behave(self, mode: str) -> None:
        """Tell the instance how to behave (see `backend`)."""
        url = f"http://{self.host}:{PORT}/fault"
        httpx.post(url, json={"mode": mode}, trust_env=False, timeout=10).raise_for_status()


def journal(work: Path) -> Path:
    """Return the path of the file in which all instances write down executions."""
    return work / "journal"


class World:
    """Nacos and the instances, which live for all trials, and the gateway under trial."""

    def __init__(self, work: Path) -> None:
        self.nacos = NacosServer(work / "nacos", port=8848, console_port=8080)
        account = Account(self.nacos.server_addr, "nacos", self.nacos.password, "public")
        self.site = Site(work, [(host, PORT) for host in HOSTS], account, environment=WORKERS)
        self.instances = [Instance(host, self.site) for host in HOSTS]
        self._gateway: Process | None = None
        self.gateway_name = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        count_packets_to(HOSTS)
        with ExitStack() as stack:
            stack.callback(self.nacos.stop)
            stack.callback(self.stop_gateway)
            self.nacos.start()
            self.nacos.wait_ready()
            self.site.nacos.publish("gateway", ROUTES)
            for instance in self.instances:
                instance.start()
                stack.callback(instance.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def gateway(self) -> Process:
        """Return the process of the gateway under trial."""
        assert self._gateway is not None
        return self._gateway

    def start_gateway(self, name: str) -> None:
        """Start a gateway and wait until it uses every instance."""
        self.gateway_name = name
        self._gateway = START[name](self.site, GATEWAY_PORT)
        self.gateway.listening("127.0.0.1", GATEWAY_PORT, READY_SECONDS)
        self.wait_recovered()

    def stop_gateway(self) -> None:
        """End the gateway, if there is one."""
        if self._gateway is not None:
            self._gateway.stop()

    def wait_recovered(self) -> None:
        """Return when the gateway answers well, from every instance, thirty times in a row."""
        wait_until(
            lambda: set(HOSTS) == self._answering(30),
            seconds=RECOVERY_SECONDS,
            what=f"the gateway uses all instances again; its log: {self.gateway.log_tail()}",
        )

    def _answering(self, requests: int) -> set[str]:
        url = f"http://127.0.0.1:{GATEWAY_PORT}/{SERVICE}{DECLARED}"
        found = set()
        with httpx.Client(trust_env=False, timeout=10) as client:
            for _ in range(requests):
                try:
                    answer = client.post(url, json={}, headers={"X-Request-Id": "settling"})
                except httpx.HTTPError:
                    return set()
                if answer.status_code != httpx.codes.OK:
                    return set()
                found.add(answer.headers["x-instance"])
        return found


def roll(instances: Sequence[Instance]) -> None:
    """Restart the instances one after the other, each in order, as a deployment does."""
    for instance in instances:
        instance.signal(signal.SIGTERM)
        instance.process.wait(READY_SECONDS)
        instance.start()
