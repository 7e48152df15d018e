"""The services that Nacos knows, by name: followed once a request names them, read without waiting.

A stranger who asks for names that do not exist must not fill memory or Nacos. A name is looked up
only if it could be a service's name. A *stray* is a name that nothing is known to stand for: at
most `MAX_STRAYS` of them are followed, and a stray that Nacos does not know, or says nothing about,
is remembered for a while and then forgotten. Nacos decides how many services exist.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from failover import Aperture, Instance
from nacos_client import Discovery, Known, Snapshot

from gateway.http.problems import LocalReply
from gateway.upstream.service import NAME, Service, ServiceLimits

MAX_STRAYS = 256
MAX_SERVICES = 4096
"""Services that have or had an instance, and those that routes name."""
FORGET_ABSENT = 10.0
"""Seconds for which a stray is remembered."""
MAKE_ROOM = 1.0
"""The same when there is no room for another name: the time bounds how often Nacos is asked."""
COPY_SECONDS = 0.5
"""Seconds that Nacos has to answer before a copy on disk, from an earlier life, counts."""
MAX_MOVES = 256
"""Instances that came or left last, as far as they are remembered."""
_NAME = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Move:
    """An instance that came to its service or left it, and when in Unix time."""

    at: float
    service: str
    address: str
    came: bool


class Discoverer(Protocol):
    """Nacos, as far as the directory uses it."""

    def discover(self, service: str) -> Discovery:
        """Follow the instances of a service."""

    def forget(self, service: str) -> None:
        """Stop following a service."""


class NacosDirectory:
    """The services by name, each kept up to date by its discovery."""

    def __init__(
        self,
        nacos: Discoverer,
        limits: ServiceLimits,
        clock: Callable[[], float],
        *,
        on_left: Callable[[str, str], None],
    ) -> None:
        """Follow nothing yet.

        Args:
            nacos: where services are discovered.
            limits: of each service.
            clock: monotonic seconds.
            on_left: called with the service and address of every instance that left.
        """
        self.services: dict[str, Service] = {}
        self.own: set[str] = set()
        """Services that are the gateway's own, and not of Nacos."""
        self.moves: deque[Move] = deque(maxlen=MAX_MOVES)
        """The instances that came or left last; a service's first list is none of these."""
        self._nacos = nacos
        self._limits = limits
        self._clock = clock
        self._on_left = on_left
        self._followed: dict[str, tuple[Discovery, Callable[[], None]]] = {}
        self._aperture: Aperture | None = None
        self._strays: dict[str, float] = {}
        self._copies: dict[str, asyncio.TimerHandle] = {}

    def find(self, name: str, now: float) -> Service | None:
        """Return the service of this name, or None if there can be none.

        Raises:
            LocalReply: too many other names are looked up, so it is not known (503).
        """
        service = self.services.get(name)
        if service is None and _NAME.fullmatch(name):
            self._check_room(now)
            service = self._follow(name, now)
        return service

    def expect(self, names: Iterable[str], now: float) -> None:
        """Follow services that routes name; without an instance they are down, not absent."""
        for name in names:
            self._exists(self.services.get(name) or self._follow(name, now))

    def keep(self, name: str, instance: Instance) -> None:
        """Have a service of the gateway's own, of which Nacos knows nothing."""
        service = self.services[name] = Service(name, self._limits)
        service.sync([instance], self._clock())
        self.own.add(name)

    def named(self, name: str) -> list[Service]:
        """Return the followed service of this name, and the same one by its other names.

        A service of the gateway's own group has two names, with and without its group.
        """
        if name not in self._followed:
            return []
        discovery = self._followed[name][0]
        return [
            self.services[other]
            for other, (followed, _) in self._followed.items()
            if followed is discovery
        ]

    def narrow(self, aperture: Aperture) -> None:
        """Prefer the instances of an aperture in every service, followed now or later."""
        self._aperture = aperture
        for service in self.services.values():
            service.balancer.narrow(aperture)

    def prune(self, now: float) -> None:
        """Close idle connections and forget strays; called every second."""
        for service in self.services.values():
            service.prune(now)
        self._forget_strays(now, FORGET_ABSENT)

    def ages(self) -> Mapping[str, float]:
        """Return the seconds since Nacos last vouched for each service's instances."""
        return {
            name: discovery.age
            for name, (discovery, _) in self._followed.items()
            if isinstance(discovery.snapshot, Known) and not self.services[name].absent
        }

    def _check_room(self, now: float) -> None:
        if len(self.services) - len(self._strays) >= MAX_SERVICES:
            raise LocalReply(503, "destination_unavailable",
                          "Too many services are in use.", retry_after=1)  # fmt: skip
        if len(self._strays) >= MAX_STRAYS:
            self._forget_strays(now, MAKE_ROOM)
        if len(self._strays) >= MAX_STRAYS:
            raise LocalReply(503, "destination_unavailable",
                          "Too many services are looked up.", retry_after=1)  # fmt: skip

    def _follow(self, name: str, now: float) -> Service:
        service = self.services[name] = Service(name, self._limits)
        service.balancer.narrow(self._aperture)
        self._strays[name] = now
        discovery = self._nacos.discover(name)
        if discovery.existed:
            self._exists(service)

        def take(snapshot: Snapshot) -> None:
            if (
                isinstance(snapshot, Known) and name in self.services
            ):  # a snapshot may come after the stop
                self._take(service, snapshot)

        self._followed[name] = discovery, discovery.subscribe(take)
        for other in self.named(name):
            service.balancer.keep_drained(other.balancer.drained())
        return service

    def _take(self, service: Service, snapshot: Known) -> None:
        """Use Nacos' answer at once; give Nacos time to answer before a copy from disk is used."""
        copy = self._copies.pop(service.name, None)
        if copy is not None:
            copy.cancel()
        if snapshot.source == "disk" and not snapshot.held:  # a held snapshot: Nacos has answered
            self._copies[service.name] = asyncio.get_running_loop().call_later(
                COPY_SECONDS, self._sync, service, snapshot.instances
            )
        else:
            self._sync(service, snapshot.instances)

    def _sync(self, service: Service, instances: Iterable[Instance]) -> None:
        known, before = service.known, set(service.balancer.members)
        for address in service.sync(instances, self._clock()):
            self._on_left(service.name, address)
        if known and (now := set(service.balancer.members)) != before:
            at = time.time()
            self.moves.extend(
                Move(at, service.name, address, address in now) for address in sorted(now ^ before)
            )
        if service.expected:
            self._exists(service)

    def _exists(self, service: Service) -> None:
        """Keep the service for good: a route names it, or it has or had an instance."""
        service.expected = True
        self._strays.pop(service.name, None)

    def _forget_strays(self, now: float, after: float) -> None:
        """Forget the strays that were first named more than `after` seconds ago."""
        # They stand in the order in which they were first named.
        old = takewhile(lambda stray: now - stray[1] > after, self._strays.items())
        for name in [name for name, _ in old if self.services[name].stray]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        _, stop = self._followed.pop(name)
        stop()
        del self.services[name], self._strays[name]
        self._nacos.forget(name)
