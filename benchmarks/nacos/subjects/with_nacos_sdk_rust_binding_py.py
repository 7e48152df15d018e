"""The Rust SDK's Python binding, asyncio flavour."""

from frame import GROUP, HOST, Library, Nacos, SawConfig, SawInstances, main
from nacos_sdk_rust_binding_py import (
    AsyncNacosConfigClient,
    AsyncNacosNamingClient,
    ClientOptions,
    NacosConfigResponse,
    NacosServiceInstance,
)


class RustBinding(Library):
    """Naming and config clients, made when first needed."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        self._options = ClientOptions(
            nacos.server_addr,
            nacos.namespace,
            username=nacos.username,
            password=nacos.password,
        )
        self._naming: AsyncNacosNamingClient | None = None
        self._config: AsyncNacosConfigClient | None = None

    def naming(self) -> AsyncNacosNamingClient:
        """Connect, once."""
        if self._naming is None:
            self._naming = AsyncNacosNamingClient(self._options)
        return self._naming

    async def register(self, service: str, port: int) -> None:
        """Register by gRPC."""
        await self.naming().register_instance(service, GROUP, NacosServiceInstance(HOST, port))

    async def watch_instances(self, service: str, saw: SawInstances) -> None:
        """Subscribe."""

        def changed(instances: list[NacosServiceInstance]) -> None:
            saw(each.metadata or {} for each in instances)

        await self.naming().subscribe(service, GROUP, None, changed)
        changed(await self.naming().get_all_instances(service, GROUP))

    async def watch_config(self, data_id: str, saw: SawConfig) -> None:
        """Read the document and listen."""

        def changed(document: NacosConfigResponse) -> None:
            saw(document.content)

        self._config = AsyncNacosConfigClient(self._options)
        saw(await self._config.get_config(data_id, GROUP))
        await self._config.add_listener(data_id, GROUP, changed)


if __name__ == "__main__":
    main(RustBinding)
