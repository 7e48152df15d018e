"""A network namespace in which every instance has a loopback address and iptables passes or drops.

Inside the namespace nothing reaches the machine's other processes: any port is free, packets to an
instance can be counted without asking a gateway, and a partition is a rule that drops packets.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Self

MARK = "FAILOVER_NAMESPACE"
PORT = 9000
SAMPLE_SECONDS = 0.1
HEAD_BYTES = 100
"""Bytes of a packet that carries data, at least: a request's head is longer, an ACK shorter."""


def enter() -> None:
    """Run this program again inside a new network namespace; return if it is there already."""
    if os.environ.get(MARK):
        _run("ip", "link", "set", "lo", "up")
        return
    os.environ[MARK] = "1"
    flags = "-n" if os.geteuid() == 0 else "-rn"
    argv = ["unshare", flags, "--", sys.executable, *sys.orig_argv[1:]]
    os.execvp("unshare", argv)  # noqa: S606 - no shell is wanted


def count_packets_to(hosts: Sequence[str]) -> None:
    """Count, for each host, the packets that open a connection or carry a request."""
    for host in hosts:
        to_host = ("-d", host, "-p", "tcp", "--dport", str(PORT))
        _run("iptables", "-A", "INPUT", *to_host, "--syn")
        _run("iptables", "-A", "INPUT", *to_host, "-m", "length", "--length", f"{HEAD_BYTES}:")


def cut(host: str) -> None:
    """Drop every packet to and from the host's port; neither side is told."""
    for rule in _partition(host):
        _run("iptables", "-A", *rule)


def mend(host: str) -> None:
    """Undo `cut`."""
    for rule in _partition(host):
        _run("iptables", "-D", *rule)


def _partition(host: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        ("INPUT", "-d", host, "-p", "tcp", "--dport", str(PORT), "-j", "DROP"),
        ("INPUT", "-s", host, "-p", "tcp", "--sport", str(PORT), "-j", "DROP"),
    )


class Traffic:
    """Reads the counters ten times a second while the block runs."""

    def __init__(self) -> None:
        self.readings: list[tuple[float, dict[str, int]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.readings.append((time.monotonic(), _counters()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _counters() -> dict[str, int]:
    saved = _run("iptables-save", "-c", "-t", "filter")
    found: dict[str, int] = {}
    for packets, host in re.findall(
        r"^\[(\d+):\d+\] -A INPUT -d ([\d.]+)/32.*(?<!DROP)$", saved, re.MULTILINE
    ):
        found[host] = found.get(host, 0) + int(packets)
    return found


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
