"""The directory behind which Nacos is: services are followed once asked for, reads never wait.

A stranger who asks for names that do not exist must not fill memory or Nacos: a name is looked up
only if it could be one, at most `MAX_FOLLOWED` are followed, and one that turns out to be absent is
answered from memory for a while and then forgotten; so is one of which nothing is known.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from nacos_client import Discovery, Known, Snapshot

from gateway.problems import Refusal
from gateway.service import NAME, Limits, Service

MAX_FOLLOWED = 256
FORGET_ABSENT = 10.0
"""Seconds for which a name is known to be absent."""
MAKE_ROOM = 1.0
"""The same when there is no room for another name: this bounds how often Nacos is asked."""
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
        self._followed: dict[str, tuple[Discovery, float]] = {}
        self._stops: dict[str, Callable[[], None]] = {}

    def find(self, name: str, now: float) -> Service | None:
        """The service, or None if it cannot exist.

        Raises:
            Refusal: too many others were asked for just now, so nobody knows (503).
        """
        service = self.services.get(name)
        if service is None and _NAME.fullmatch(name):
            if len(self.services) >= MAX_FOLLOWED:
                self._forget_stray(now, MAKE_ROOM)
            if len(self.services) >= MAX_FOLLOWED:
                raise Refusal(503, "destination_unavailable",
                              "Too many services are looked up.", retry_after=1)  # fmt: skip
            service = self._follow(name, now)
        return service

    def expect(self, names: Iterable[str], now: float) -> None:
        """Follow services that routes name; without an instance they are down, not absent."""
        for name in names:
            service = self.services.get(name) or self._follow(name, now)
            service.expected = True

    def prune(self, now: float) -> None:
        """Close idle connections and forget what is absent."""
        for service in self.services.values():
            service.prune(now)
        self._forget_stray(now, FORGET_ABSENT)

    def ages(self) -> Mapping[str, float]:
        """Seconds since Nacos last vouched for each service's instances."""
        return {
            name: discovery.snapshot.age
            for name, (discovery, _) in self._followed.items()
            if isinstance(discovery.snapshot, Known) and not self.services[name].absent
        }

    def _follow(self, name: str, now: float) -> Service:
        service = self.services[name] = Service(name, self._limits)
        discovery = self._registry.discover(name)
        self._followed[name] = discovery, now

        def take(snapshot: Snapshot) -> None:
            if isinstance(snapshot, Known):
                for address in service.sync(snapshot.instances, self._clock()):
                    self._gone(name, address)

        self._stops[name] = discovery.subscribe(take)
        return service

    def _forget_stray(self, now: float, after: float) -> None:
        """Forget the names without a service that were first asked for that many seconds ago."""
        for name, service in list(self.services.items()):
            if service.stray and now - self._followed[name][1] > after:
                self._forget(name)

    def _forget(self, name: str) -> None:
        self._stops.pop(name)()
        del self.services[name], self._followed[name]
        self._registry.forget(name)
