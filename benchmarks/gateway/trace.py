"""Count the calls of one warm GET on the data path, and how often they cross from file to file.

Client, gateway and instance share one process and one asyncio loop and talk over loopback sockets.
Both connections are open and were used before, the service has one instance, there is no route
document and no access log. These things are counted:

- calls: the entries into functions of the packages `gateway` and `failover`, from Python or from a
  parser's callback; calls into other libraries and into C are left out;
- crossings: those calls whose caller, the nearest function of the two packages on the stack, is in
  another module; the calls that the event loop makes come from neither package and cross nothing;
- modules: those in which at least one of the calls ends;
- two-way pairs: two modules, each of which calls the other.

A timer that runs during a request adds calls, so several requests are traced and the trace with the
fewest calls counts.
"""

import argparse
import asyncio
import collections
import platform
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from failover import Instance
from gateway.settings import GatewaySettings
from gateway.worker import data_path
from nacos_client.testing import FakeNacos

from benchmarks.measure import report

PACKAGES = ("gateway", "failover")
SERVICE = "traced"
REQUEST = b"GET /traced/hello HTTP/1.1\r\nHost: gateway\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
WARM_UP, TRACED = 20, 15
"""Requests before the trace begins, and requests that are traced."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function of the two packages.

    Attributes:
        depth: how many of the calls are under way around this one.
        caller: the module that makes the call; empty if it is the event loop.
        module: the module that is called.
        function: the name of the function, with that of its class.
    """

    depth: int
    caller: str
    module: str
    function: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of one request, in the order in which they are made."""

    calls: tuple[Call, ...]

    @property
    def modules(self) -> list[str]:
        """Return the modules that are entered."""
        return sorted({call.module for call in self.calls})

    @property
    def pairs(self) -> collections.Counter[tuple[str, str]]:
        """Return how many calls each module makes into each other module."""
        return collections.Counter(
            (call.caller, call.module)
            for call in self.calls
            if call.caller and call.caller != call.module
        )

    @property
    def crossings(self) -> int:
        """Return how many calls go from one module to another."""
        return self.pairs.total()

    @property
    def two_way(self) -> list[tuple[str, str]]:
        """Return the pairs of modules that call each other."""
        pairs = self.pairs
        return sorted((a, b) for a, b in pairs if a < b and (b, a) in pairs)


def traced_module(frame: FrameType) -> str:
    """Return the name of a frame's module if it is traced, else an empty string."""
    name: str = frame.f_globals.get("__name__", "")
    return name if name.partition(".")[0] in PACKAGES else ""


async def trace(step: Callable[[], Awaitable[object]]) -> Trace:
    """Record the calls of the two packages in this thread until `step` is complete."""
    calls: list[Call] = []
    callers: list[str] = []

    def record(frame: FrameType, event: str, _: Any) -> None:
        if event in {"call", "return"} and (module := traced_module(frame)):
            if event == "return":
                callers.pop()
                return
            caller = callers[-1] if callers else ""
            calls.append(Call(len(callers), caller, module, frame.f_code.co_qualname))
            callers.append(module)

    sys.setprofile(record)
    try:
        await step()
    finally:
        sys.setprofile(None)
    return Trace(tuple(calls))


class InstanceProtocol(asyncio.Protocol):
    """An instance that sends the same response to every request; a request is one segment here."""

    def __init__(self, accepted: list[asyncio.BaseTransport]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._accepted.append(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond."""
        assert data.endswith(b"\r\n\r\n")
        self._transport.write(RESPONSE)


@asynccontextmanager
async def gateway_address(instance: Instance) -> AsyncIterator[tuple[str, int]]:
    """Serve a gateway in this process, with one instance in its Nacos; the data port's address."""
    nacos_server = FakeNacos()
    nacos_server.put_instance(SERVICE, instance)
    sock = socket.create_server(("127.0.0.1", 0))
    settings = GatewaySettings.model_validate(
        {"GATEWAY_ACCESS_LOG": False, "GATEWAY_UPSTREAM_IDLE": 600}
    )
    async with nacos_server.client() as nacos, data_path(settings, nacos, sock) as (port, _):
        await port.open()
        try:
            yield port.address
        finally:
            await port.drain()
            await port.close()


async def warm_get() -> Trace:
    """Trace GET requests through a gateway that is warm; return the trace with the fewest calls."""
    accepted: list[asyncio.BaseTransport] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: InstanceProtocol(accepted), "127.0.0.1", 0
    )
    async with server, gateway_address(Instance(*server.sockets[0].getsockname())) as address:
        reader, writer = await asyncio.open_connection(*address)

        async def get() -> None:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(2) == b"ok"

        for _ in range(WARM_UP):
            await get()
        traces = [await trace(get) for _ in range(TRACED)]
        assert len(accepted) == 1, "the gateway did not keep its connection to the instance"
        writer.close()
    return min(traces, key=lambda found: len(found.calls))


def markdown(found: Trace) -> str:
    """Render the counts, the pairs of modules, and the whole trace as an indented list."""
    assert __doc__ is not None
    counts = report.table(
        ("one warm GET", "count"),
        [
            ("modules entered", len(found.modules)),
            ("calls", len(found.calls)),
            ("crossings from one module to another", found.crossings),
            ("two-way pairs of modules", len(found.two_way)),
        ],
    )
    two_way = [f"- `{a}` and `{b}`" for a, b in found.two_way] or ["None."]
    pairs = [(f"`{a}`", f"`{b}`", count) for (a, b), count in sorted(found.pairs.items())]
    steps = [
        f"{'  ' * call.depth}{call.module} {call.function}"
        + ("" if call.caller == call.module else "  *")
        for call in found.calls
    ]
    return "\n\n".join(
        (
            "# One warm GET through the gateway, call by call",
            __doc__.partition("\n\n")[2].strip(),
            f"Python {platform.python_version()}, the interpreted gateway.",
            counts,
            "## Two-way pairs",
            "\n".join(two_way),
            "## Calls between modules",
            report.table(("from", "to", "calls"), pairs),
            "## The calls, in order",
            "A star marks a call that comes from another module or from the event loop.",
            "\n".join(["```text", *steps, "```"]),
        )
    )


def main() -> int:
    """Trace, print the counts, write the report."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    found = asyncio.run(warm_get())
    text = markdown(found)
    print(text[text.index("| one warm GET") : text.index("## The calls, in order")])
    data = {
        "python": platform.python_version(),
        "modules": found.modules,
        "calls": len(found.calls),
        "crossings": found.crossings,
        "two_way": found.two_way,
        "trace": [asdict(call) for call in found.calls],
    }
    report.write("trace", markdown=text, data=data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
