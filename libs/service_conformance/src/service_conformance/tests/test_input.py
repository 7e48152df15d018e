"""Whatever is sent: a clear 4xx, no traceback, no hang, bounded memory, and the service goes on."""

import gzip
import json
import socket

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_conformance.refusal import assert_refused, full
from service_conformance.subject import JSON, Post

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
SECONDS = 30.0
GROWTH_BYTES = 150 * 2**20


def bad_bodies(post: Post) -> dict[str, bytes]:
    """Return bodies that no route takes, some of them made of the route's own example."""
    good = json.dumps(post.example).encode()
    (name,) = (key for key in post.example if key != "outputs")
    key = json.dumps(name).encode()

    def instead(value: object) -> bytes:
        return json.dumps(post.example | {name: value}).encode()

    of_json = {"another member": json.dumps(post.example | {"no_such_member": 1}).encode()}
    # The protocol lets a request have members that a server does not know.
    return ({} if post.template.startswith("/v2/") else of_json) | {
        "nothing": b"",
        "blank": b" \n",
        "null": b"null",
        "number": b"17",
        "text": b'"points"',
        "list": b"[]",
        "empty object": b"{}",
        "truncated": good[:-2],
        "two documents": good + good,
        "trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "null instead": instead(None),
        "text instead": instead("1,2"),
        "number instead": instead(7),
        "object instead": instead({}),
        "no rows": instead([]),
        "null for a row": instead([None]),
        "lists for rows": instead([[[]]]),
        "not a number": b"{" + key + b":[NaN]}",
        "infinity": b"{" + key + b":[-Infinity]}",
        "beyond numbers": b"{" + key + b":[[1e400]]}",
        "longest integer": b"{" + key + b":[[" + b"9" * 10_000 + b"]]}",
        "zeros": full(b"{" + key + b":[", b"0", b"]}"),
        "lists": full(b"{" + key + b":[", b"[]", b"]}"),
        "objects": full(b"{" + key + b":[", b"{}", b"]}"),
        "deep list": b"{" + key + b":" + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep object": b"{" + key + b":" + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        "not UTF-8": b"{" + key + b':["\xff\xfe"]}',
        "UTF-16": good.decode().encode("utf-16"),
        "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + good,
        "lone surrogate": b"{" + key + b':["\\ud800"],"\\udfff":1}',
        "null byte": b"{" + key + b':["\\u0000"]}',
        "many unknown keys": instead([{f"k{i}": i for i in range(100_000)}]),
        "ten megabytes": b"{" + key + b':"' + b"x" * 10_000_000 + b'"}',
    }


def test_the_example_of_each_route_is_answered(conforming):
    """What the documentation shows is answered, with a byte order mark before it too."""
    assert {post.template for post in conforming.posts} > {"/v2/models/{model_name}/infer"}
    for post in conforming.posts:
        body = json.dumps(post.example)
        for each in (body, "\ufeff" + body):
            answer = httpx.post(conforming.url + post.path, content=each, headers=JSON, timeout=60)
            assert answer.status_code == 200, (post.path, answer.text)


def test_every_bad_body_is_refused(conforming):
    """Each kind of bad body gets a 4xx problem document in time, and nothing is logged as a bug.

    The process never holds much more than before, not even while it looks for what is wrong.
    """
    conforming.forget_peak()
    before = conforming.memory()
    with httpx.Client(base_url=conforming.url, headers=JSON, timeout=SECONDS) as client:
        for post in conforming.posts:
            for name, body in bad_bodies(post).items():
                assert_refused(client.post(post.path, content=body), f"{post.path}: {name}")

    assert conforming.memory("VmHWM") - before < GROWTH_BYTES
    assert "Traceback" not in conforming.text
    assert httpx.get(conforming.url + "/readyz").status_code == 200


def test_a_gzip_bomb_is_not_unpacked(conforming):
    """A compressed body of a thousand times its size is refused after the limit of any body."""
    # RFC 1952, 2.2: members one after the other are one file; so a gigabyte is made at once.
    bomb = gzip.compress(b"\0" * 2**20) * 1000
    before = conforming.memory()
    for post in conforming.posts:
        url, headers = conforming.url + post.path, JSON | {"Content-Encoding": "gzip"}
        answer = httpx.post(url, content=bomb, headers=headers, timeout=SECONDS)

        assert_refused(answer, post.path)
        assert answer.status_code == 413
    assert conforming.memory() - before < GROWTH_BYTES


@pytest.mark.parametrize(
    "declared", ["text/csv", "application/xml", "multipart/form-data", "\u00ff"]
)
def test_a_wrong_content_type_is_refused(conforming, declared):
    """A body declared to be something else than JSON is 415."""
    for post in conforming.posts:
        answer = httpx.post(
            conforming.url + post.path,
            content=json.dumps(post.example),
            headers=[(b"content-type", declared.encode("latin-1"))],
            timeout=SECONDS,
        )
        assert answer.status_code == 415, post.path


def test_abandoned_bodies_do_no_harm(conforming):
    """Callers that go away in the middle of a body leave nothing behind but a closed connection."""
    host, port = conforming.url.removeprefix("http://").split(":")
    path = conforming.posts[0].path
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    for _ in range(50):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + b'{"inputs":')

    assert httpx.get(conforming.url + "/readyz").status_code == 200
    assert "Traceback" not in conforming.text


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("examples", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_the_openapi_promise_is_kept(conforming, mode, examples):
    """Generated calls of every route get documented statuses, types and shapes, never a 5xx."""
    url = conforming.url + conforming.description_path
    schema = schemathesis.openapi.from_url(url, timeout=SECONDS)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.body:
            try_all(operation.as_strategy(generation_mode=mode), examples)
    assert "Traceback" not in conforming.text


def try_all(cases: SearchStrategy[schemathesis.Case], examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(cases)
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=SECONDS)

    call()
