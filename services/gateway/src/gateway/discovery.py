"""The directory behind which Nacos is: services are followed once asked for, reads never wait.

A stranger who asks for names that do not exist must not fill memory or Nacos: a name is looked up
only if it could be one, at most `MAX_STRAYS` of which nothing is known to exist are followed, and
one that turns out to be absent is answered from memory for a while and then forgotten; so is one
of which nothing is known. How many services exist is up to Nacos.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Protocol

from failover import Instance
from nacos_client import Discovery, Known, Snapshot

from gateway.problems import Refusal
from gateway.service import NAME, Limits, Service

MAX_STRAYS = 256
MAX_SERVICES = 4096
"""Those that have or had an instance, and those that routes name."""
FORGET_ABSENT = 10.0
"""Seconds for which a name is known to be absent."""
MAKE_ROOM = 1.0
"""The same when there is no room for another name: this bounds how often Nacos is asked."""
COPY_SECONDS = 0.5
"""How long Nacos may take to answer before a copy from an earlier life counts."""
_NAME = re.compile(NAME)


class Registry(Protocol):
    """What is needed of Nacos."""

    def discover(self, service: str) -> Discovery:
        """Follow a service."""

    def forget(self, service: str) -> None:
        """Stop following it."""


class NacosDirectory:
    """Services by name, each fed by its discovery."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        clock: Callable[[], float],
        *,
        gone: Callable[[str, str], None],
    ) -> None:
        """Follow nothing yet.

        Args:
            registry: Nacos.
            limits: of each service.
            clock: monotonic seconds.
            gone: told the service and address of every instance that left.
        """
        self.services: dict[str, Service] = {}
        self._registry = registry
        self._limits = limits
        self._clock = clock
        self._gone = gone
        self._followed: dict[str, tuple[Discovery, Callable[[], None]]] = {}
        self._strays: dict[str, float] = {}
        self._copies: dict[str, asyncio.TimerHandle] = {}

    def find(self, name: str, now: float) -> Service | None:
        """The service, or None if it cannot exist.

        Raises:
            Refusal: too many others were asked for, so nobody knows (503).
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

    def prune(self, now: float) -> None:
        """Close idle connections and forget what is absent."""
        for service in self.services.values():
            service.prune(now)
        self._forget_strays(now, FORGET_ABSENT)

    def ages(self) -> Mapping[str, float]:
        """Seconds since Nacos last vouched for each service's instances."""
        return {
            name: discovery.snapshot.age
            for name, (discovery, _) in self._followed.items()
            if isinstance(discovery.snapshot, Known) and not self.services[name].absent
        }

    def _check_room(self, now: float) -> None:
        if len(self.services) - len(self._strays) >= MAX_SERVICES:
            raise Refusal(503, "destination_unavailable",
                          "Too many services are in use.", retry_after=1)  # fmt: skip
        if len(self._strays) >= MAX_STRAYS:
            self._forget_strays(now, MAKE_ROOM)
        if len(self._strays) >= MAX_STRAYS:
            raise Refusal(503, "destination_unavailable",
                          "Too many services are looked up.", retry_after=1)  # fmt: skip

    def _follow(self, name: str, now: float) -> Service:
        service = self.services[name] = Service(name, self._limits)
        self._strays[name] = now
        discovery = self._registry.discover(name)
        if discovery.existed:
            self._exists(service)

        def take(snapshot: Snapshot) -> None:
            if isinstance(snapshot, Known) and name in self.services:  # may come after the stop
                self._take(service, snapshot)

        self._followed[name] = discovery, discovery.subscribe(take)
        return service

    def _take(self, service: Service, snapshot: Known) -> None:
        """Use Nacos' word at once; leave it time to speak before a copy from disk is used."""
        copy = self._copies.pop(service.name, None)
        if copy is not None:
            copy.cancel()
        if snapshot.source == "disk" and not snapshot.held:  # if held, Nacos has spoken
            self._copies[service.name] = asyncio.get_running_loop().call_later(
                COPY_SECONDS, self._sync, service, snapshot.instances
            )
        else:
            self._sync(service, snapshot.instances)

    def _sync(self, service: Service, instances: Iterable[Instance]) -> None:
        for address in service.sync(instances, self._clock()):
            self._gone(service.name, address)
        if service.expected:
            self._exists(service)

    def _exists(self, service: Service) -> None:
        """Never forget it: a route names it, or it has or had an instance."""
        service.expected = True
        self._strays.pop(service.name, None)

    def _forget_strays(self, now: float, after: float) -> None:
        """Forget the names without a service that were first asked for that many seconds ago."""
        # The first asked for come first.
        old = takewhile(lambda stray: now - stray[1] > after, self._strays.items())
        for name in [name for name, _ in old if self.services[name].stray]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        _, stop = self._followed.pop(name)
        stop()
        del self.services[name], self._strays[name]
        self._registry.forget(name)
