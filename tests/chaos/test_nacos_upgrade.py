"""Another version of Nacos takes the place of one, under load, as docs/operations.md says."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack.access import GROUP, NacosAccess
from stack.nacos import NacosServer
from stack.releases import RELEASES
from stack.waiting import wait_until

from tests.chaos.callers import callers
from tests.docs.operations import MOVING, commands

pytestmark = [pytest.mark.nacos, pytest.mark.outage, pytest.mark.timeout(400)]

MODELS_PASSWORD = "models-password-1"  # noqa: S105 - of servers that live as long as this test
SERVICE = "skl-kmeans"
PATHS = ("/points", f"/{SERVICE}/api/{SERVICE}")
"""The paths of the calls: by a route of the document, and by the service's name."""
ROUTES = f"""routes:
- path: {PATHS[0]}
  service: {SERVICE}
  strip_prefix: {PATHS[0]}
  rewrite: /api/{SERVICE}
"""
BODY = '{"points":[[1,2],[2,3],[3,5],[4,6],[8,8],[10,11],[12,12],[12,15],[10,12]]}'
BACK_SECONDS = 120.0
"""Seconds until all are at home in the new server; on an idle machine some ten."""

DIALECT, LOG_IN, MAKE_USER = commands("Nacos")[:3]
KEEP, FIRST_PASSWORD, BRING_BACK = commands(MOVING)


@dataclass
class Site:
    """The server at an address, as its operator and as the services see it.

    Attributes:
        admin: the administrator's access, in the services' namespace.
        folder: where the operator keeps documents.
    """

    admin: NacosAccess
    folder: Path

    @property
    def services(self) -> Mapping[str, str]:
        """The environment of the services, who are a user of their own."""
        return replace(self.admin, username="models", password=MODELS_PASSWORD).environment

    def operate(self, *steps: str) -> str:
        """Run commands of the document in one shell; returns what they print."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(steps)],
            cwd=self.folder,
            env={
                **os.environ,
                **self.admin.environment,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "MODELS_PASSWORD": MODELS_PASSWORD,
            },
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def weight(self, port: int) -> float | None:
        """The weight that Nacos shows of an instance."""
        weights = {i["port"]: i["weight"] for i in self.admin.instances(SERVICE)}
        return weights.get(port)


@pytest.fixture
def servers(
    own_nacos: NacosServer, version: str, successor: str
) -> Iterator[tuple[NacosServer, NacosServer]]:
    """Two servers of one address, which run one after the other; the first runs."""

    def make(release: str) -> NacosServer:
        return NacosServer(
            own_nacos.home / release,
            port=own_nacos.ports.http,
            console_port=own_nacos.ports.console,
            shared=own_nacos.secrets,
            release=RELEASES[release],
        )

    old, new = make(version), make(successor)
    old.start()
    old.wait_ready()
    yield old, new
    old.kill()
    new.kill()


@pytest.mark.feature("another version takes over the address")
@pytest.mark.parametrize(("version", "successor"), [("2.3.2", "3.1"), ("3.1", "2.3.2")])
def test_a_server_of_another_version_takes_over(
    servers: tuple[NacosServer, NacosServer], service: Callable[..., Any], tmp_path: Path
) -> None:
    """No call through the gateway fails, and the new server is used as the old one was.

    Every instance is registered there, a document is taken up, what is changed by hand is undone,
    and the gateway finds a new instance.
    """
    old, new = servers
    site = Site(old.access.new_namespace("prod"), tmp_path)
    site.operate(DIALECT, LOG_IN, MAKE_USER)
    site.admin.publish(SERVICE, "clusters: 4")
    site.admin.publish("gateway", ROUTES)
    models = [service("kmeans", site.admin, env=site.services, ready=False) for _ in range(2)]
    gateway = service("gateway", site.admin, env=site.services)

    def known(*instances: Any) -> bool:
        ports = {each.port for each in instances}
        return ports == {each["port"] for each in site.admin.instances(SERVICE)} and ports == {
            int(one["address"].rpartition(":")[2]) for one in routed(gateway.admin_url)
        }

    def clusters(wanted: int) -> bool:
        urls = [f"{each.url}/api/{SERVICE}" for each in models]
        urls += [f"{gateway.url}{path}" for path in PATHS]
        return all(count(url) == wanted for url in urls)

    wait_until(lambda: known(*models) and clusters(4), seconds=60, what="all is as configured")
    with callers(gateway.url, [(path, BODY) for path in PATHS]) as calling:
        site.operate(DIALECT, LOG_IN, KEEP)
        old.stop()
        new.start()
        told = site.operate(DIALECT, FIRST_PASSWORD, BRING_BACK, MAKE_USER)
        assert '"succCount":2' in told
        wait_until(lambda: known(*models), seconds=BACK_SECONDS, what="all are registered again")
        calling.wait_for(200)

        site.admin.publish(SERVICE, "clusters: 5")
        wait_until(lambda: clusters(5), seconds=10, what="a document of the new server")
        ours = models[0].port
        set_weight(site.admin, ours, 9.0)
        wait_until(lambda: site.weight(ours) == 9.0, seconds=10, what="the change by hand")
        wait_until(lambda: site.weight(ours) == 1.0, seconds=30, what="its end")
        more = service("kmeans", site.admin, env=site.services)
        wait_until(lambda: known(*models, more), seconds=30, what="a new instance is routed to")
        calling.wait_for(200)

    assert not calling.failures
    for each in (*models, gateway):
        about = each.readyz()[1]["checks"]["nacos"]
        assert (about["version"][:3], about["ok"]) == (new.release.version[:3], True)


def routed(admin_url: str) -> list[dict[str, Any]]:
    """The instances among which the gateway chooses."""
    answer = httpx.get(f"{admin_url}/api/services/{SERVICE}", timeout=5, trust_env=False)
    views = answer.json()["workers"] if answer.is_success else []
    return [instance for view in views if view for instance in view["instances"]]


def count(url: str) -> int:
    """Ask how many clusters are found; 0 where nobody can say."""
    headers = {"content-type": "application/json"}
    answer = httpx.post(url, content=BODY, headers=headers, timeout=30, trust_env=False)
    return int(answer.json()["clusters"]) if answer.is_success else 0


def set_weight(admin: NacosAccess, port: int, weight: float) -> None:
    """Change the weight of an instance, as an operator does in the console."""
    place = {"serviceName": SERVICE, "groupName": GROUP, "namespaceId": admin.namespace}
    instance = {"ip": "127.0.0.1", "port": str(port), "weight": str(weight), "ephemeral": "true"}
    with admin.operator() as operator:
        operator.request("PUT", "instance", **place, **instance)
