"""Logs: one line for each event, a name and keys, as JSON or text, written by a separate thread.

`log.info("config_applied", extra={"version": md5})` becomes
`{"time": ..., "level": "info", "logger": ..., "event": "config_applied", "version": ...}`.
A slow or stuck standard output never holds up the event loop: a bounded queue stands between, and
an event that does not fit into the queue is counted and dropped.
"""

import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue

import orjson
from prometheus_client import Counter

from service_kit.metric_families import MetricFamily
from service_kit.settings import ProcessSettings

QUEUED_EVENTS = 10_000
"""Events that may wait for standard output: some seconds of a busy service, 10 MB at worst."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

DROPPED = MetricFamily(
    "counter", "log_events_dropped", "Log events lost because standard output is too slow"
)
dropped = Counter(DROPPED.name, DROPPED.text)

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}
_SECRET_KEY = re.compile(r"passw|secret|token|authorization|credential|api[_-]?key", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    rf"""((?:{_SECRET_KEY.pattern})[\w-]{{0,32}}["']?\s*[=:]\s*["']?"""
    r"""(?:(?:basic|bearer|digest|negotiate|token)\s+)?)[^\s"'&,;}]+""",
    re.IGNORECASE,
)
_DEPTH = 8
"""Levels of values within values that are logged; a deeper value is shown as `...`."""


def _shown(text: object) -> str:
    """Return a value as text, with `***` in place of what follows the name of a secret."""
    return _SECRET_TEXT.sub(r"\1***", str(text))


def _hidden(value: object, depth: int = 0) -> object:
    """Return a value with `***` in place of the secrets in its texts and under its keys."""
    if isinstance(value, str):
        return _shown(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == _DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {
            key: "***" if _SECRET_KEY.search(str(key)) else _hidden(inner, depth + 1)
            for key, inner in value.items()
        }
    return [_hidden(inner, depth + 1) for inner in value]


def event_of(record: logging.LogRecord) -> dict[str, object]:
    """Return a record as the keys and values of one event, secrets replaced by `***`."""
    event: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": _shown(record.getMessage()),
    }
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            event[key] = "***" if _SECRET_KEY.search(key) else _hidden(value)
    if record.exc_info:
        event["exception"] = _shown(logging.Formatter().formatException(record.exc_info))
    return event


def _spelled(value: object) -> str:
    return _shown(repr(value))


class JsonFormatter(logging.Formatter):
    """Formats each event as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line."""
        options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
        return orjson.dumps(event_of(record), default=_spelled, option=options).decode()


class TextFormatter(logging.Formatter):
    """Formats each event for a terminal: time, level, logger, name, then `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line, its traceback below."""
        event = event_of(record)
        exception = event.pop("exception", None)
        time, level, logger, name = (event.pop(key) for key in ("time", "level", "logger", "event"))
        keys = "".join(f" {key}={_shown(value)}" for key, value in event.items())
        below = f"\n{exception}" if exception else ""
        return f"{time} {str(level).upper():7} {logger} {name}{keys}{below}"


class LogOutlet(QueueHandler):
    """Queues each event as a formatted line without ever waiting; a full queue drops the event.

    An event is formatted in the task that logs it, which knows the ids of its request.

    Attributes:
        writer: the thread that writes the lines, to be ended with the outlet; None for another's.
    """

    writer: QueueListener | None = None

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record whose message is the formatted line, with the request's ids."""
        for name, value in (("request_id", request_id.get()), ("trace_id", trace_id.get())):
            if value is not None and name not in record.__dict__:
                record.__dict__[name] = value
        line = self.format(record)
        return logging.makeLogRecord({"msg": line, "levelno": record.levelno})

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it as dropped."""
        try:
            self.queue.put_nowait(record)
        except Full:
            dropped.inc()

    def close(self) -> None:
        """Have the events that wait written; `logging.shutdown` does so as the process ends."""
        if self.writer is not None:
            self.writer.stop()
            self.writer = None
        super().close()


def configure_logs(settings: ProcessSettings) -> None:
    """Send every logger of the process to standard output in the format of the settings."""
    queue: Queue[logging.LogRecord] = Queue(QUEUED_EVENTS)
    outlet = LogOutlet(queue)
    outlet.writer = QueueListener(queue, logging.StreamHandler(sys.stdout))
    outlet.writer.start()
    outlet.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[outlet], level=settings.log_level, force=True)
    logging.captureWarnings(capture=True)
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.root.level))
