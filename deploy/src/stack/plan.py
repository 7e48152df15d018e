"""The parts of the stack: their processes, ports and environments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

HOST = "127.0.0.1"
MAX_OFFSET: Final = 55_000
"""The highest offset: without one the highest port is 10,000 below the highest there is."""
POINTS: Final = "[[1,2],[2,3],[3,5],[4,6],[8,8],[10,11],[12,12],[12,15],[10,12]]"
CAR: Final = (
    '{"buying":"med","maint":"high","doors":"4","persons":"more","lug_boot":"big","safety":"high"}'
)


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
        return variables


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole stack; every port moved up by `offset`, so that two stacks fit on one machine.

    `instances` is the number of instances of each model service: 2, or 1, or 0 for the gateway
    alone.
    """

    offset: int = 0
    instances: int = 2

    @property
    def nacos_port(self) -> int:
        """The HTTP port of Nacos; its gRPC and raft ports follow from it."""
        return 8848 + self.offset

    @property
    def console_port(self) -> int:
        """The port of the Nacos console."""
        return 8080 + self.offset

    @property
    def gateway(self) -> Part:
        """The gateway, through which callers come."""
        return self._part("gateway", "gateway", "gateway", 8000, 8010)

    @property
    def models(self) -> tuple[Part, ...]:
        """The instances of each model service."""
        classifiers = (
            self._part("classifier-1", "classifier", "car-evaluation", 8001),
            self._part("classifier-2", "classifier", "car-evaluation", 8011),
        )
        clusterers = (
            self._part("kmeans-1", "kmeans", "skl-kmeans", 9999),
            self._part("kmeans-2", "kmeans", "skl-kmeans", 9989),
        )
        return classifiers[: self.instances] + clusterers[: self.instances]

    def first(self, package: str) -> Part:
        """The first instance of a model service, started or not."""
        return next(part for part in replace(self, instances=1).models if part.package == package)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every service process."""
        return (*self.models, self.gateway)

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """A path at the gateway and a body for each model: the calls a newcomer tries first."""
        if not self.instances:
            return ()
        return (
            ("/skl-kmeans/api/skl-kmeans", f'{{"points":{POINTS}}}'),
            ("/car-evaluation/api/v1/predict", f'{{"inputs":[{CAR}]}}'),
        )

    def _part(
        self, name: str, package: str, service: str, port: int, admin_port: int | None = None
    ) -> Part:
        return Part(name, package, service, port + self.offset, (admin_port or port) + self.offset)
