"""What a refused body is answered with, and how large a body may be that is to be refused."""

import httpx

LARGEST_BYTES = 2_090_000
"""Bytes of a body that is taken by every service, to a small part."""


def full(head: bytes, part: bytes, tail: bytes) -> bytes:
    """Return a body as large as is taken, of many small parts."""
    return head + b",".join([part] * (LARGEST_BYTES // (len(part) + 1))) + tail


def assert_refused(answer: httpx.Response, name: str) -> None:
    """Check that an answer is a 4xx problem document that gives away nothing of the program."""
    assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text[:500])
    # Clients of the inference protocols read the reason of an error from nothing else.
    is_v2 = answer.request.url.path.startswith("/v2/")
    kind = "application/json" if is_v2 else "application/problem+json"
    assert answer.headers["content-type"] == kind, name
    document = answer.json()
    assert document["detail"], name
    assert document["request_id"] == answer.headers["x-request-id"]
    assert len(answer.content) < 100_000, name
    assert "Traceback" not in answer.text, name
    assert ".py" not in answer.text, name
