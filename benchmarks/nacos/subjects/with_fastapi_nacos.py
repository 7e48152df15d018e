"""fastapi-nacos as its README shows: configured by application.yaml, started in the lifespan."""

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from aio_service_caller.discovery import NacosServiceDiscovery
from fastapi_nacos import FastApiNacos
from frame import GROUP, HOST, POLL_SECONDS, Library, Nacos, SawConfig, SawInstances, main


class FastapiNacos(Library):
    """The library has no callbacks: its present value is read every few milliseconds."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        self._account = {
            "server-addr": nacos.server_addr,
            "namespace": nacos.namespace,
            "group": GROUP,
            "username": nacos.username,
            "password": nacos.password,
        }
        self._discovery: NacosServiceDiscovery | None = None
        self._pollers: set[asyncio.Task[None]] = set()

    async def register(self, service: str, port: int) -> None:
        """Start the manager, which registers."""
        instance = {"app-name": service, "ip": HOST, "port": port}
        await self._start({"app-registry": {"nacos": {**self._account, **instance}}})

    async def watch_instances(self, service: str, saw: SawInstances) -> None:
        """Read the library's list of instances again and again."""
        if self._discovery is None:
            self._discovery = await NacosServiceDiscovery.create(
                server_addresses=self.nacos.server_addr,
                namespace=self.nacos.namespace,
                group_name=GROUP,
                username=self.nacos.username,
                password=self.nacos.password,
            )
        saw(each.metadata for each in await self._discovery.get_instances(service))
        self._poll(self._follow(self._discovery, service, saw))

    async def watch_config(self, data_id: str, saw: SawConfig) -> None:
        """Read the library's merged configuration again and again."""
        document = {"imports": [{"data-id": data_id}], "auto-refresh": True}
        manager = await self._start({"config-sources": {"nacos": {**self._account, **document}}})
        self._poll(self._reread(manager, saw))

    async def _follow(
        self, discovery: NacosServiceDiscovery, service: str, saw: SawInstances
    ) -> None:
        last: list[dict[str, str]] = []
        while True:
            now = [each.metadata for each in await discovery.get_instances(service)]
            if now != last:
                saw(now)
                last = now
            await asyncio.sleep(POLL_SECONDS)

    async def _reread(self, manager: FastApiNacos, saw: SawConfig) -> None:
        last = None
        while True:
            now = manager.config.get("seq")
            if now != last:
                saw(str(now))
                last = now
            await asyncio.sleep(POLL_SECONDS)

    async def _start(self, application: dict[str, object]) -> FastApiNacos:
        manager = FastApiNacos(_configured(application))
        await manager.start()
        return manager

    def _poll(self, reading: Coroutine[None, None, None]) -> None:
        self._pollers.add(asyncio.create_task(reading))


def _configured(application: dict[str, object]) -> str:
    """Make a folder with an application.yaml (JSON is YAML)."""
    folder = tempfile.mkdtemp()
    content = {**application, "service-caller": {"lb-type": "round_robin"}}
    Path(folder, "application.yaml").write_text(json.dumps(content))
    return folder


if __name__ == "__main__":
    main(FastapiNacos)
