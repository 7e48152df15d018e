"""One Nacos library in one process: follows the command line, prints each event with its time.

Runs in the virtual environment of the library it drives, so it imports the standard library only.
Times are CLOCK_MONOTONIC seconds, the same in every process of the machine.
"""

import argparse
import asyncio
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
GROUP = "DEFAULT_GROUP"
POLL_SECONDS = 0.005
"""Seconds between two reads of a library that has no callback."""

SawInstances = Callable[[Iterable[Mapping[str, str]]], None]
"""A callback that takes the metadata of every instance that the library now hands out."""
SawConfig = Callable[[str], None]
"""A callback that takes the text, or the value of `seq`, of the document now in force."""


@dataclass(frozen=True, slots=True)
class Nacos:
    """The address of the server and a login there."""

    server_addr: str = os.environ.get("NACOS_SERVER_ADDR", "")
    username: str = os.environ.get("NACOS_USERNAME", "")
    password: str = os.environ.get("NACOS_PASSWORD", "")
    namespace: str = os.environ.get("NACOS_NAMESPACE", "public")


class Library:
    """The abilities that are measured; `peers.py` names the libraries that lack one."""

    def __init__(self, nacos: Nacos) -> None:
        self.nacos = nacos

    async def register(self, service: str, port: int) -> None:
        """Register one ephemeral instance on this host."""
        raise NotImplementedError

    async def watch_instances(self, service: str, saw: SawInstances) -> None:
        """Report the instances of a service, now and after every change."""
        raise NotImplementedError

    async def watch_config(self, data_id: str, saw: SawConfig) -> None:
        """Report a document, now and after every change."""
        raise NotImplementedError


def tell(event: str, **facts: object) -> None:
    """Print one event as a line of JSON, with the time."""
    print(json.dumps({"at": time.monotonic(), "event": event, **facts}), flush=True)


def main(library: type[Library]) -> None:
    """Follow the arguments in their order, then stay until ended from outside."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--register", help="service:port")
    parser.add_argument("--instances", help="a service to watch")
    parser.add_argument("--config", help="a document to watch")
    parser.add_argument("--many", help="prefix:count:instances, services to watch all at once")
    try:
        asyncio.run(_run(library, parser.parse_args()))
    except Exception:
        tell("failed", error=traceback.format_exc().strip().splitlines()[-1])
        raise


async def _run(library: type[Library], wanted: argparse.Namespace) -> None:
    tell("calling")
    one = library(Nacos())
    if wanted.register:
        service, _, port = wanted.register.partition(":")
        await one.register(service, int(port))
        tell("registered")
    if wanted.instances:
        await one.watch_instances(wanted.instances, _newest)
        tell("watching instances")
    if wanted.config:
        await one.watch_config(wanted.config, lambda text: tell("config", seq=_sequence(text)))
        tell("watching config")
    if wanted.many:
        await _watch_many(one, *wanted.many.split(":"))
    tell("ready")
    await asyncio.Event().wait()


async def _watch_many(one: Library, prefix: str, count: str, instances: str) -> None:
    complete: set[str] = set()

    def saw(service: str) -> SawInstances:
        def note(metadata: Iterable[Mapping[str, str]]) -> None:
            if len(list(metadata)) == int(instances) and service not in complete:
                complete.add(service)
                if len(complete) == int(count):
                    tell("complete")

        return note

    for number in range(int(count)):
        service = f"{prefix}{number}"
        await one.watch_instances(service, saw(service))


def _newest(metadata: Iterable[Mapping[str, str]]) -> None:
    tell("instances", seq=max((int(each.get("seq", -1)) for each in metadata), default=-1))


def _sequence(text: str) -> int:
    """Return the number in `seq: 7`, or a bare number; -1 if there is none."""
    digits = text.strip().removeprefix("seq:").split("\n", 1)[0].strip()
    return int(digits) if digits.isdigit() else -1
