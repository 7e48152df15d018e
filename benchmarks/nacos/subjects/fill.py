"""Fills a server with services of many instances and holds them: prefix:count:instances."""

import asyncio
import sys

from frame import GROUP, Nacos, tell
from v2.nacos import (
    BatchRegisterInstanceParam,
    ClientConfigBuilder,
    NacosNamingService,
    RegisterInstanceParam,
)


async def fill(prefix: str, count: int, instances: int) -> None:
    """Register `count` services, each with `instances` instances on loopback addresses."""
    nacos = Nacos()
    settings = (
        ClientConfigBuilder()
        .server_address(nacos.server_addr)
        .username(nacos.username)
        .password(nacos.password)
        .namespace_id(nacos.namespace)
        .build()
    )
    naming = await NacosNamingService.create_naming_service(settings)
    for number in range(count):
        each = [
            RegisterInstanceParam(
                service_name=f"{prefix}{number}",
                group_name=GROUP,
                ip=f"127.{number // 250 + 1}.{number % 250}.{host + 1}",
                port=8000,
                metadata={"version": "1.0.0", "zone": f"z{host % 3}"},
            )
            for host in range(instances)
        ]
        await naming.batch_register_instances(
            BatchRegisterInstanceParam(
                service_name=f"{prefix}{number}", group_name=GROUP, instances=each
            )
        )
    tell("filled")
    await asyncio.Event().wait()


if __name__ == "__main__":
    service_prefix, how_many, size = sys.argv[1].split(":")
    asyncio.run(fill(service_prefix, int(how_many), int(size)))
