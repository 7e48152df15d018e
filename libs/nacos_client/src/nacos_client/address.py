"""The address of this host under which an instance is announced."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from failover import in_brackets

from nacos_client.errors import BadAddress, Unreachable
from nacos_client.settings import NacosSettings

IPV4_FIRST = (socket.AF_INET, socket.AF_INET6)
"""The families of addresses, the preferred one first: some callers, such as Spring's
NacosLoadBalancer, keep IPv4 instances only."""


def locator(settings: NacosSettings) -> Callable[[], str]:
    """Choose a function that finds the IP literal to which callers shall connect.

    `ADVERTISE_IP` wins, a literal or the name of an interface. Else it is the address from which
    this host's packets to a Nacos server leave; no packet is sent to find this address. IPv4 is
    preferred where there are both; a link-local IPv6 address is none that callers can use.

    Returns:
        a function without arguments. It blocks while a name is resolved, and raises `Unreachable`
        while no server's name resolves or no route leads to a server.

    Raises:
        BadAddress: `ADVERTISE_IP` names no address of this host that callers can use.
    """
    if settings.advertise_ip is None:
        return lambda: _by_route(settings.servers)
    ip = settings.advertise_ip
    try:
        ip_address(ip)
    except ValueError:
        ip = _by_interface(ip)
    return lambda: ip


def _by_route(servers: Sequence[tuple[str, int]]) -> str:
    troubles: dict[str, None] = {}
    for family in IPV4_FIRST:
        for host, port in servers:
            try:
                with socket.socket(family, socket.SOCK_DGRAM) as probe:
                    probe.connect((host, port))
                    ip = str(probe.getsockname()[0])
            except OSError as error:
                troubles[f"{in_brackets(host)}:{port} ({error})"] = None
            else:
                if not _is_link_local(ip):
                    return ip
                troubles[f"{in_brackets(host)}:{port} (from the link-local {ip} only)"] = None
    raise Unreachable(
        f"no route from here to Nacos at {', '.join(troubles)}; else set ADVERTISE_IP"
    )


def _by_interface(name: str) -> str:
    import psutil  # noqa: PLC0415  (needed only where ADVERTISE_IP names an interface)

    addresses = psutil.net_if_addrs()
    for family in IPV4_FIRST:
        for address in addresses.get(name, []):
            if address.family == family and not _is_link_local(address.address):
                return str(address.address)
    if name in addresses:
        problem = "has no IP address that callers on other hosts can use"
    else:
        problem = f"is no interface here ({', '.join(sorted(addresses))})"
    raise BadAddress(f"ADVERTISE_IP={name}: {problem}")


def _is_link_local(ip: str) -> bool:
    """Return whether an address is an IPv6 one that is no use beyond the host's own links."""
    return ":" in ip and IPv6Address(ip).is_link_local
