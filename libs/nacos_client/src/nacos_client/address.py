"""Which address of this host an instance is announced under."""

import socket
from ipaddress import IPv4Address

from nacos_client.errors import BadAddress
from nacos_client.settings import NacosSettings


def advertised_ip(settings: NacosSettings) -> str:
    """Choose the IPv4 literal that callers shall connect to.

    `ADVERTISE_IP` wins, a literal or the name of an interface; else it is the address from which
    this host's packets to the first Nacos server leave. No packet is sent to find out.

    Raises:
        BadAddress: there is none.
    """
    if settings.advertise_ip is None:
        return _by_route(*settings.servers[0])
    try:
        return str(IPv4Address(settings.advertise_ip))
    except ValueError:
        return _by_interface(settings.advertise_ip)


def _by_route(host: str, port: int) -> str:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise BadAddress(
            f"no IPv4 route from this host to Nacos at {host}:{port} ({error}); set ADVERTISE_IP"
        ) from error


def _by_interface(name: str) -> str:
    import psutil  # noqa: PLC0415  (needed only by those who name an interface)

    addresses = psutil.net_if_addrs()
    for address in addresses.get(name, []):
        if address.family == socket.AF_INET:
            return str(address.address)
    known = ", ".join(sorted(addresses))
    problem = "has no IPv4 address" if name in addresses else f"is no interface here ({known})"
    raise BadAddress(f"ADVERTISE_IP={name}: {problem}")
