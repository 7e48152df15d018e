"""The canaries of a service: instances that only callers who ask for them meet.

An instance that was started with NACOS_CANARY=true is a canary: it has the metadata
`gateway.canary: "true"`, by which gateways and `NacosTransport` leave it out, and no weight, for
which callers in Java leave it out. The document `SERVICE.canary` says which instances serve instead
of those that were started to. Every instance with NACOS_CANARY, true or false, follows it, so that
one document turns all of them at once, for every caller.

An instance that serves steps back only once a successor is seen to serve, and one that was started
to serve returns when no successor is left: no document, however wrong, leaves a service without an
instance.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from failover import Instance
from pydantic import BaseModel, ConfigDict, Field

from nacos_client.discover import Discovery
from nacos_client.snapshot import Known
from nacos_client.watch import Watched

log = logging.getLogger(__name__)

LABEL = "gateway.canary"
Labels = Annotated[dict[str, str], Field(max_length=8)]


class CanaryDocument(BaseModel):
    """The document `SERVICE.canary`.

    Attributes:
        serving: metadata of the instances that serve; all others are canaries. Without any, the
            instances are what they were started as.
        before: the same, before the last promotion: what a command that takes it back restores.
    """

    model_config = ConfigDict(frozen=True)

    serving: Labels = Field(default_factory=dict)
    before: Labels = Field(default_factory=dict)


def data_id(service: str) -> str:
    """Return the data id of a service's document."""
    return f"{service}.canary"


def has(metadata: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether metadata have all these labels."""
    return all(metadata.get(name) == value for name, value in labels.items())


def serves(instance: Instance) -> bool:
    """Return whether every caller may meet an instance."""
    able = instance.enabled and instance.healthy and instance.weight > 0
    return able and not instance.canary


def is_canary(
    own: Mapping[str, str],
    serving: Mapping[str, str],
    instances: Iterable[Instance] | None,
    *,
    started_as: bool,
    was: bool,
) -> bool:
    """Return whether an instance is a canary from now on.

    Args:
        own: its metadata.
        serving: as the document has it; empty if there is no document.
        instances: those of its service, as Nacos lists them; None while that is not known.
        started_as: what NACOS_CANARY says.
        was: whether it is one so far.
    """
    if has(own, serving) if serving else not started_as:
        return False
    if instances is None or (started_as and was):
        return True
    if serving:
        successors = (one for one in instances if has(one.metadata, serving))
    else:
        successors = (one for one in instances if not has(one.metadata, own))
    return any(map(serves, successors))


def published(instance: Instance, *, canary: bool) -> Instance:
    """Return an instance as it is registered, a canary or not."""
    if not canary:
        return instance
    labels = MappingProxyType({**instance.metadata, LABEL: "true"})
    return replace(instance, weight=0.0, metadata=labels)


class CanaryFollower:
    """Follows the document and the instances of a service, and decides for one of its instances."""

    def __init__(
        self, watched: Watched[CanaryDocument], discovery: Discovery, *, started_as: bool
    ) -> None:
        """Prepare to follow.

        Args:
            watched: the service's document.
            discovery: the service's instances.
            started_as: what NACOS_CANARY says.
        """
        self.canary = started_as
        self._watched = watched
        self._discovery = discovery
        self._started_as = started_as
        self._following = False

    async def start(self, own: Callable[[], Mapping[str, str]], tell: Callable[[], None]) -> None:
        """Decide once, which waits three seconds for the document at most; then follow.

        Args:
            own: returns the metadata of the instance.
            tell: called when `canary` has changed.
        """
        if self._following:
            return
        self._following = True
        await self._watched.start()

        def decide(_: object = None) -> None:
            snapshot = self._discovery.snapshot
            canary = is_canary(
                own(),
                self._watched.value.serving,
                snapshot.instances if isinstance(snapshot, Known) else None,
                started_as=self._started_as,
                was=self.canary,
            )
            if canary is not self.canary:
                self.canary = canary
                log.info("%s: %s", self._discovery.service, "a canary" if canary else "serves")
                tell()

        decide()
        self._watched.subscribe(decide)
        self._discovery.subscribe(decide)
