"""The address of this host under which an instance is announced, and the trial of that address."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from failover import in_brackets

from nacos_client.errors import Unreachable
from nacos_client.own_address import (
    IPV4_FIRST,
    fixed_address,
    ipv4_alone,
    is_link_local,
    source_address,
)
from nacos_client.settings import NacosSettings

LOCATE_SECONDS = 1.0
"""Seconds between two attempts to find this host's address, while Nacos' name does not resolve."""
TRIAL_SECONDS = 1.0
"""Seconds that a connection from here to the announced address may take."""


def locator(settings: NacosSettings) -> Callable[[], str]:
    """Choose a function that finds the IP literal to which callers shall connect.

    `ADVERTISE_IP` wins, a literal or the name of an interface; then `HOST`, where it is one
    address. Else it is the address from which this host's packets to a Nacos server leave; no
    packet is sent to find this address. IPv4 is preferred where there are both; a link-local IPv6
    address is none that callers can use. An instance that listens on IPv4 alone has an IPv4 address
    though Nacos is reached by IPv6: the address from which packets to anywhere leave.

    Returns:
        a function without arguments. It blocks while a name is resolved, and raises `Unreachable`
        while no server's name resolves or no route leads to a server, and `BadAddress` while the
        interface has no address.
    """
    return lambda: (
        fixed_address(settings.advertise_ip, settings.host)
        or _by_route(settings.servers, ipv4_alone(settings.host))
    )


def _by_route(servers: Sequence[tuple[str, int]], ipv4: str | None) -> str:
    """Return the address from which Nacos is reached; `ipv4` in place of an address of IPv6."""
    troubles: dict[str, None] = {}
    for family in IPV4_FIRST:
        for host, port in servers:
            try:
                ip = source_address(family, (host, port))
            except OSError as error:
                troubles[f"{in_brackets(host)}:{port} ({error})"] = None
            else:
                if ipv4 is not None and family == socket.AF_INET6:
                    return ipv4
                if not is_link_local(ip):
                    return ip
                troubles[f"{in_brackets(host)}:{port} (from the link-local {ip} only)"] = None
    raise Unreachable(
        f"no route from here to Nacos at {', '.join(troubles)}; else set ADVERTISE_IP"
    )


async def trial(ip: str, port: int) -> str | None:
    """Connect to an address that is about to be announced; return why that failed, else None.

    The trial takes a second at most, and proves nothing about callers that go another way than
    this host to itself, as through a NAT.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family) as attempt:
            attempt.settimeout(0)  # of the loop, which waits itself
            async with asyncio.timeout(TRIAL_SECONDS):
                await asyncio.get_running_loop().sock_connect(attempt, (ip, port))
    except (OSError, TimeoutError) as error:
        reason = os.strerror(error.errno) if error.errno else f"nothing within {TRIAL_SECONDS:g} s"
        hint = "; HOST=:: listens on IPv6 and IPv4" if ":" in ip else ""
        place = f"{in_brackets(ip)}:{port}"
        return f"{place} does not answer from here ({reason}): check ADVERTISE_IP and HOST{hint}"
    return None
