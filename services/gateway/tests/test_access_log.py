"""The access log's lines: what they say, and that nothing a stranger sends can break them."""

import json
import os
import select

import pytest
from failover import Outcome
from gateway.access_log import MAX_PATH_BYTES, AccessLog, line
from gateway.http1 import Head
from gateway.ledger import Record


def told(path: bytes, *, attempts: int = 1) -> dict[str, object]:
    """The line of a request, read back."""
    head = Head(
        b"POST", path + b"?secret=1", path, lines=[], handled={}, length=0, close=False, old=False
    )
    record = Record(head, b"127.0.0.1", b"id-1", 10.0)
    record.route, record.service = 'the "first"', "car-evaluation"
    record.attempts = [("10.0.0.1:8001", Outcome.ANSWERED, 0.001)] * attempts
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


def test_lines_of_several_workers_do_not_run_into_each_other():
    """Each write to a shared pipe is of whole lines, and no larger than a pipe takes at once.

    In packet mode (pipe2, O_DIRECT) a read returns what one write wrote.
    """
    reading, writing = os.pipe2(os.O_DIRECT)
    log = AccessLog(lambda: 1_700_000_000.0, writing, shared=True)
    head = Head(b"POST", b"/x", b"/x" * 200, lines=[], handled={}, length=0, close=False, old=False)
    try:
        for number in range(100):
            record = Record(head, b"127.0.0.1", b"id-%d" % number, 10.0)
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
