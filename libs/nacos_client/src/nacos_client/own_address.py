"""The addresses of this host, and the one that the environment fixes for an instance."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from nacos_client.errors import BadAddress

IPV4_FIRST = (socket.AF_INET, socket.AF_INET6)
"""The families of addresses, the preferred one first: some callers, such as Spring's
NacosLoadBalancer, keep IPv4 instances only."""
THIS_NETWORK, BROADCAST = IPv4Network("0.0.0.0/8"), IPv4Address("255.255.255.255")
"""IPv4 addresses that are never a destination of a connection to another host (RFC 6890)."""
LOOPBACK, LOOPBACK_OF_IPV6 = "127.0.0.1", "::1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  (compared)
SOMEWHERE = ("192.0.2.1", 9)
"""An address of documentation (RFC 5737), to ask for the route of IPv4."""


def fixed_address(advertise_ip: str | None, host: str | None) -> str | None:
    """Choose the IP literal to which callers shall connect, as far as the environment decides it.

    Args:
        advertise_ip: an IP literal or the name of an interface, which wins; may be None.
        host: where the instance listens, as a literal or a name; None if that is not known.

    Returns:
        None if the instance listens everywhere and nothing is advertised. A name is resolved as it
        is for listening, which may block; a name without an address decides nothing.

    Raises:
        BadAddress: callers cannot use the address, or the instance does not listen there.
    """
    listening = _listening(host) if host else None
    if advertise_ip is None:
        if listening is not None and is_link_local(listening):
            raise BadAddress(
                f"HOST={host} is link-local, no address for callers on other hosts:"
                " set ADVERTISE_IP or another HOST"
            )
        return listening
    candidates = addresses_of(advertise_ip)
    if _is_ipv6(candidates[0]) and ipv4_alone(host) and _is_of_this_host(candidates[0]):
        raise BadAddress(
            f"ADVERTISE_IP={advertise_ip} is not where HOST={host} listens (on IPv4 alone):"
            " set HOST=::, which listens on IPv6 and IPv4, or another ADVERTISE_IP"
        )
    if listening is None or listening in candidates:
        return listening or candidates[0]
    # An address of another host may lead here, by NAT for example, but not to a loopback address.
    if is_loopback(listening) or _is_of_this_host(candidates[0]):
        raise BadAddress(
            f"ADVERTISE_IP={advertise_ip} is not where HOST={host} listens ({listening}):"
            " leave one of the two out, or make them equal"
        )
    return candidates[0]


def ipv4_alone(host: str | None) -> str | None:
    """Return the IPv4 address of a host whose instance listens on all addresses of IPv4 alone.

    Returns:
        None if the instance listens elsewhere, or that is not known, or this host has no IPv4: the
        services of this workspace listen on IPv6 then.
    """
    if not host or _bound(host) != EVERYWHERE:
        return None
    try:
        return source_address(socket.AF_INET, SOMEWHERE)
    except OSError:
        return None


def source_address(family: socket.AddressFamily, target: tuple[str, int]) -> str:
    """Return the address from which packets to a target leave; none is sent.

    Raises:
        OSError: there is no route, or the target's name has no address of this family.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def addresses_of(advertise_ip: str) -> Sequence[str]:
    """Return the address that is a literal's, or those of an interface, IPv4 before IPv6.

    Raises:
        BadAddress: callers cannot connect to the literal, or the interface does not exist or has
            no address that they can use.
    """
    if not is_literal(advertise_ip):
        return _of_interface(advertise_ip)
    if not _is_a_place(ip_address(advertise_ip)):
        raise BadAddress(f"{advertise_ip} is no address to which a caller on another host connects")
    return (advertise_ip,)


def is_literal(text: str) -> bool:
    """Return whether a text is an IP address; an IPv6 one may have a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(ip: str) -> bool:
    """Return whether an address reaches no further than this host."""
    address = ip_address(ip)
    return (_inner(address) or address).is_loopback


def is_link_local(ip: str) -> bool:
    """Return whether an address is an IPv6 one that is no use beyond the host's own links."""
    return ":" in ip and IPv6Address(ip).is_link_local


def _is_a_place(address: IPv4Address | IPv6Address) -> bool:
    plain = _inner(address) or address
    if isinstance(plain, IPv4Address):
        return not (plain in THIS_NETWORK or plain == BROADCAST or plain.is_multicast)
    return not (plain.is_unspecified or plain.is_multicast or plain.is_link_local)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that is written as an IPv6 one, if it is."""
    return address.ipv4_mapped if isinstance(address, IPv6Address) else None


def _of_interface(name: str) -> Sequence[str]:
    import psutil  # noqa: PLC0415  (needed only where ADVERTISE_IP names an interface)

    interfaces = psutil.net_if_addrs()
    if name not in interfaces:
        known = ", ".join(sorted(interfaces))
        raise BadAddress(f"{name} is neither an IP address nor an interface of this host ({known})")
    found = [
        str(one.address)
        for family in IPV4_FIRST
        for one in interfaces[name]
        if one.family == family and not is_link_local(one.address)
    ]
    if not found:
        raise BadAddress(f"{name} has no IP address that callers on other hosts can use")
    return found


def _is_ipv6(ip: str) -> bool:
    """Return whether a caller needs IPv6 for an address, however the address is written."""
    address = ip_address(ip)
    return address.version == 6 and _inner(address) is None  # noqa: PLR2004


def _bound(host: str) -> str | None:
    """Return the address to which a socket is bound by `host`; None if the name has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # whoever listens there will say so
        return None
    return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])


def _listening(host: str) -> str | None:
    """Return the one address at which a socket listens that is bound to `host`; None for all."""
    ip = _bound(host)
    if ip is None or ip_address(ip).is_unspecified:
        return None
    # A host without IPv4 has another loopback address.
    return LOOPBACK_OF_IPV6 if ip == LOOPBACK and not _is_of_this_host(ip) else ip


def _is_of_this_host(ip: str) -> bool:
    """Return whether a socket can have this address; nothing is sent."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
