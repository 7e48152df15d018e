"""The gateway and the calls by name decide the same: both ask `failover`, with the same facts."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from failover import IDEMPOTENT_METHODS, Instance
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import (
    HANDLED,
    RESPONSE_HANDLED,
    FieldCollector,
    Head,
    ResponseHead,
    check_head,
    check_response,
)
from gateway.http.request import Forwarded
from gateway.proxy.context import ProxyContext
from gateway.proxy.exchange import Phase, begin_exchange
from gateway.telemetry.records import Counters, RequestIds
from gateway.upstream.service import Service, ServiceLimits
from hypothesis import example, given, strategies as st
from nacos_client.service_caller import CallPolicy, ServiceCaller, judge
from nacos_client.snapshot import Known

SERVICE = "car-evaluation"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
METHODS = st.sampled_from(["POST", "PATCH"]) | st.sampled_from(
    sorted(IDEMPOTENT_METHODS - {"TRACE"})
)
DECLARATIONS = st.sampled_from(["", "POST /predict", "POST /other, PATCH /predict", "* /predict"])
STATUSES = st.sampled_from([502, 503, 504]) | st.integers(200, 599)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": st.sampled_from(["0", "3", "120", "soon", "-1", DATE]),
        "X-Gateway-Not-Processed": st.sampled_from(["1", "0", "true"]),
        "X-Gateway-Retry": st.sampled_from(["never", "Never", "budget-exhausted"]),
    },
)  # fmt: skip


def collected(names: frozenset[bytes], fields: dict[str, str]) -> FieldCollector:
    """Return fields as a parser would have handed them over."""
    collector = FieldCollector(names, MAX_FIELDS)
    collector.in_head = True
    for name, value in fields.items():
        collector.on_header(name.encode(), value.encode())
    return collector


def request_head(method: str) -> Head:
    """Return the head of a request for the service by its name."""
    fields = collected(HANDLED, {"Host": "h"})
    target = f"/{SERVICE}/predict".encode()
    return check_head(method.encode(), target, fields, most_bytes=0, http10=False, keep_alive=True)


def response_head(status: int, fields: dict[str, str]) -> ResponseHead:
    """Return the head of an instance's response."""
    more = {**fields, "Content-Length": "0"}
    collector = collected(RESPONSE_HANDLED, more)
    return check_response(status, collector, keep_alive=True, to_head=False)


@dataclass(eq=False)
class Wire:
    """A transport that keeps nothing."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def is_closing(self) -> bool:
        """Return False."""
        return False


@dataclass(eq=False)
class Client:
    """A client's connection, as far as an exchange uses it."""

    forwarded: Forwarded = field(default_factory=lambda: Forwarded(b"127.0.0.1", b"http", b"80"))
    transport: Any = field(default_factory=Wire)
    exchange: Any = None

    def pause_reading(self, *, paused: bool) -> None:
        """Stop or resume reading."""

    def response_ended(self, now: float, *, close: bool) -> None:
        """Go on."""


@dataclass(eq=False)
class Connection:
    """An idle connection to an instance."""

    pool: Any
    transport: Any = field(default_factory=Wire)
    ended: bool = False
    idle_since: float = field(default_factory=time.monotonic)
    reused: bool = True

    def nothing_to_read(self) -> bool:
        """Return True."""
        return True

    def send(self, consumer: Any, data: bytes, *, to_head: bool, whole: bool) -> None:
        """Send a request."""

    def drop(self) -> None:
        """Close."""


@dataclass
class Directory:
    """A directory of one service."""

    service: Service

    def find(self, name: str, now: float) -> Service:  # noqa: ARG002 - the port's signature
        """Return the service."""
        return self.service

    def prune(self, now: float) -> None:
        """Do nothing."""


def instances(declared: str) -> tuple[Instance, ...]:
    metadata = {"gateway.idempotent": declared}
    return tuple(Instance("127.0.0.1", port, metadata=metadata) for port in (1, 2, 3))


def gateway_retries(method: str, declared: str, status: int, fields: dict[str, str]) -> bool:
    """Return whether the gateway's exchange goes on after such a response to its first attempt."""
    service = Service(SERVICE, ServiceLimits())
    service.sync(instances(declared), time.monotonic())
    for pool in service.pools.values():
        pool.put(Connection(pool))  # type: ignore[arg-type] # as far as an exchange uses one
    counters = Counters(RequestIds(time.time), None)
    context = ProxyContext(Directory(service), counters, time.monotonic, lambda: 0.5)
    exchange = begin_exchange(context, Client(), request_head(method))
    exchange.end_body(time.monotonic())
    assert exchange.phase is Phase.SENT
    exchange.response_head(response_head(status, fields))
    assert exchange.phase in (Phase.ANSWERING, Phase.PAUSED, Phase.SENT)
    return exchange.phase is not Phase.ANSWERING


def caller_retries(method: str, declared: str, status: int, fields: dict[str, str]) -> bool:
    """Return whether a call by name goes on after such a response to its first attempt."""
    known = Known(instances(declared), "nacos", time.monotonic())
    request = httpx.Request(method, f"http://{SERVICE}/predict", content=b"")
    call = ServiceCaller(SERVICE, "DEFAULT").call(request, lambda: known, CallPolicy())
    call.attempt()
    return call.answered(httpx.Response(status, headers=fields)) is not None


@example("POST", "POST /predict", 502, {})
@example("POST", "POST /predict", 503, {"X-Gateway-Retry": "never"})
@example("POST", "", 503, {"X-Gateway-Not-Processed": "1"})
@example("POST", "", 503, {"Retry-After": "soon"})
@given(method=METHODS, declared=DECLARATIONS, status=STATUSES, fields=FIELDS)
def test_the_same_response_leads_to_the_same_next_step(
    method: str, declared: str, status: int, fields: dict[str, str]
):
    """Retried by both or passed on by both, whatever the method, the declaration and the fields."""
    facts = (method, declared, status, fields)

    assert gateway_retries(*facts) is caller_retries(*facts)


@given(status=STATUSES, fields=FIELDS, wall=st.floats(0, 2e9))
def test_the_same_response_is_judged_the_same(status: int, fields: dict[str, str], wall: float):
    """Outcome, the pause asked for, and whether another attempt is forbidden."""
    response = httpx.Response(status, headers=fields)

    assert response_head(status, fields).judge(wall) == judge(response, wall)
