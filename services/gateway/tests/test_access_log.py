"""The access log's lines: what they say, and that nothing a stranger sends can break them."""

import contextlib
import json
import logging
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from failover import Outcome
from gateway.http.heads import Head
from gateway.telemetry.access_log import MAX_PATH_BYTES, AccessLog, line
from gateway.telemetry.records import RequestRecord

pytestmark = pytest.mark.anyio


def told(path: bytes, *, attempts: int = 1) -> dict[str, object]:
    """The line of a request, read back."""
    head = Head(
        b"POST",
        path + b"?secret=1",
        path,
        lines=b"",
        handled={},
        length=0,
        close=False,
        http10=False,
    )
    record = RequestRecord(head, b"127.0.0.1", b"id-1", 10.0)
    record.route, record.service = 'the "first"', "car-evaluation"
    record.ended_attempts = [("10.0.0.1:8001", Outcome.ANSWERED, 0.001)] * attempts
    raw = line(record, 200, 130, "answered", 10.0125, wall=1_700_000_000.0625)
    assert raw.endswith(b"}\n")
    assert raw.count(b"\n") == 1
    return json.loads(raw)


def test_a_line_says_what_happened():
    """One JSON object: time, request, answer, who gave it, how long it took; no query."""
    assert told(b"/cars/predict") == {
        "time": "2023-11-14T22:13:20.062+00:00", "level": "info", "logger": "gateway.access",
        "event": "request", "request_id": "id-1", "client": "127.0.0.1", "method": "POST",
        "path": "/cars/predict", "status": 200, "result": "answered", "bytes": 130, "ms": 12.5,
        "route": 'the "first"', "service": "car-evaluation", "instance": "10.0.0.1:8001",
        "attempts": 1,
    }  # fmt: skip


def test_without_an_attempt_there_is_no_instance():
    """A request that reached nobody says so."""
    assert told(b"/x", attempts=0)["instance"] is None


@pytest.mark.parametrize("path", [b'/a"b\\c', b"/a\r\nb\x01", b"/caf\xc3\xa9\xff", b"/%b%d"])
def test_a_path_cannot_forge_a_line(path):
    """Quotes, line ends and bytes that are no text stay inside their string."""
    assert told(path)["path"] == path.decode("latin-1")


def test_a_long_path_is_cut():
    """What waits for a slow reader is bounded in bytes, not only in lines."""
    assert told(b"/" + b"a" * 8000)["path"] == "/" + "a" * (MAX_PATH_BYTES - 1)


def test_a_line_fits_one_write_to_a_pipe():
    """Whatever a client sends and a document names, a line is no longer than PIPE_BUF."""
    path = b"/" + b"\x01" * MAX_PATH_BYTES
    head = Head(b"OPTIONS", path, path, lines=b"", handled={}, length=0, close=False, http10=False)
    record = RequestRecord(head, b"255.255.255.255", b"i" * 128, 10.0)
    record.route, record.service = "\x01" * 64, "s" * 63
    record.ended_attempts = [("255.255.255.255:65535", Outcome.ANSWERED, 0.001)]

    raw = line(record, 200, 2**63, "answered", 1e9, wall=1_700_000_000.0625)

    assert len(raw) < select.PIPE_BUF
    told = json.loads(raw)["path"]
    assert path.decode().startswith(told)
    assert len(told) > 300, "no more than needed is cut"


def record(number: int) -> RequestRecord:
    head = Head(b"GET", b"/x", b"/x", lines=b"", handled={}, length=0, close=False, http10=False)
    return RequestRecord(head, b"127.0.0.1", b"id-%d" % number, 10.0)


def numbers(data: bytes) -> list[int]:
    """The requests of whole lines, each readable."""
    return [int(json.loads(one)["request_id"].removeprefix("id-")) for one in data.splitlines()]


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe in non-blocking mode."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def read_until(reading: int, count: int) -> bytes:
    """Read that many lines."""
    data = b""
    while data.count(b"\n") < count:
        assert select.select([reading], [], [], 5)[0], "nothing more is written"
        data += os.read(reading, 65536)
    return data


@pytest.mark.parametrize("shared", [False, True])
async def test_a_pipe_that_is_full_for_a_while_loses_nothing(world, shared):
    """A pipe in non-blocking mode says EAGAIN: the log waits for its reader and goes on."""
    count = 5000
    with pipe() as (reading, writing):
        log = AccessLog(lambda: 1_700_000_000.0, writing, shared=shared)
        for number in range(count):  # more than a pipe holds
            log(record(number), 200, 0, "answered", 10.0)
        await world.until(lambda: not select.select([], [writing], [], 0)[1], "a full pipe")
        data = read_until(reading, count)
        log(record(count), 200, 0, "answered", 10.0)
        data += read_until(reading, 1)
        log.close()

    assert numbers(data) == list(range(count + 1))
    assert log.dropped == 0


def switches(thread: threading.Thread) -> int:
    """Return how often a thread of this process gave its processor up by itself."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("voluntary_ctxt_switches:")[2].split(maxsplit=1)[0])


@pytest.mark.parametrize("lines", [0, 1])
def test_nothing_wakes_the_thread_of_an_idle_log(lines):
    """Its thread sleeps until a line comes: there is half a second in which it never wakes."""
    with pipe() as (reading, writing):
        before = set(threading.enumerate())
        log = AccessLog(lambda: 1_700_000_000.0, writing)
        (thread,) = set(threading.enumerate()) - before
        for number in range(lines):
            log(record(number), 200, 0, "answered", 10.0)
        assert read_until(reading, lines).count(b"\n") == lines
        ends = time.monotonic() + 10
        woken = 1
        while woken and time.monotonic() < ends:
            seen = switches(thread)
            select.select([reading], [], [], 0.5)
            woken = switches(thread) - seen
        log.close()
    assert woken == 0


async def test_the_end_does_not_wait_for_a_reader(world):
    """Nobody reads a pipe in non-blocking mode: the end comes in time, and lost lines are counted.

    With those that were taken they are all that there were.
    """
    count = 5000
    with pipe() as (reading, writing):
        log = AccessLog(lambda: 1_700_000_000.0, writing, shared=True)
        for number in range(count):
            log(record(number), 200, 0, "answered", 10.0)
        log.close()
        await world.until(lambda: not log.running, "the end of the writer")
        taken = numbers(os.read(reading, 2**20))

    assert taken == list(range(len(taken)))
    assert log.dropped == count - len(taken) > 0


async def test_a_full_disk_costs_what_it_has_no_room_for(world, tmp_path, caplog):
    """A write that fails is said once and its lines are counted; the log goes on, line by line.

    A file may not grow beyond RLIMIT_FSIZE, as on a full disk: the write before it is cut short.
    """
    place = tmp_path / "log"
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = AccessLog(lambda: 1_700_000_000.0, file)
    caplog.set_level(logging.ERROR, "gateway.telemetry.access_log")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, was[1]))
        for number in range(100):
            log(record(number), 200, 0, "answered", 10.0)
        await world.until(lambda: place.read_bytes().count(b"\n") + log.dropped == 100)
        lost = log.dropped
        log(record(100), 200, 0, "answered", 10.0)
        await world.until(lambda: log.dropped == lost + 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        log(record(101), 200, 0, "answered", 10.0)
        await world.until(lambda: b'"id-101"' in place.read_bytes())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, handler)
        log.close()
        os.close(file)

    *before, cut, last = place.read_bytes().splitlines()
    assert numbers(b"\n".join(before)) == list(range(len(before)))
    assert len(before) + log.dropped == 101
    assert not cut.endswith(b"}"), "the file ended in the middle of a line"
    assert numbers(last) == [101]
    assert [one.message for one in caplog.records] == ["access_log_not_written"]


async def test_a_reader_that_has_gone_is_counted(world):
    """EPIPE: every line is counted as lost, those after it too."""
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(lambda: 1_700_000_000.0, writing)
    log(record(0), 200, 0, "answered", 10.0)
    await world.until(lambda: log.dropped == 1)
    log(record(1), 200, 0, "answered", 10.0)
    await world.until(lambda: log.dropped == 2)
    log.close()
    os.close(writing)


def test_lines_of_several_workers_do_not_run_into_each_other():
    """Each write to a shared pipe is of whole lines, and no larger than a pipe takes at once.

    In packet mode (pipe2, O_DIRECT) a read returns what one write wrote.
    """
    reading, writing = os.pipe2(os.O_DIRECT)
    log = AccessLog(lambda: 1_700_000_000.0, writing, shared=True)
    head = Head(
        b"POST", b"/x", b"/x" * 200, lines=b"", handled={}, length=0, close=False, http10=False
    )
    try:
        for number in range(100):
            record = RequestRecord(head, b"127.0.0.1", b"id-%d" % number, 10.0)
            log(record, 200, 130, "answered", 10.0)
        writes = []
        while sum(data.count(b"\n") for data in writes) < 100:
            assert select.select([reading], [], [], 5)[0], "nothing more is written"
            writes.append(os.read(reading, 65536))
    finally:
        log.close()
        os.close(reading)
        os.close(writing)

    assert all(len(one) <= select.PIPE_BUF for one in writes)
    told = [json.loads(one)["request_id"] for data in writes for one in data.splitlines()]
    assert told == [f"id-{number}" for number in range(100)]
