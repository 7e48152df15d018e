"""Our library, used as its README shows: one `Nacos`, typed configuration, snapshots."""

import nacos_client
from frame import HOST, Library, Nacos, SawConfig, SawInstances, main
from pydantic import BaseModel, SecretStr


class Numbered(BaseModel):
    """The document that is published."""

    seq: int = -1


class NacosClient(Library):
    """Our library by its single entry, `Nacos`."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        settings = nacos_client.NacosSettings(
            server_addr=nacos.server_addr,
            username=nacos.username,
            password=SecretStr(nacos.password),
            namespace=nacos.namespace,
            advertise_ip=HOST,
        )
        self._client = nacos_client.Nacos(settings)

    async def register(self, service: str, port: int) -> None:
        """Announce."""
        self._client.start()
        await self._client.announcement(service, port=port).announce()

    async def watch_instances(self, service: str, saw: SawInstances) -> None:
        """Discover, and look at every snapshot."""

        def changed(snapshot: nacos_client.Snapshot) -> None:
            if isinstance(snapshot, nacos_client.Known):
                saw(each.metadata for each in snapshot.instances)

        self._client.start()
        discovery = self._client.discover(service)
        discovery.subscribe(changed)

    async def watch_config(self, data_id: str, saw: SawConfig) -> None:
        """Watch the document as a pydantic model; report the values that are in force."""
        self._client.start()
        watched = self._client.watch(data_id, Numbered)
        watched.subscribe(lambda value: saw(str(value.seq)))
        await watched.start()


if __name__ == "__main__":
    main(NacosClient)
