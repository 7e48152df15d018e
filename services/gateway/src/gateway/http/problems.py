"""Local replies: RFC 9457 documents of the gateway's own, with an RFC 9209 `Proxy-Status`.

A service's own error passes through untouched; `Proxy-Status` tells the two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import orjson
from failover import NoInstance, Outcome
from service_kit import Problem

STATUS_OF: Final[Mapping[Outcome, tuple[int, str, str]]] = {
    Outcome.REFUSED: (503, "connection_refused", "No instance of the service can be reached."),
    Outcome.STALE: (502, "connection_terminated", "The connection to the service was lost."),
    Outcome.BROKEN: (502, "connection_terminated", "The service closed without an answer."),
    Outcome.GARBLED: (502, "http_protocol_error", "The service's answer is not valid HTTP."),
    Outcome.MISFRAMED: (502, "http_protocol_error", "The service's answer contradicts itself."),
    Outcome.TIMED_OUT: (504, "http_response_timeout", "The service did not answer in time."),
}
"""Status, RFC 9209 error and words for a request, by the outcome of its last attempt."""
UNSERVED: Final = (
    503,
    "destination_unavailable",
    "The service's instances say that they cannot serve.",
)
"""The same for any other outcome: a response came and was dropped in the hope of a better one."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a reply that is not a problem document; by default, none.

    Attributes:
        body: bytes.
        media_type: `Content-Type`, "" without a body.
    """

    body: bytes = b""
    media_type: str = ""


class LocalReply(Exception):  # noqa: N818 - a reply to the client, not a fault of ours
    """A reply that the gateway makes itself, raised wherever a request turns out to need one.

    Attributes:
        status: HTTP status.
        error: RFC 9209 error type (or a slug of ours in the same style).
        detail: what happened, and what the client can do.
        retry_after: seconds for `Retry-After`, if any.
        lines: more response fields, rendered.
        content: what the reply has instead of a problem document.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        *,
        retry_after: int | None = None,
        lines: Sequence[bytes] = (),
        content: Content | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.retry_after = retry_after
        self.lines = tuple(lines)
        self.content = content


@dataclass(frozen=True, slots=True)
class ProblemContext:
    """The facts that a problem document tells about its request.

    Attributes:
        request_id: as in the log.
        service: the Nacos service, "" before it is known.
        path: of the request.
        attempts: error and milliseconds of each attempt, for the reader of the document.
        name: the gateway's own, for `Proxy-Status`.
    """

    request_id: str
    service: str = ""
    path: str = "/"
    attempts: Sequence[Mapping[str, object]] = field(default_factory=tuple)
    name: str = "gateway"


def no_instance(reason: NoInstance) -> LocalReply:
    """Say that there is no instance to ask."""
    if reason is NoInstance.FULL:
        detail = "Every instance has all the requests it may have."
        return LocalReply(503, "connection_limit_reached", detail, retry_after=1)
    return LocalReply(503, "destination_unavailable", "The service has no instance.", retry_after=1)


def attempts_failed(outcome: Outcome, fault: str = "") -> LocalReply:
    """Say how the last attempt failed; `fault`: what is wrong with the service's answer."""
    status, error, detail = STATUS_OF.get(outcome, UNSERVED)
    busy = status == HTTPStatus.SERVICE_UNAVAILABLE
    if fault:
        detail = f"{detail.rstrip('.')}: {fault}."
    return LocalReply(status, error, detail, retry_after=1 if busy else None)


def timed_out(seconds: float, setting: str) -> LocalReply:
    """Say which limit the service did not keep, and by which setting the limit changes."""
    status, error, _ = STATUS_OF[Outcome.TIMED_OUT]
    detail = f"The service did not answer within {seconds:g} s: {setting}."
    return LocalReply(status, error, detail)


def no_connection_in_time() -> LocalReply:
    """Say that the time was over while other requests got connections."""
    detail = "The request's time was over before it had a connection to the service."
    return LocalReply(504, "connection_timeout", detail)


def unknown_service() -> LocalReply:
    """Say that there is no such service."""
    return LocalReply(404, "destination_not_found", "There is no service of this name.")


def body_too_large(limit: int) -> LocalReply:
    """Say that the body is too large."""
    return LocalReply(413, "payload_too_large", f"The body is larger than {limit} bytes.")


def not_http() -> LocalReply:
    """Say that the bytes are not HTTP."""
    return LocalReply(400, "http_request_error", "This is not a valid HTTP/1.1 request.")


def gateway_fault() -> LocalReply:
    """Say that the gateway itself failed."""
    return LocalReply(500, "proxy_internal_error", "The gateway failed; its log says why.")


def too_many_connections() -> LocalReply:
    """Say that there are too many connections."""
    return LocalReply(503, "connection_limit_reached", "Too many connections.", retry_after=1)


def slow_head() -> LocalReply:
    """Say that the head took too long."""
    return LocalReply(408, "http_request_error", "The head took too long to arrive.")


def slow_body() -> LocalReply:
    """Say that the body took too long."""
    return LocalReply(408, "http_request_error", "The body took too long to arrive.")


@lru_cache(4)
def date_line(second: int) -> bytes:
    """Render `Date` for a Unix time; the replies of one second share the result."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()


def render(reply: LocalReply, context: ProblemContext) -> tuple[list[bytes], bytes]:
    """Return the rendered fields and the body of a local reply."""
    error = f"Proxy-Status: {context.name}; error={reply.error}\r\n".encode()
    if reply.content is not None:
        lines = [*reply.lines]
        if reply.content.media_type:
            lines.append(f"Content-Type: {reply.content.media_type}\r\n".encode())
        if reply.content.body:
            lines.append(error)
        return lines, reply.content.body
    problem = Problem(reply.status, reply.detail, type=reply.error.replace("_", "-"))
    standard: dict[str, object] = {
        "type": problem.type,
        "title": problem.title,
        "status": reply.status,
        "detail": reply.detail,
        "error": reply.detail,
        "instance": context.path,
        "request_id": context.request_id,
    }
    if context.service:
        standard["service"] = context.service
    if context.attempts:
        standard["attempts"] = context.attempts
    body = orjson.dumps(standard)
    lines = [
        b"Content-Type: application/problem+json\r\n",
        error,
        *reply.lines,
    ]
    if reply.retry_after is not None:
        lines.append(b"Retry-After: %d\r\n" % reply.retry_after)
    return lines, body
