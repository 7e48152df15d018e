"""Whether a service answers /livez while it computes."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

LIVE_SECONDS = 0.050
WINDOWS = 20
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


def assert_alive_while(url: str, path: str, body: bytes, folder: Path) -> list[str]:
    """Probe /livez while a caller asks for the same thing again and again.

    What is held to the limit is the 90th percentile of the probes, not the maximum: a loop that
    every call stops for longer is late all the time, as calls follow one another without a pause; a
    single late moment in two seconds is the machine's. It may be busy with other things, which no
    process can help: how much longer than usual the idle service takes for its slowest tenth is
    not held against the busy one either, and one quiet window of several is enough: what the calls
    themselves cause is in each of them.

    Returns:
        the statuses of the calls that ended meanwhile, after a first one, which is 200.
    """
    file = folder / "body"
    file.write_bytes(body)
    idle = probe(url)
    limit = LIVE_SECONDS + slowest_tenth(idle) - min(idle)
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, url + path, file], stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "200\n"
        busy = [slowest_tenth(probe(url))]
        while busy[-1] >= limit and len(busy) < WINDOWS:
            busy.append(slowest_tenth(probe(url)))
        caller.kill()
        finished = caller.stdout.read().split()

    assert busy[-1] < limit, (path, busy)
    return finished


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
