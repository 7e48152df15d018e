"""Events leave by a file or an HTTP address, whole, in order, and without holding anybody up."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Queue
from typing import ClassVar

import pytest
from service_kit import EventSink, logs, to_file, to_http
from service_kit.batch_sender import BATCH, QUEUED

LOGGER = "test.events"
DEADLINE_SECONDS = 60


class Receiver(BaseHTTPRequestHandler):
    """Receives batches; the first answers are those of `statuses`, all others 200."""

    statuses: ClassVar[Queue[int]] = Queue()
    batches: ClassVar[Queue[tuple[str, list[str]]]] = Queue()

    def do_POST(self) -> None:
        """Keep the lines of a batch that is taken."""
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 200 if self.statuses.empty() else self.statuses.get()
        if status == 200:
            self.batches.put((self.headers["content-type"], body.decode().splitlines()))
        self.send_response(status)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Answer well, as a page for people does that stands where a redirect leads."""
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(served: Callable[[type[BaseHTTPRequestHandler]], str]) -> str:
    """The address of a server that receives batches."""
    return f"{served(Receiver)}/events"


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


def log(*numbers: int) -> None:
    """Log an event for each number."""
    for number in numbers:
        logging.getLogger(LOGGER).info("seen", extra={"number": number})


def received(count: int) -> list[int]:
    """Return the numbers of that many events, as they arrive."""
    numbers: list[int] = []
    while len(numbers) < count:
        kind, lines = Receiver.batches.get(timeout=DEADLINE_SECONDS)
        assert kind == "application/x-ndjson"
        assert len(lines) <= BATCH
        numbers += [json.loads(line)["number"] for line in lines]
    return numbers


def test_a_file_has_each_event_and_the_log_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was logged until the sink is closed stands in the file, with its request's id."""
    sink = EventSink(LOGGER, to_file(tmp_path / "audit.jsonl"))
    token = logs.request_id.set("r-1")
    log(*range(1200))
    logs.request_id.reset(token)
    sink.close()
    log(7)

    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [each["number"] for each in events] == [*range(1200)]
    assert {(each["event"], each["request_id"]) for each in events} == {("seen", "r-1")}
    assert [each.number for each in caplog.records if each.name == LOGGER] == [7]


def test_a_quiet_log_loses_no_event(tmp_path: Path) -> None:
    """What the log leaves out by its level is in the file; afterwards the level is the log's."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.WARNING)
    sink = EventSink(LOGGER, to_file(tmp_path / "audit.jsonl"))
    log(1, 2)
    sink.close()

    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2
    assert logger.level == logging.WARNING


def test_a_receiver_gets_batches_in_order(receiver: str) -> None:
    """All events arrive, in order, in batches that are bounded."""
    sink = EventSink(LOGGER, to_http(receiver))
    log(*range(1200))
    arrived = received(1200)
    sink.close()

    assert arrived == [*range(1200)]


@pytest.mark.parametrize("status", [503, 302])
def test_a_batch_that_was_refused_is_sent_again(
    receiver: str, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A receiver that fails, or redirects, gets later what it missed; the log says so once."""
    for _ in range(2):
        Receiver.statuses.put(status)
    sink = EventSink(LOGGER, to_http(receiver))
    log(1)
    arrived = received(1)
    sink.close()

    assert arrived == [1]
    assert [each.message for each in caplog.records] == ["batch_not_sent"]


def test_a_receiver_that_hangs_holds_nobody_up() -> None:
    """Further events are dropped and counted when the queue is full; the end does not wait."""
    go_on, began = threading.Event(), threading.Event()

    def send(lines: object) -> None:
        del lines
        began.set()
        go_on.wait(DEADLINE_SECONDS)

    def lost() -> float:
        (family,) = logs.dropped.collect()
        return next(each.value for each in family.samples if each.name.endswith("_total"))

    before = lost()
    sink = EventSink(LOGGER, send)
    log(0)
    assert began.wait(DEADLINE_SECONDS)
    log(*range(QUEUED + 5))
    dropped = lost() - before
    go_on.set()
    sink.close()

    assert dropped == 5


@pytest.mark.parametrize("address", ["http://a..b/x?key=k", "http://[::1/x", "http://h:x/?key=k"])
def test_an_address_where_nothing_can_be_is_told(
    caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """The thread goes on, the log tells of each batch, and has no key from the address."""
    sink = EventSink(LOGGER, to_http(address))
    log(1, 2)
    sink.close()

    told = [each for each in caplog.records if each.name != LOGGER]
    assert sum(each.size for each in told if each.message == "batch_lost") == 2
    assert "key=" not in caplog.text + str([vars(each) for each in told])


def test_what_cannot_be_sent_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Closed while its receiver is gone, a sink says how many events were lost."""

    def send(lines: object) -> None:
        raise ConnectionRefusedError(lines)

    sink = EventSink(LOGGER, send)
    log(1, 2)
    sink.close()

    lost = [each.size for each in caplog.records if each.message == "batch_lost"]
    assert sum(lost) == 2
