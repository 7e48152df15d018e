"""The services that a client follows, each with one `Discovery`, whichever thread asks first."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

from nacos_client.discover import Discovery
from nacos_client.errors import NacosError
from nacos_client.ports import Feed, ServiceKey
from nacos_client.runtime import Runtime
from nacos_client.store import Store


class Discoveries:
    """The discoveries of one client; its methods may be called from any thread."""

    def __init__(self, runtime: Runtime, feed: Callable[[], Feed], store: Store) -> None:
        self._runtime = runtime
        self._feed = feed
        self._store = store
        self._lock = threading.Lock()
        self._followed: dict[ServiceKey, tuple[Discovery, Future[None]]] = {}
        self._leaving: dict[ServiceKey, Future[None]] = {}

    def __iter__(self) -> Iterator[Discovery]:
        return (discovery for discovery, _ in list(self._followed.values()))

    def follow(self, service: ServiceKey) -> Discovery:
        """Return the discovery of a service; the first call starts to follow the service."""
        feed = self._feed()
        with self._lock:
            if service not in self._followed:
                discovery = Discovery(self._runtime, feed, service, self._store)
                work = _after(self._leaving.get(service), discovery)
                self._followed[service] = discovery, self._runtime.submit(work)
            return self._followed[service][0]

    def forget(self, service: ServiceKey) -> None:
        """Stop following a service; nothing happens if the service is not followed."""
        with self._lock:
            if service in self._followed:
                self._followed.pop(service)[1].cancel()
                leaving = {key: end for key, end in self._leaving.items() if not end.done()}
                end = self._runtime.submit(_leave(self._feed(), service))
                self._leaving = leaving | {service: end}

    def clear(self) -> None:
        """Stop following every service; their subscriptions end with the connection."""
        with self._lock:
            for _, following in self._followed.values():
                following.cancel()
            self._followed.clear()
            self._leaving.clear()


async def _leave(feed: Feed, service: ServiceKey) -> None:
    with suppress(NacosError):  # without a connection there is no subscription either
        await feed.unsubscribe(service)


async def _after(end: Future[None] | None, discovery: Discovery) -> None:
    """Follow a service once its earlier subscription is over.

    A connection has one subscription for each service: a late end of the earlier subscription
    would end the new one.
    """
    if end is not None:
        await asyncio.wrap_future(end)
    await discovery.follow()
