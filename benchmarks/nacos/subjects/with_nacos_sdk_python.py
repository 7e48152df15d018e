"""The vendor's SDK by itself, used as its README shows."""

from frame import GROUP, HOST, Library, Nacos, SawConfig, SawInstances, main
from v2.nacos import (
    ClientConfigBuilder,
    ConfigParam,
    Instance,
    NacosConfigService,
    NacosNamingService,
    RegisterInstanceParam,
    SubscribeServiceParam,
)


class Sdk(Library):
    """Naming and config services of the SDK, made when first needed."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        self._settings = (
            ClientConfigBuilder()
            .server_address(nacos.server_addr)
            .username(nacos.username)
            .password(nacos.password)
            .namespace_id(nacos.namespace)
            .build()
        )
        self._naming: NacosNamingService | None = None
        self._config: NacosConfigService | None = None

    async def naming(self) -> NacosNamingService:
        """Connect, once."""
        if self._naming is None:
            self._naming = await NacosNamingService.create_naming_service(self._settings)
        return self._naming

    async def register(self, service: str, port: int) -> None:
        """Register by gRPC."""
        naming = await self.naming()
        await naming.register_instance(
            RegisterInstanceParam(service_name=service, group_name=GROUP, ip=HOST, port=port)
        )

    async def watch_instances(self, service: str, saw: SawInstances) -> None:
        """Subscribe."""

        async def changed(instances: list[Instance]) -> None:
            saw(each.metadata for each in instances)

        naming = await self.naming()
        await naming.subscribe(
            SubscribeServiceParam(
                service_name=service, group_name=GROUP, subscribe_callback=changed
            )
        )

    async def watch_config(self, data_id: str, saw: SawConfig) -> None:
        """Read the document and listen."""

        async def changed(_tenant: str, _data_id: str, _group: str, content: str) -> None:
            saw(content)

        self._config = await NacosConfigService.create_config_service(self._settings)
        saw(await self._config.get_config(ConfigParam(data_id=data_id, group=GROUP)))
        await self._config.add_listener(data_id, GROUP, changed)


if __name__ == "__main__":
    main(Sdk)
