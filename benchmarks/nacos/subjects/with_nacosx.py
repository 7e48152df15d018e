"""nacosx by its manual API; its decorator adds a fixed pause of 5 s before it registers."""

import asyncio

from frame import HOST, Library, Nacos, main
from nacosx import NacosService


class NacosX(Library):
    """A registration kept by a thread that sends heartbeats."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        self._service: NacosService | None = None

    async def register(self, service: str, port: int) -> None:
        """Register by HTTP; a thread of its own sends heartbeats."""
        self._service = NacosService(
            nacos_addr=self.nacos.server_addr,
            namespace=self.nacos.namespace,
            service_name=service,
            service_ip=HOST,
            service_port=port,
            username=self.nacos.username,
            password=self.nacos.password,
        )
        await asyncio.to_thread(self._service.start)


if __name__ == "__main__":
    main(NacosX)
