"""The parts of the stack: their processes, ports and environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stack.ports import NacosPorts
from stack.services import ServedModel, found

HOST = "127.0.0.1"
MAX_OFFSET: Final = 55_000
"""The highest offset: without one the highest port is 10,000 below the highest there is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One service process.

    Attributes:
        name: unique in the stack, and the name of its log file.
        package: the Python package that `python -m` runs.
        service: its name in Nacos.
        port: its port for callers.
        admin_port: its port with `/readyz`; the same as `port`, except for the gateway.
    """

    name: str
    package: str
    service: str
    port: int
    admin_port: int

    @property
    def ports(self) -> Mapping[str, int]:
        """Every port by its purpose."""
        if self.port == self.admin_port:
            return {"HTTP": self.port}
        return {"data": self.port, "admin": self.admin_port}

    def environment(self) -> dict[str, str]:
        """Return the process's variables, without those that say how to reach Nacos."""
        variables = {
            "SERVICE_NAME": self.service,
            "HOST": HOST,
            "ADVERTISE_IP": HOST,
            "PORT": str(self.port),
            "NACOS_CANARY": "false",  # serves, and follows promotions
        }
        if self.port != self.admin_port:
            variables["GATEWAY_ADMIN_PORT"] = str(self.admin_port)
            variables["GATEWAY_DOCS"] = "true"  # to be tried out without a token, on this machine
        return variables


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole stack; every port moved up by `offset`, so that two stacks fit on one machine.

    `instances` is the number of instances of each model service: 2, or 1, or 0 for the gateway
    alone. `services` are the model services, those of the checkout by default. `members` is the
    number of Nacos servers: 1, which stands alone, or 3 of one cluster.
    """

    offset: int = 0
    instances: int = 2
    services: tuple[ServedModel, ...] = field(default_factory=found)
    members: int = 1

    @property
    def nacos_port(self) -> int:
        """The HTTP port of Nacos; its gRPC and raft ports follow from it."""
        return 8848 + self.offset

    @property
    def console_port(self) -> int:
        """The port of the Nacos console."""
        return 8080 + self.offset

    @property
    def nacos(self) -> Mapping[str, NacosPorts]:
        """The ports of each Nacos server by its name: `nacos`, beside it `nacos-2` and so on."""
        first, *others = NacosPorts(self.nacos_port, self.console_port).members(self.members)
        return {"nacos": first} | {f"nacos-{n}": ports for n, ports in enumerate(others, 2)}

    @property
    def prometheus_port(self) -> int:
        """The port of Prometheus, with `make up OBSERVE=1`."""
        return 9090 + self.offset

    @property
    def grafana_port(self) -> int:
        """The port of Grafana, where its image is to be had."""
        return 3000 + self.offset

    @property
    def gateway(self) -> Part:
        """The gateway, through which callers come."""
        return self._part("gateway", "gateway", "gateway", 8000, 8010)

    @property
    def models(self) -> tuple[Part, ...]:
        """The instances of each model service."""
        return tuple(
            self._part(f"{each.package}-{number}", each.package, each.name, port)
            for each in self.services
            for number, port in enumerate(each.ports[: self.instances], 1)
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every service process."""
        return (*self.models, self.gateway)

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """A path at the gateway and a body for each model: the calls a newcomer tries first."""
        if not self.instances:
            return ()
        return tuple((f"/{each.name}{each.path}", each.body) for each in self.services)

    def _part(
        self, name: str, package: str, service: str, port: int, admin_port: int | None = None
    ) -> Part:
        return Part(name, package, service, port + self.offset, (admin_port or port) + self.offset)
