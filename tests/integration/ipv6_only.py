"""A program for a network namespace whose only address is ::1: Nacos, a provider and its callers.

The last line that it prints is a JSON object with what was seen, for `test_ipv6.py`.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from nacos_client import AsyncNacosTransport, Known, Nacos, NacosSettings, Shown
from nacos_client.address import locator
from stack.access import NacosAccess
from stack.nacos import NacosServer

NACOS_PORT, CONSOLE_PORT, AWAY_PORT, GATEWAY_PORT = 8848, 8080, 9, 8000


class Provider(ThreadingHTTPServer):
    """A server on ::1 that answers with the Host line it got."""

    address_family = socket.AF_INET6


class Handler(BaseHTTPRequestHandler):
    """Answers a GET."""

    def do_GET(self) -> None:
        """Answer with the Host line."""
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def gateway(environ: Mapping[str, str]) -> Iterator[str]:
    """Run a gateway with the addresses that it has by default; yields its URL."""
    settings = {"PORT": str(GATEWAY_PORT), "GATEWAY_ADMIN_PORT": str(GATEWAY_PORT + 1)}
    command = [sys.executable, "-m", "gateway"]
    with subprocess.Popen(command, env={**os.environ, **environ, **settings}) as process:
        try:
            yield f"http://[::1]:{GATEWAY_PORT}"
        finally:
            process.terminate()


async def through_gateway(url: str, admin: str) -> str:
    """Call the provider through the gateway, once that is ready."""
    async with httpx.AsyncClient() as client:
        async with asyncio.timeout(60):
            while True:
                with suppress(httpx.ConnectError):
                    if (await client.get(f"{admin}/readyz")).is_success:
                        break
                await asyncio.sleep(0.1)
        return (await client.get(f"{url}/models/")).text


@contextmanager
def provider() -> Iterator[int]:
    """Serve on a port of ::1."""
    with Provider(("::1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


async def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)


def has_ipv4() -> bool:
    """Return whether anything is reached by IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("127.0.0.1", NACOS_PORT))
        except OSError:
            return False
        return True


def change_by_hand(access: NacosAccess, ip: str, port: int) -> None:
    """Give the instance another weight, as in the console."""
    with access.operator() as operator:
        operator.request("PUT", "instance", serviceName="models", ip=ip, port=port, weight="7.0")


async def checked_by_nacos(nacos: Nacos, port: int) -> bool:
    """Announce two persistent instances, one of which is away; Nacos looks itself which one."""
    both = [nacos.announcement("kept", port=each, ephemeral=False) for each in (port, AWAY_PORT)]
    for announcement in both:
        await announcement.announce()
    discovery = nacos.discover("kept")
    seen = {port: True, AWAY_PORT: False}
    await eventually(
        lambda: (
            isinstance(known := discovery.snapshot, Known)
            and {each.port: each.healthy for each in known.instances} == seen
        )
    )
    return True


async def use(access: NacosAccess, cache: Path, port: int) -> dict[str, Any]:
    """Announce the provider, find it, call it, heal it, have it checked, withdraw it."""
    several = f"[::1]:1,{access.server_addr}"
    environ = {**access.environment, "NACOS_SERVER_ADDR": several, "NACOS_CACHE_DIR": str(cache)}
    settings = NacosSettings.from_env(environ)
    seen: dict[str, Any] = {
        "route": locator(settings)(),
        "interface": locator(settings.model_copy(update={"advertise_ip": "lo"}))(),
        "host": locator(settings.model_copy(update={"host": "127.0.0.1"}))(),
    }
    async with Nacos(settings) as nacos:
        announcement = nacos.announcement("models", port=port)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        (shown,) = await asyncio.to_thread(access.instances, "models")
        seen["shown"] = shown["ip"]
        known = await nacos.discover("models").known()
        seen["discovered"] = [
            [each.ip, each.address == f"[::1]:{port}"] for each in known.instances
        ]
        async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
            seen["called"] = (await client.get("http://models/")).text == f"[::1]:{port}"
        command = [sys.executable, "-m", "nacos_client", "--list", "models"]
        seen["listed"] = (
            await asyncio.to_thread(
                subprocess.run,
                command,
                env={**os.environ, **environ},
                capture_output=True,
                text=True,
            )
        ).stdout.startswith(f"[::1]:{port} ")
        await asyncio.to_thread(change_by_hand, access, shown["ip"], port)
        await eventually(lambda: announcement.state.healed > 0)
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        seen["healed"] = [each["weight"] for each in access.instances("models")]
        with gateway(environ) as url:
            seen["through the gateway"] = (
                await through_gateway(url, f"http://[::1]:{GATEWAY_PORT + 1}") == f"[::1]:{port}"
            )
        seen["checked"] = await checked_by_nacos(nacos, port)
    seen["left"] = access.instances("models")
    return seen


def main(home: Path) -> None:
    """Start Nacos on ::1, use it, stop it, and tell."""
    server = NacosServer(home, port=NACOS_PORT, console_port=CONSOLE_PORT, address="[::1]")
    server.start()
    try:
        server.wait_ready()
        with provider() as port:
            seen = asyncio.run(use(server.access, home / "cache", port))
    finally:
        server.stop()
    print(json.dumps({"ipv4": has_ipv4(), **seen}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
