"""The address of this host under which an instance is announced."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from nacos_client.errors import BadAddress, Unreachable
from nacos_client.settings import NacosSettings


def locator(settings: NacosSettings) -> Callable[[], str]:
    """Choose a function that finds the IPv4 literal to which callers shall connect.

    `ADVERTISE_IP` wins, a literal or the name of an interface. Else it is the address from which
    this host's packets to a Nacos server leave; no packet is sent to find this address.

    Returns:
        a function without arguments. It blocks while a name is resolved, and raises `Unreachable`
        while no server's name resolves or no route leads to a server.

    Raises:
        BadAddress: `ADVERTISE_IP` names no IPv4 address of this host.
    """
    if settings.advertise_ip is None:
        return lambda: _by_route(settings.servers)
    try:
        ip = str(IPv4Address(settings.advertise_ip))
    except ValueError:
        ip = _by_interface(settings.advertise_ip)
    return lambda: ip


def _by_route(servers: Sequence[tuple[str, int]]) -> str:
    troubles: list[str] = []
    for host, port in servers:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, port))
                return str(probe.getsockname()[0])
        except OSError as error:
            troubles.append(f"{host}:{port} ({error})")
    raise Unreachable(
        f"no IPv4 route from here to Nacos at {', '.join(troubles)}; else set ADVERTISE_IP"
    )


def _by_interface(name: str) -> str:
    import psutil  # noqa: PLC0415  (needed only where ADVERTISE_IP names an interface)

    addresses = psutil.net_if_addrs()
    for address in addresses.get(name, []):
        if address.family == socket.AF_INET:
            return str(address.address)
    known = ", ".join(sorted(addresses))
    problem = "has no IPv4 address" if name in addresses else f"is no interface here ({known})"
    raise BadAddress(f"ADVERTISE_IP={name}: {problem}")
