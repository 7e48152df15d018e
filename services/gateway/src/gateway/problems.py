"""Answers made by the gateway itself: RFC 9457 documents with an RFC 9209 `Proxy-Status`.

A service's own error passes through untouched; `Proxy-Status` tells the two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from failover import NoInstance, Outcome
from service_kit import Problem

STATUS_OF: Mapping[Outcome, tuple[int, str, str]] = {
    Outcome.REFUSED: (503, "connection_refused", "No instance of the service can be reached."),
    Outcome.STALE: (502, "connection_terminated", "The connection to the service was lost."),
    Outcome.BROKEN: (502, "connection_terminated", "The service closed without an answer."),
    Outcome.GARBLED: (502, "http_protocol_error", "The service's answer is not valid HTTP."),
    Outcome.TIMED_OUT: (504, "http_response_timeout", "The service did not answer in time."),
}
"""Status, RFC 9209 error and words for a request whose last attempt ended so."""
UNSERVED = (503, "destination_unavailable", "The service's instances say that they cannot serve.")
"""The same for any other end: there was an answer, which was given up for a better one."""


class Refusal(Exception):  # noqa: N818 - an answer to the client, not a fault of ours
    """A request the gateway answers itself.

    Attributes:
        status: HTTP status.
        error: RFC 9209 error type (or a slug of ours in the same style).
        detail: what happened, and what to do.
        retry_after: seconds for `Retry-After`, if any.
        lines: more response fields, rendered.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str,
        *,
        retry_after: int | None = None,
        lines: Sequence[bytes] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.retry_after = retry_after
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Context:
    """What an error document tells about its request.

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


def nobody(reason: NoInstance) -> Refusal:
    """Say that there is no instance to ask."""
    if reason is NoInstance.FULL:
        detail = "Every instance has all the requests it may have."
        return Refusal(503, "connection_limit_reached", detail, retry_after=1)
    return Refusal(503, "destination_unavailable", "The service has no instance.", retry_after=1)


def failed(outcome: Outcome) -> Refusal:
    """Say how the last attempt failed."""
    status, error, detail = STATUS_OF.get(outcome, UNSERVED)
    busy = status == HTTPStatus.SERVICE_UNAVAILABLE
    return Refusal(status, error, detail, retry_after=1 if busy else None)


def unconnected() -> Refusal:
    """Say that the time was over while others were connected."""
    detail = "The request's time was over before it had a connection to the service."
    return Refusal(504, "connection_timeout", detail)


def not_found() -> Refusal:
    """Say that there is no such service."""
    return Refusal(404, "destination_not_found", "There is no service of this name.")


def too_large(limit: int) -> Refusal:
    """Say that the body is too large."""
    return Refusal(413, "payload_too_large", f"The body is larger than {limit} bytes.")


def malformed() -> Refusal:
    """Say that this is not HTTP."""
    return Refusal(400, "http_request_error", "This is not a valid HTTP/1.1 request.")


def internal() -> Refusal:
    """Say that it is our fault."""
    return Refusal(500, "proxy_internal_error", "The gateway failed; its log says why.")


def crowded() -> Refusal:
    """Say that there are too many connections."""
    return Refusal(503, "connection_limit_reached", "Too many connections.", retry_after=1)


def slow_head() -> Refusal:
    """Say that the head took too long."""
    return Refusal(408, "http_request_error", "The head took too long to arrive.")


def slow_body() -> Refusal:
    """Say that the body took too long."""
    return Refusal(408, "http_request_error", "The body took too long to arrive.")


def render(refusal: Refusal, context: Context) -> tuple[list[bytes], bytes]:
    """Return the fields (rendered) and the body of a refusal."""
    problem = Problem(refusal.status, refusal.detail, type=refusal.error.replace("_", "-"))
    standard: dict[str, object] = {
        "type": problem.type,
        "title": problem.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "error": refusal.detail,
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
        f"Proxy-Status: {context.name}; error={refusal.error}\r\n".encode(),
        *refusal.lines,
    ]
    if refusal.retry_after is not None:
        lines.append(b"Retry-After: %d\r\n" % refusal.retry_after)
    return lines, body
