"""A process that announces one instance and does what a line on its input says.

    python provider.py SERVICE PORT BLOCKED_LIMIT
    python provider.py SERVICE PORT workers

The first also follows its own service. It prints one JSON line each time what Nacos shows of it,
the number of instances that it knows, or the trouble with its disk changes. `block N` blocks the
event loop for N seconds, `fork` forks a child that tries to use the parent's client and one of its
own, `withdraw` ends. The second forks two workers that announce PORT and PORT + 1.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import threading
import time
from typing import Any

from nacos_client import Nacos, NacosError, NacosSettings


def say(**facts: Any) -> None:
    print(json.dumps({"at": time.time(), **facts}), flush=True)


def child(nacos: Nacos) -> None:
    """Say what becomes of the parent's client and of a new one in a forked child."""

    async def use() -> None:
        try:
            await nacos.fetch("anything")
        except NacosError as error:
            say(inherited=str(error))
        try:
            async with Nacos(nacos.settings):
                pass
        except NacosError as error:
            say(own=str(error))

    asyncio.run(use())


def workers(service: str, port: int) -> None:
    """Make a client, fork two workers, and start the client in each."""
    nacos = Nacos(NacosSettings.from_env(os.environ))
    context = multiprocessing.get_context("fork")

    end = context.Event()

    async def work(own_port: int) -> None:
        async with nacos:
            await nacos.announcement(service, port=own_port).announce()
            await asyncio.to_thread(end.wait)

    processes = [
        context.Process(target=lambda own=port + index: asyncio.run(work(own)))
        for index in range(2)
    ]
    for process in processes:
        process.start()
    sys.stdin.read()
    end.set()
    for process in processes:
        process.join()


async def main(service: str, port: int, limit: float) -> None:
    # No thread reads the input: a child forked meanwhile would inherit its lock, held for ever.
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with Nacos(NacosSettings.from_env(os.environ)) as nacos:
        announcement = nacos.announcement(service, port=port, blocked_limit=limit)
        await announcement.announce()
        discovery = nacos.discover(service)
        told = None
        while True:
            disk = nacos.states["nacos"]["disk"]
            known = discovery.plain_state["instances"]
            facts = (announcement.plain_state["shown"], known, disk)
            if facts != told:
                told = facts
                say(**announcement.plain_state, known=known, disk=disk)
            try:
                command = await asyncio.wait_for(lines.readline(), 0.05)
            except TimeoutError:
                continue
            match command.decode().split():
                case ["block", seconds]:
                    threading.Event().wait(float(seconds))
                case ["fork"]:
                    context = multiprocessing.get_context("fork")
                    process = context.Process(target=child, args=(nacos,))
                    process.start()
                    await asyncio.to_thread(process.join)
                    say(child_exit=process.exitcode)
                case ["withdraw"]:
                    await announcement.withdraw()
                    say(withdrawn=True)
                    return


if __name__ == "__main__":
    if sys.argv[3] == "workers":
        workers(sys.argv[1], int(sys.argv[2]))
        sys.exit()
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
