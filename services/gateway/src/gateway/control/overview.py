"""The gateways of one name as an operator sees them all: found in Nacos, asked one by one.

A gateway is asked for its metrics, which want no token: whoever registers a gateway in Nacos, and
so is asked, learns nothing.
"""

import asyncio
import math
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import httpx
from failover import Instance
from prometheus_client.parser import text_string_to_metric_families

from gateway.control.gateways import ADMIN, is_loopback

ANSWER_SECONDS = 5.0
"""Seconds that a gateway has to answer."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of the longest answer."""
AT_ONCE = 16
"""Gateways that are asked at a time."""


@dataclass(frozen=True, slots=True)
class GatewayView:
    """What a gateway tells of itself.

    Attributes:
        address: of its data port, as Nacos has it.
        trouble: why it has told nothing; "" if it has.
        version: of the gateway.
        form: `compiled` or `interpreted`.
        ready: it wants requests.
        divided_by: gateways among which it divides the limits of routes.
        workers: how many follow the orders with this MD5, by MD5.
        ejected: services and addresses of instances that it has ejected.
        drained: those that it keeps out of traffic for an operator.
    """

    address: str
    trouble: str = ""
    version: str = ""
    form: str = ""
    ready: bool = False
    divided_by: int = 0
    workers: Mapping[str, int] = field(default_factory=dict)
    ejected: frozenset[tuple[str, str]] = frozenset()
    drained: frozenset[tuple[str, str]] = frozenset()

    def follows(self, md5: str) -> bool:
        """Return whether all workers follow the orders with this MD5."""
        return self.workers.keys() == {md5}


async def ask_all(gateways: Iterable[Instance]) -> list[GatewayView]:
    """Ask every gateway; returns what each tells, by address."""
    turn = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as http:

        async def ask(gateway: Instance) -> GatewayView:
            async with turn:
                return await _ask(http, gateway)

        views = await asyncio.gather(*map(ask, gateways))
    return sorted(views, key=lambda view: view.address)


async def _ask(http: httpx.AsyncClient, gateway: Instance) -> GatewayView:
    try:
        place = admin_address(gateway)
    except ValueError as error:
        return GatewayView(gateway.address, str(error))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return read_view(gateway.address, await _fetched(http, f"http://{place}/metrics"))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        told = str(error) or "too slow"
        return GatewayView(gateway.address, f"no answer from its admin port at {place}: {told}")


async def _fetched(http: httpx.AsyncClient, url: str) -> str:
    """Read a bounded answer.

    Raises:
        ValueError: the answer is too long, or no answer of a gateway.
        httpx.HTTPError: there is none.
    """
    data = bytearray()
    async with http.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"status {answer.status_code}")
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
    return data.decode()


def admin_address(gateway: Instance) -> str:
    """Return `host:port` of a gateway's admin port, as it can be reached from this host.

    Raises:
        ValueError: the gateway does not say where, or it can be reached from its own host alone.
    """
    host, colon, port = gateway.metadata.get(ADMIN, "").rpartition(":")
    if not (colon and port.isdecimal()):
        raise ValueError(f"its metadata {ADMIN} do not say where its admin port is")
    if not host:
        return f"{gateway.host}:{port}"
    if is_loopback(host.strip("[]")) and not is_own(gateway.ip):
        raise ValueError(
            f"its admin port is at {host}:{port} of its own host: run this command there, or set "
            "GATEWAY_ADMIN_HOST and GATEWAY_ADMIN_TOKEN of the gateway"
        )
    return f"{host}:{port}"


def is_own(ip: str) -> bool:
    """Return whether an address is one of this host."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((ip, 0))
        except OSError:
            return False
    return True


def read_view(address: str, metrics: str) -> GatewayView:
    """Read what a gateway tells of itself from the text of its metrics.

    Raises:
        ValueError: the text is none of a gateway.
    """
    build: Mapping[str, str] = {}
    numbers: dict[str, float] = {}
    workers: dict[str, int] = {}
    out: dict[str, set[tuple[str, str]]] = {"ejected": set(), "drained": set()}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = sample.labels
            match sample.name:
                case _ if not math.isfinite(sample.value):
                    raise ValueError(f"{sample.name} is {sample.value}: no gateway answers there")
                case "gateway_build_info":
                    build = labels
                case "service_ready" | "gateway_limit_gateways":
                    numbers[sample.name] = sample.value
                case "gateway_orders_followed":
                    workers[labels.get("version", "")] = int(sample.value)
                case "gateway_instance_ejected" | "gateway_instance_drained" if sample.value:
                    kind = sample.name.rpartition("_")[2]
                    out[kind].add((labels.get("service", ""), labels.get("instance", "")))
                case _:
                    pass
    if not build:
        raise ValueError("no gateway answers there")
    return GatewayView(
        address,
        version=build.get("version", ""),
        form=build.get("form", ""),
        ready=bool(numbers.get("service_ready")),
        divided_by=int(numbers.get("gateway_limit_gateways", 0)),
        workers=workers,
        ejected=frozenset(out["ejected"]),
        drained=frozenset(out["drained"]),
    )
