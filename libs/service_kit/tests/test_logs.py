"""Events as lines."""

import json
import logging
from queue import Queue

import pytest
from prometheus_client import REGISTRY
from service_kit import logs

DROPPED = "log_events_dropped_total"
RECORD = {"name": "a.b", "levelno": 20, "levelname": "INFO", "msg": "applied", "created": 0.0}


def event(**more):
    return json.loads(logs.JsonFormatter().format(logging.makeLogRecord({**RECORD, **more})))


def test_event_is_one_json_line_with_its_keys():
    """An event is one line: time, level, logger, name, keys."""
    assert event(version="1", rows=3) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "logger": "a.b",
        "event": "applied",
        "version": "1",
        "rows": 3,
    }


def test_secrets_are_redacted():
    """Keys that name a secret, and secrets inside texts, never reach the log."""
    keys = {"nacos_password": "hunter2", "api_key": "k"}
    message = "login password=hunter2 accessToken: abc.def Authorization: Bearer xyz"
    found = event(msg=message, **keys)

    text = json.dumps(found)
    assert not any(secret in text for secret in ("hunter2", "abc.def", "xyz", '"k"'))
    assert [found[key] for key in ("nacos_password", "api_key")] == ["***", "***"]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic aGlkZGVu",
        "Proxy-Authorization: Digest aGlkZGVu",
        "{'authorization': 'Bearer aGlkZGVu'}",
        "NACOS_SECRET_KEY=aGlkZGVu",
        "secret-key: aGlkZGVu",
        "secretKey = 'aGlkZGVu'",
        "access_key_secret=aGlkZGVu",
        "credentials=aGlkZGVu",
        "passwd=aGlkZGVu",
        "x?accessToken=aGlkZGVu&y=1",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        lambda text: {"msg": text},
        lambda text: {"header": text},
        lambda text: {"request": {"headers": [text, ("a", text)]}},
        lambda text: {"error": ValueError(text)},
    ],
    ids=["message", "value", "nested", "object"],
)
def test_no_spelling_of_a_secret_in_a_text_is_logged(text, place):
    """A secret is found in the message and in the values, however deep, whatever is around it."""
    record = logging.makeLogRecord({**RECORD, **place(text)})
    for line in (logs.JsonFormatter().format(record), logs.TextFormatter().format(record)):
        assert "aGlkZGVu" not in line
        assert "***" in line


def test_secrets_within_values_are_redacted_by_their_key():
    """A key that names a secret hides what it holds at any depth, and only that."""
    found = event(sent={"user": "u", "password": "hunter2", "rows": [{"token": ["t"]}, 3]})
    assert found["sent"] == {"user": "u", "password": "***", "rows": [{"token": "***"}, 3]}


def test_a_value_without_end_still_makes_a_line():
    """A value that contains itself is cut off."""
    endless = {"a": 1}
    endless["self"] = endless
    assert event(odd=endless)["odd"]["a"] == 1


def test_what_only_looks_like_a_secret_stays():
    """Words beside `token` or `secret` are not taken for one."""
    assert event(msg="the token is old", note="no secret here")["note"] == "no secret here"
    assert event(msg="the token is old")["event"] == "the token is old"


def test_unprintable_values_still_make_a_line():
    """A key with a value that JSON does not know is shown as Python would."""
    assert event(odd={1, 2})["odd"] == "{1, 2}"


def test_full_queue_drops_and_counts():
    """A stuck standard output costs events, never time."""
    outlet = logs.LogOutlet(Queue(1))
    before = REGISTRY.get_sample_value(DROPPED)
    for _ in range(3):
        outlet.handle(logging.makeLogRecord(RECORD))

    assert REGISTRY.get_sample_value(DROPPED) == before + 2


def test_request_id_and_trace_id_are_on_the_line():
    """An event that is logged while a request is served carries the request's ids."""
    queue: Queue[logging.LogRecord] = Queue()
    outlet = logs.LogOutlet(queue)
    outlet.setFormatter(logs.TextFormatter())
    reset = logs.request_id.set("r-1"), logs.trace_id.set("t-1")
    outlet.handle(logging.makeLogRecord(RECORD))
    logs.request_id.reset(reset[0])
    logs.trace_id.reset(reset[1])

    assert queue.get_nowait().msg.endswith("INFO    a.b applied request_id=r-1 trace_id=t-1")
