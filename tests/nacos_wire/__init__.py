"""A Nacos in memory that speaks on the wire, gRPC and HTTP, as a given version does.

    with WireNacos("2.0.4") as nacos:
        settings = NacosSettings(server_addr=nacos.access.server_addr, ...)

It stands for the versions that cannot be started here. The contract suite runs on it, and where it
is given the version of a real server, both give the same answers (`tests/contract`).
"""

from tests.nacos_wire.server import WireNacos

__all__ = ["WireNacos"]
