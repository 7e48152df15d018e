"""A host without IPv4: Nacos, announcements, discovery and calls by name over IPv6 alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stack.releases import NEWEST, chosen

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("ipv6_only.py")
ONLY_IPV6 = 'ip link set lo up && ip -4 address flush dev lo && exec "$@"'


@pytest.fixture
def alone(program: Callable[[str, str], str]) -> list[str]:
    """The start of a command that runs in a network namespace of its own, which has ::1 only."""
    program("ip", "iproute2")
    flags = "-n" if os.geteuid() == 0 else "-rn"
    command = [program("unshare", "util-linux"), flags, "--", "sh", "-c", ONLY_IPV6, "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"MISSING PROGRAM unshare: no network namespaces here: {tried.stderr.strip()}")
    return command


@pytest.mark.feature("a server and clients without IPv4")
@pytest.mark.skipif(
    chosen().version != NEWEST, reason="an older Nacos on a host without IPv4 was not made to start"
)
def test_all_of_it_works_without_ipv4(alone: list[str], tmp_path: Path) -> None:
    """The address is found, announced as Java does, discovered, called, healed, checked, withdrawn.

    Nacos is named in brackets, as the second of two servers, of which the first is away.
    """
    ran = subprocess.run(
        [*alone, sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-4000:]
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "ipv4": False,
        "route": "::1",
        "interface": "::1",
        "host": "::1",
        "shown": "[::1]",
        "discovered": [["::1", True]],
        "called": True,
        "listed": True,
        "healed": [1.0],
        "through the gateway": True,
        "checked": True,
        "left": [],
    }


def test_a_link_local_address_is_not_announced(alone: list[str]) -> None:
    """It means nothing on other hosts: an interface that has no other is refused."""
    only_local = 'ip address flush dev lo && ip address add fe80::7/64 dev lo && exec "$@"'
    ask = (
        "from nacos_client import BadAddress\n"
        "from nacos_client.own_address import fixed_address\n"
        "try: print(fixed_address('lo', None))\n"
        "except BadAddress as error: print(error)\n"
    )
    command = [*alone, "sh", "-c", only_local, "sh", sys.executable, "-c", ask]
    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.stdout == "lo has no IP address that callers on other hosts can use\n"
