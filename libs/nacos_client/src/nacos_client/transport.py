"""httpx transports that call services by their Nacos name.

    client = httpx.AsyncClient(transport=AsyncNacosTransport(nacos))
    await client.post("http://skl-kmeans/api/skl-kmeans", json={"points": [[1, 2], [8, 9]]})

The Python twin of Spring's `@LoadBalanced RestTemplate`: own cluster first, weights, ejection,
retries within a budget, a deadline over all. For some hosts only, use httpx's `mounts`.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx

from nacos_client.client import Nacos
from nacos_client.discover import Discovery
from nacos_client.errors import NacosError
from nacos_client.instance_tls import InstanceTls
from nacos_client.ports import GROUP_END, ServiceKey
from nacos_client.service_caller import CallPolicy, ServiceCaller, TraceCall
from nacos_client.settings import NacosSettings
from nacos_client.snapshot import Unknown

DISCOVERY_SECONDS = 3.0
"""Seconds for which the first call of a service waits for Nacos to name the instances."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Called(Generic[T]):
    """A service that was called: its caller, and the transport that holds its connections.

    Services share no connection: one whose certificate was proved for a service proves nothing of
    another service that an instance at the same address claims to be.
    """

    caller: ServiceCaller
    inner: T


class _Directory(Generic[T]):
    """The discovery, the caller and the connections of each service that was called."""

    def __init__(
        self,
        nacos: Nacos | NacosSettings,
        group: str | None,
        tls: InstanceTls | None,
        inner: T | None,
        connect: Callable[[ssl.SSLContext], T],
    ) -> None:
        self.owned = isinstance(nacos, NacosSettings)
        self.nacos = Nacos(nacos) if isinstance(nacos, NacosSettings) else nacos
        self._group = group
        self._tls = tls
        self._inner = inner
        self._connect = connect
        self._trust = tls.context() if tls else httpx.create_ssl_context()
        self._called: dict[ServiceKey, _Called[T]] = {}

    def find(self, request: httpx.Request) -> tuple[Discovery, _Called[T], bool]:
        """Return a service's discovery and what calls it, and whether this is its first call."""
        name = str(request.extensions.get("nacos_service", request.url.host))
        group = None if GROUP_END in name else self._group
        try:
            discovery = self.nacos.discover(name, group=group)
        except ValueError as error:
            raise httpx.UnsupportedProtocol(str(error), request=request) from error
        service = discovery.service
        first = service not in self._called
        if first:
            caller = ServiceCaller(service.name, self.nacos.settings.cluster, self._tls)
            inner = self._connect(self._trust) if self._inner is None else self._inner
            self._called.setdefault(service, _Called(caller, inner))
        return discovery, self._called[service], first

    @property
    def inner(self) -> list[T]:
        """The transport that was given, or those that were made."""
        made = [called.inner for called in list(self._called.values())]
        return made if self._inner is None else [self._inner]


class AsyncNacosTransport(httpx.AsyncBaseTransport):
    """The transport that calls services by name for an `httpx.AsyncClient`.

    A `Nacos` that is given stays the caller's; settings make a `Nacos` that ends with the client.
    Responses carry `extensions["nacos_instance"]` and `["nacos_attempts"]`. A request may run twice
    if its method allows it, if its service declares it in the metadata `gateway.idempotent`, or if
    the caller says `extensions={"idempotent": True}`.

    A URL's host holds neither a group nor capital letters: `extensions={"nacos_service":
    "PAY_GROUP@@Pay"}` names a service that has them, whatever the URL's host and `group`.

    `tls` says which instances to trust where these listen for TLS, and is read once; without `tls`
    they are trusted as httpx trusts servers, by their IP address. `inner` sends the attempts, with
    connections and trust of its own.

    `trace` begins the trace of each call, which is told of its attempts and gives them fields, such
    as `traceparent`; a field that the request has already stays as the caller wrote it.
    """

    def __init__(
        self,
        nacos: Nacos | NacosSettings,
        *,
        group: str | None = None,
        policy: CallPolicy | None = None,
        inner: httpx.AsyncBaseTransport | None = None,
        tls: InstanceTls | None = None,
        trace: TraceCall | None = None,
    ) -> None:
        self._directory = _Directory[httpx.AsyncBaseTransport](
            nacos, group, tls, inner, lambda trust: httpx.AsyncHTTPTransport(verify=trust)
        )
        self._policy = policy or CallPolicy()
        self._trace = trace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an instance, and to others as the call's policy allows.

        Raises:
            httpx.UnsupportedProtocol: the request names no service.
            httpx.ConnectError: Nacos knows no instance, or no instance is left to try.
            httpx.TransportError: the failure of the last attempt.
        """
        discovery, called, first = self._directory.find(request)
        try:
            if first or isinstance(discovery.snapshot, Unknown):
                await discovery.known(DISCOVERY_SECONDS)
        except NacosError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        call = called.caller.call(request, lambda: discovery.snapshot, self._policy, self._trace)
        while True:
            attempt, seconds = call.attempt()
            try:
                async with asyncio.timeout(seconds):
                    response = await called.inner.handle_async_request(attempt)
            except (httpx.TransportError, TimeoutError, ssl.SSLError) as error:
                pause = call.failed(error)
                if pause is None:
                    raise _told(error, request) from error
            except BaseException:
                call.abandoned()
                raise
            else:
                pause = call.answered(response)
                if pause is None:
                    return response
                await response.aclose()
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Close the connections, and the `Nacos` if settings made it."""
        for inner in self._directory.inner:
            await inner.aclose()
        if self._directory.owned:
            await self._directory.nacos.close()


class NacosTransport(httpx.BaseTransport):
    """The same for an `httpx.Client`, also of many threads; see `AsyncNacosTransport`.

    The deadline of an attempt limits its longest silence, as synchronous httpx has no other limit.
    """

    def __init__(
        self,
        nacos: Nacos | NacosSettings,
        *,
        group: str | None = None,
        policy: CallPolicy | None = None,
        inner: httpx.BaseTransport | None = None,
        tls: InstanceTls | None = None,
        trace: TraceCall | None = None,
    ) -> None:
        self._directory = _Directory[httpx.BaseTransport](
            nacos, group, tls, inner, lambda trust: httpx.HTTPTransport(verify=trust)
        )
        self._policy = policy or CallPolicy()
        self._trace = trace

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an instance, and to others as the call's policy allows.

        Raises:
            httpx.UnsupportedProtocol: the request names no service.
            httpx.ConnectError: Nacos knows no instance, or no instance is left to try.
            httpx.TransportError: the failure of the last attempt.
        """
        discovery, called, first = self._directory.find(request)
        try:
            if first or isinstance(discovery.snapshot, Unknown):
                discovery.wait(DISCOVERY_SECONDS)
        except NacosError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        call = called.caller.call(request, lambda: discovery.snapshot, self._policy, self._trace)
        while True:
            attempt, _ = call.attempt()
            try:
                response = called.inner.handle_request(attempt)
            except (httpx.TransportError, ssl.SSLError) as error:
                pause = call.failed(error)
                if pause is None:
                    raise _told(error, request) from error
            except BaseException:
                call.abandoned()
                raise
            else:
                pause = call.answered(response)
                if pause is None:
                    return response
                response.close()
            threading.Event().wait(pause)

    def close(self) -> None:
        """Close the connections, and the `Nacos` if settings made it."""
        for inner in self._directory.inner:
            inner.close()
        if self._directory.owned:
            self._directory.nacos.stop()


def _told(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """Return the last failure as an error of httpx, with the request that the caller made."""
    if isinstance(error, httpx.TransportError):
        error.request = request
        return error
    if isinstance(error, ssl.SSLError):  # httpx lets those of a read through as they are
        return httpx.ReadError(str(error), request=request)
    return httpx.ReadTimeout("the attempt's time is up", request=request)
