"""A gateway on real sockets, clients that say what they are told, instances that misbehave."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from failover import Instance
from gateway.downstream.listener import DataPort
from gateway.proxy.context import PortLimits, ProxyContext
from gateway.routing.document import RoutesDocument
from gateway.routing.table import Table
from gateway.telemetry.records import Counters, RequestIds
from gateway.upstream.service import Service, ServiceLimits

SERVICE = "car-evaluation"
DECLARED = {"gateway.idempotent": "POST /declared, POST /v2/*/infer"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DEADLINE = 10.0


@dataclass
class Request:
    """What an instance received."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str:
        """The one value of a field."""
        (value,) = self.all(name)
        return value


@dataclass
class Reply:
    """What a client received; `cut`: the connection ended before the answer did."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: bool = False

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str:
        """The one value of a field."""
        (value,) = self.all(name)
        return value

    @property
    def attempts(self) -> int:
        """How many instances were asked."""
        return int(self.one("x-gateway-attempts"))


async def read_head(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]], bytes]:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return first, [tuple(line.split(": ", 1)) for line in lines], raw


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def read_body(reader: asyncio.StreamReader, headers: list[tuple[str, str]]) -> bytes:
    named = {name.lower(): value for name, value in headers}
    if "transfer-encoding" in named:
        return await read_chunks(reader)
    return await reader.readexactly(int(named.get("content-length", "0")))


class Wire:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def reply(self, *, to: str = "GET") -> Reply:
        """Read one response."""
        async with asyncio.timeout(DEADLINE):
            first, headers, _ = await read_head(self.reader)
            status = int(first.split(" ")[1])
            if status == 100:
                return Reply(status, headers, b"")
            named = {name.lower(): value for name, value in headers}
            body, cut = b"", False
            try:
                if to == "HEAD" or status in (204, 304):
                    pass
                elif "content-length" in named or "transfer-encoding" in named:
                    body = await read_body(self.reader, headers)
                else:
                    body = await self.reader.read()
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                body, cut = getattr(error, "partial", b""), True
            return Reply(status, headers, body, cut)

    async def ended(self) -> bool:
        """Whether the gateway closes the connection without another byte."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
            return True

    def reset(self) -> None:
        """Close with an RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()


Behaviour = Callable[["FakeInstance", Wire], Awaitable[None]]


@dataclass
class FakeInstance:
    """An instance that does what its behaviour says, and counts what it executed."""

    behaviour: Behaviour
    port: int = 0
    executed: list[Request] = field(default_factory=list)
    connections: int = 0
    open: set[Wire] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def stop(self) -> None:
        """Listen no more, and close every connection."""
        if self.server is not None:
            self.server.close()
        for wire in list(self.open):
            wire.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        wire = Wire(reader, writer)
        self.connections += 1
        self.open.add(wire)
        try:
            await self.behaviour(self, wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(wire)
            wire.close()

    async def take(self, wire: Wire) -> Request:
        """Read a whole request: from here on it counts as executed."""
        line, headers, raw = await read_head(wire.reader)
        body = await read_body(wire.reader, headers)
        request = Request(line, headers, body, raw)
        self.executed.append(request)
        return request


def answering(data: bytes) -> Behaviour:
    """Answer every request with these bytes."""

    async def behaviour(instance: FakeInstance, wire: Wire) -> None:
        while True:
            await instance.take(wire)
            wire.send(data)

    return behaviour


well = answering(OK)
"""Answers every request."""


def answering_after(go: asyncio.Event) -> Behaviour:
    """Answer every request once `go` is set."""

    async def behaviour(instance: FakeInstance, wire: Wire) -> None:
        while True:
            await instance.take(wire)
            await go.wait()
            wire.send(OK)

    return behaviour


class Holding:
    """Answer every connection's request once `go` is set; count those that wait at a time."""

    def __init__(self, data: bytes) -> None:
        self.go = asyncio.Event()
        self.under_way = self.most = 0
        self._data = data

    async def __call__(self, instance: FakeInstance, wire: Wire) -> None:
        """Take one request."""
        await instance.take(wire)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        wire.send(self._data)


class StaticDirectory:
    """A directory of fixed services."""

    def __init__(self, services: Mapping[str, Iterable[Instance]], limits: ServiceLimits) -> None:
        self.services: dict[str, Service] = {}
        for name, instances in services.items():
            self.services[name] = Service(name, limits)
            self.services[name].sync(instances, time.monotonic())

    def find(self, name: str, now: float) -> Service | None:  # noqa: ARG002 - the port's signature
        """Look the service up."""
        return self.services.get(name)

    def prune(self, now: float) -> None:
        """Close idle connections."""
        for service in self.services.values():
            service.prune(now)


@dataclass
class Gateway:
    """A data port in this process."""

    port: DataPort
    context: ProxyContext
    directory: StaticDirectory
    stack: contextlib.AsyncExitStack

    async def connect(self, **options) -> Wire:
        """Open a connection; closed after the test."""
        wire = Wire(*await asyncio.open_connection(*self.port.address, **options))
        self.stack.callback(wire.close)
        return wire

    async def ask(self, raw: bytes, *, to: str = "GET") -> Reply:
        """Say it on a connection of its own."""
        wire = await self.connect()
        try:
            wire.send(raw)
            return await wire.reply(to=to)
        finally:
            wire.close()

    async def call(
        self, path: str = "/declared", method: str = "POST", body: bytes = b"x", **headers: str
    ) -> Reply:
        """Send one well-formed request."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"{method} /{SERVICE}{path} HTTP/1.1\r\nHost: h\r\n{lines}"
        bodyless = method in ("GET", "HEAD")
        if not bodyless:
            head += f"Content-Length: {len(body)}\r\n"
        raw = f"{head}\r\n".encode() + (b"" if bodyless else body)
        return await self.ask(raw, to=method)

    @property
    def service(self):
        """The service behind this gateway."""
        return self.directory.services[SERVICE]

    def prefer(self, instance: FakeInstance) -> None:
        """Have an instance chosen first: it seems to be a thousand times as quick."""
        for member in self.service.balancer.members.values():
            member.cost = 0.001 if member.instance.port == instance.port else 1.0


class World:
    """What a test builds, and what is torn down after it."""

    well = staticmethod(well)
    answering = staticmethod(answering)
    answering_after = staticmethod(answering_after)
    holding = Holding
    OK = OK

    def __init__(self) -> None:
        self.stack = contextlib.AsyncExitStack()

    async def instance(
        self,
        behaviour: Behaviour = well,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> FakeInstance:
        """Start an instance."""
        instance = FakeInstance(behaviour)
        server = await asyncio.start_server(instance.serve, host, 0, limit=2**20, ssl=tls)
        instance.server, instance.port = server, server.sockets[0].getsockname()[1]
        self.stack.push_async_callback(instance.stop)
        return instance

    @staticmethod
    def instance_at(instance: FakeInstance, metadata: dict[str, str]) -> Instance:
        """Return what discovery says of an instance with these labels."""
        return Instance("127.0.0.1", instance.port, metadata=metadata)

    def refusing(self) -> FakeInstance:
        """An address where nobody listens."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.stack.callback(sock.close)
        return FakeInstance(well, sock.getsockname()[1])

    def black_hole(self) -> FakeInstance:
        """An address whose connections are never accepted: its queue is full."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        self.stack.callback(sock.close)
        self.fill(sock)
        return FakeInstance(well, sock.getsockname()[1])

    def fill(self, sock: socket.socket) -> None:
        """Fill the queue of a socket that listens with room for none."""
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003 - as in socket
            with contextlib.suppress(BlockingIOError):
                filler.connect(sock.getsockname())
            self.stack.callback(filler.close)

    async def gateway(
        self,
        *instances: FakeInstance,
        table: Table | None = None,
        port_limits: PortLimits | None = None,
        limits: ServiceLimits | None = None,
        metadata: dict[str, str] | None = None,
        draws: Callable[[], float] | None = None,
        host: str = "127.0.0.1",
        **port_options,
    ) -> Gateway:
        """Start a gateway in front of instances."""
        limits = limits or ServiceLimits()
        found = [
            Instance("127.0.0.1", one.port, metadata=DECLARED if metadata is None else metadata)
            for one in instances
        ]
        directory = StaticDirectory({SERVICE: found}, limits)
        context = ProxyContext(
            directory, Counters(RequestIds(time.time), None), time.monotonic,
            draws or random.Random(5).random,  # noqa: S311 - a seeded choice of instances
            table=table or Table(), port_limits=port_limits or PortLimits(),
            service_limits=limits,
        )  # fmt: skip
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.bind((host, 0))
        port = DataPort(context, sock, **port_options)
        await port.open()

        async def stop() -> None:
            await port.close()
            for connection in list(port.connections):
                connection.reset()
            for service in directory.services.values():
                for pool in service.pools.values():
                    pool.close()
            port.stop_accepting()

        self.stack.push_async_callback(stop)
        return Gateway(port, context, directory, self.stack)

    @staticmethod
    def keep(transport, option: int, size: int) -> None:
        """Let the kernel keep so much of what is sent (SO_SNDBUF) or not read yet (SO_RCVBUF)."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, size)

    async def narrow(self, gateway: Gateway, *, receives: int):
        """A client whose connection holds little, and the gateway's end of it."""
        wire = await gateway.connect()
        await self.until(lambda: len(gateway.port.connections) == 1)
        (connection,) = gateway.port.connections
        self.keep(connection.transport, socket.SO_SNDBUF, 4 * 1024)
        self.keep(wire.writer, socket.SO_RCVBUF, receives)
        return wire, connection

    @staticmethod
    async def until(condition: Callable[[], bool], what: str = "condition") -> None:
        """Wait for a condition, with a deadline."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"{what} did not become true"
            await asyncio.sleep(0.005)


@pytest.fixture(name="by_document")
def _by_document() -> Callable[..., Table]:
    """Make the table of a document with these routes and other keys."""

    def made(*routes: dict, **more) -> Table:
        return RoutesDocument.model_validate({"routes": list(routes), **more}).compile()

    return made


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(name="world")
async def _world(anyio_backend) -> AsyncIterator[World]:  # noqa: ARG001 - sets the loop
    world = World()
    async with world.stack:
        yield world
    await asyncio.sleep(0)


@pytest.fixture(scope="session", name="certificate")
def _certificate(tmp_path_factory):
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "keyUsage=critical,keyCertSign,digitalSignature",
         "-addext", "subjectAltName=DNS:localhost"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    return place / "cert.pem", place / "key.pem"
