"""The outermost ASGI layer of a service: request id, limits, deadline, metrics, last-resort errors.

All of this is one layer, because each wrapped `send` costs microseconds on every request. The layer
reads the whole body before the application runs, unpacked if it came compressed, bounded in bytes
(and by `service_kit.http` in seconds), and leaves the body in `scope["body"]`; the application can
also get it from `receive`. So no route needs limits of its own. A byte order mark before a JSON
body is dropped. A large answer is packed for a client that asks.

The layer also drops the slash at the end of a path: `/docs/` is `/docs` for everything inside it.
Starlette would answer 307 with the address at which the service itself listens, which a caller
behind a gateway cannot reach.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit import call_spans, logs, tracing
from service_kit.bodies import is_json
from service_kit.content_codings import (
    WORTH_PACKING_BYTES,
    Unpacker,
    accepts_gzip,
    coding_of,
    packed_at_once,
    packing,
)
from service_kit.correlation import REQUEST_ID, TRACEPARENT
from service_kit.deadline import CALLER_S_LIMIT, OWN_LIMIT, Deadline
from service_kit.metric_families import MetricFamily
from service_kit.problem import Problem, media_type, stopping, told, translate
from service_kit.settings import REQUEST_TIMEOUT_SECONDS

MAX_BODY_BYTES = 4 * 1024 * 1024
BYTE_ORDER_MARK = "\ufeff".encode()
"""The bytes that programs on Windows put before JSON; a reader may ignore them (RFC 8259, 8.1)."""

_log = logging.getLogger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DISCONNECTED = 499
"""The status in metrics of a client that went away, as in nginx's logs; it is never sent."""

REQUESTS = MetricFamily(
    "histogram",
    "http_request_duration_seconds",
    "Time from the request's head to the end of its answer; its count is the request count",
    ("method", "route", "status", "model_version"),
)
requests = Histogram(
    REQUESTS.name,
    REQUESTS.text,
    REQUESTS.labels,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A POST route whose plain requests need not wait for anything, so that no task is made.

    Attributes:
        path: path of the route, and the route's label in metrics.
        answer: gets a `scope` as the application would, and returns the JSON document of a 200; or
            None, or raises a `Problem`, to leave the request to the application.
    """

    path: str
    answer: Callable[[Scope], bytes | None]


class RequestEdge:
    """The outermost layer around a service's application.

    The layer drops the last slash of `scope["path"]`, never of `scope["raw_path"]`, and adds to
    `scope`: `fields`, the header fields as a dict of bytes; `body` and `request_id` as bytes;
    `deadline`, the `Deadline` that its caller and the service's own limit leave; and `coding`, how
    the body came compressed, or None.

    Attributes:
        at_once: the route that `service_kit.at_once` answers before any application is called.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        model_version: str = "",
        at_once: AtOnce | None = None,
        tracer: tracing.Tracer | None = None,
    ) -> None:
        """Put the layer around `app`.

        Args:
            app: the application.
            max_body_bytes: a larger body is refused.
            timeout_seconds: the service's own limit for a request.
            model_version: labels the metric: it is the version of the model that answers.
            at_once: the route whose plain requests are answered at once.
            tracer: makes the spans of requests; None makes none.
        """
        self.at_once = at_once
        self._tracer = tracer
        self._app = app
        self._model_version = model_version
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds
        self._id_prefix = secrets.token_hex(8).encode()
        self._ids = itertools.count(1)
        self._observers: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = _DISCONNECTED

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", scope["request_id"]),
                ]
            await send(message)

        try:
            if "deadline" not in scope:  # else `answer_at_once` has read the head
                self._read_head(scope)
            send = packing(scope, send)
            body = await self._read_body(scope, receive)
            if body.startswith(BYTE_ORDER_MARK) and is_json(scope):
                body = body[len(BYTE_ORDER_MARK) :]
            scope["body"] = body
            await self._app(scope, _replay(body, receive), answer)
        except _DisconnectedError:
            pass
        # Whatever it is, the caller gets a problem document. A task is cancelled as the server
        # ends, and ends here anyway: were that passed on, the server would answer 500 in plain text
        # and log a traceback.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see above
            problem = _problem_of(error, scope)
            if status == _DISCONNECTED:
                await _send_problem(problem, scope, answer)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    def answer_at_once(self, scope: Scope, body: bytes) -> tuple[bytes, bytes] | None:
        """Return the lines of a 200's fields, and its document; None if the application answers.

        Args:
            scope: has the keys `method`, `path`, `query_string` and `headers` of a request to
                `at_once.path`.
            body: its whole body.
        """
        if self.at_once is None or len(body) > self._max_body_bytes:
            return None
        started = time.perf_counter()
        try:
            self._read_head(scope)
            if scope["coding"] is not None:
                return None
            scope["body"] = body
            document = self.at_once.answer(scope)
        except Problem:
            return None
        except Exception:  # noqa: BLE001 - whatever it is, the application answers
            _log.exception("answer_at_once_failed", extra={"path": scope["path"]})
            return None
        if document is None:
            return None
        scope["route"] = self.at_once
        fields = b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
        if len(document) >= WORTH_PACKING_BYTES and accepts_gzip(scope):
            document = packed_at_once(document)
            fields += b"content-encoding: gzip\r\nvary: accept-encoding\r\n"
        self._observe(scope, 200, time.perf_counter() - started)
        return fields % (len(document), scope["request_id"]), document

    def _read_head(self, scope: Scope) -> None:
        """Fill `scope` from the header fields, `deadline` last.

        Raises:
            Problem: 400 for a bad deadline, 415 for a body of an unknown coding, 504 for a spent
                deadline.
        """
        if scope["path"].endswith("/"):
            scope["path"] = _without_last_slash(scope)
        fields: dict[bytes, bytes] = dict(scope["headers"])
        scope["fields"] = fields
        request_id = fields.get(b"x-request-id")
        if request_id is None or not REQUEST_ID.fullmatch(request_id):
            request_id = b"%s%x" % (self._id_prefix, next(self._ids))
        scope["request_id"] = request_id
        logs.request_id.set(request_id.decode())
        scope["coding"] = coding_of(fields) if b"content-encoding" in fields else None
        if b"traceparent" in fields and (trace := TRACEPARENT.fullmatch(fields[b"traceparent"])):
            logs.trace_id.set(trace[1].decode())
        call_spans.arrived.set((scope["headers"], self._tracer))
        if self._tracer is not None:
            span = scope["span"] = self._tracer.begin(fields.get(b"traceparent"))
            tracing.current.set(span)
            if span is not None:
                logs.trace_id.set(span.trace_id)
        seconds, source = self._timeout_seconds, OWN_LIMIT
        if b"x-request-timeout-ms" in fields:
            asked = _seconds(fields[b"x-request-timeout-ms"])
            if asked < seconds:
                seconds, source = asked, CALLER_S_LIMIT
        scope["deadline"] = Deadline(time.monotonic() + seconds, seconds, source)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        fields = scope["fields"]
        is_chunked = b"transfer-encoding" in fields
        length = None if is_chunked else int(fields.get(b"content-length", 0))
        if length == 0:
            return b""
        if length is not None and length > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        coding = scope["coding"]
        unpacker = None if coding is None else Unpacker(coding, self._max_body_bytes)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _DisconnectedError
            parts.append(unpacker.feed(message["body"]) if unpacker else message["body"])
            size += len(message["body"])
            more = message["more_body"]
            if size > self._max_body_bytes:
                raise _too_large(self._max_body_bytes)
        if unpacker:
            unpacker.end()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        # The route's template, never the path: callers must not be able to make labels.
        path = route.path if route is not None else "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        key = (method, path, status)
        observer = self._observers.get(key)
        if observer is None:
            observer = self._observers[key] = requests.labels(
                method, path, str(status), self._model_version
            )
        if self._tracer is None or (span := scope.get("span")) is None:
            observer.observe(seconds)
        else:
            observer.observe(seconds, span.exemplar)
            span.name = f"{method} {path}"
            span.attributes = {
                "http.request.method": method,
                "http.route": path,
                "http.response.status_code": status,
                "model.version": self._model_version,
                "request_id": scope["request_id"].decode(),
            }
            span.failed = status >= 500  # noqa: PLR2004 - HTTP's own failures of a server
            self._tracer.end(span)


class _DisconnectedError(Exception):
    """The client went away before its whole body had arrived."""


def _without_last_slash(scope: Scope) -> str:
    """Return the path without its last slash; a path of several last slashes is another resource.

    A slash that the caller encoded belongs to a segment, and `/` is the welcome page.
    """
    path: str = scope["path"]
    is_plain = scope.get("raw_path", b"/").endswith(b"/")
    return path[:-1] if is_plain and len(path) > 1 and path[-2] != "/" else path


def _seconds(milliseconds: bytes) -> float:
    """Return the seconds that the caller still waits for the answer.

    Raises:
        Problem: 400 for a malformed number, 504 for zero.
    """
    if not milliseconds.isdigit() or len(milliseconds) > len("600000000"):
        raise Problem(
            400, "X-Request-Timeout-Ms must be a whole number of milliseconds.", type="bad-deadline"
        )
    if int(milliseconds) == 0:
        detail = f"No time was left when the request arrived: {CALLER_S_LIMIT} is 0."
        raise Problem(504, detail, type="deadline", limit_seconds=0)
    return int(milliseconds) / 1000


def _too_large(limit: int) -> Problem:
    return Problem(
        413, f"The body is larger than {limit} bytes.", type="body-too-large", limit_bytes=limit
    )


def _problem_of(error: BaseException, scope: Scope) -> Problem:
    """Return what a caller is told of an error; log one that is no refusal of the request."""
    match error:
        case Problem():
            return error
        case asyncio.CancelledError():
            _log.warning("request_cut", extra={"path": scope["path"]})
            return stopping(has_begun=True)
        case _:
            _log.exception("request_failed", extra={"path": scope["path"]})
            return translate(error)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body at the first call, then waits for the disconnect."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _send_problem(problem: Problem, scope: Scope, send: Send) -> None:
    body = told(problem, scope["request_id"].decode())
    headers = [
        (b"content-type", media_type(scope["path"]).encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
