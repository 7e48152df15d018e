"""Whether a service answers /livez while it computes."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

LIVE_SECONDS = 0.050
WINDOWS = 10
PROBES = 100
CALLER = """
import sys, urllib.request
url, file = sys.argv[1:]
body = open(file, "rb").read()
while True:
    call = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=60) as answer:
        answer.read()
    print(answer.status, flush=True)
"""
CONTROL = """
import asyncio, threading
def compute():
    while True:
        sum(range(10_000))
async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=compute, daemon=True).start()
    await server.serve_forever()
asyncio.run(main())
"""
"""The least that a process can be which answers while a thread of it computes."""


def assert_alive_while(url: str, path: str, body: bytes, folder: Path) -> list[str]:
    """Probe /livez while a caller asks for the same thing again and again.

    What is held to the limit is the 90th percentile of the probes, not the maximum: a loop that
    every call stops for longer is late all the time, as calls follow one another without a pause; a
    single late moment in two seconds is the machine's. It may be busy with other things, which no
    process can help: as late as the control is at the same time, a process that computes in a
    thread and answers constants, the service may be too. One quiet window of several is enough:
    what the calls themselves cause is in each of them.

    Returns:
        the statuses of the calls that ended meanwhile, after a first one, which is 200.
    """
    file = folder / "body"
    file.write_bytes(body)
    late: list[float] = []
    with (
        running(CONTROL) as (_, control),
        running(CALLER, url + path, str(file)) as (caller, statuses),
        ThreadPoolExecutor() as both,
    ):
        least = f"http://127.0.0.1:{control.readline().strip()}"
        assert statuses.readline() == "200\n"
        while len(late) < WINDOWS and (not late or late[-1] >= LIVE_SECONDS):
            found, usual = map(slowest_tenth, both.map(probe, (url, least)))
            late.append(found - usual)
        caller.kill()
        finished = statuses.read().split()

    assert late[-1] < LIVE_SECONDS, (path, late)
    return finished


@contextmanager
def running(code: str, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """Run Python code in a process until the block ends; yield the process and its output."""
    argv = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def probe(url: str) -> list[float]:
    """Return how long after it was due each probe of /livez was answered.

    One is due every 20 ms for two seconds: the share of late probes is the share of time in which
    nobody would have been answered at once. One is asked at a time, and its answer is that of every
    probe that became due meanwhile: a loop that stands still for 200 ms is late for all ten, and no
    probe waits for another's way there and back, which a busy machine makes long.
    """
    late: list[float] = []
    with httpx.Client(base_url=url, timeout=60) as client:
        due = time.perf_counter()
        while len(late) < PROBES:
            time.sleep(max(0.0, due - time.perf_counter()))  # noqa: TID251 - by schedule
            assert client.get("/livez").status_code == 200
            answered = time.perf_counter()
            while due <= answered:
                late.append(answered - due)
                due += 0.020
    return late


def slowest_tenth(late: list[float]) -> float:
    """Return the time that nine of ten stay below."""
    return statistics.quantiles(late, n=10)[-1]
