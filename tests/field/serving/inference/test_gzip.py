"""Reports of compressed bodies that a server does not unpack, tried here.

tensorflow/serving 1091: a gzip body fails as broken JSON. SeldonIO/MLServer 319: no answer is
compressed. triton-inference-server/server 5185: an answer is, and nothing says so.
"""

import gzip
import json
import zlib

import pytest

CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
PATH = "/car-evaluation/api/v1/predict"
JSON = {"Content-Type": "application/json"}


def body(rows: int) -> bytes:
    return json.dumps({"inputs": [CAR] * rows}).encode()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress)],
    ids=["gzip", "GZIP", "deflate"],
)
@pytest.mark.parametrize("rows", [1, 5000])
def test_1091_a_compressed_body_is_a_body(served, rows, coding, pack):
    """Small and large bodies are unpacked, whichever spelling says that they are compressed."""
    fields = {"Content-Encoding": coding, **JSON}
    answer = served.ask(PATH, content=pack(body(rows)), headers=fields)

    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [1] * rows


@pytest.mark.parametrize("path", [PATH, PATH + "?probabilities=true"])
def test_319_5185_a_large_answer_is_compressed_and_says_so(served, path):
    """The same answer, in a tenth of the bytes, for a client that asks; a small one is plain."""
    plain = served.ask(path, content=body(5000), headers=JSON)
    packed = served.ask(path, content=body(5000), headers={**JSON, "Accept-Encoding": "gzip"})
    small = served.ask(path, content=body(1), headers={**JSON, "Accept-Encoding": "gzip"})

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"].lower() == "accept-encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    ids = {"request_id": ""}
    assert packed.json() | ids == plain.json() | ids
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in small.headers


def test_a_bomb_is_refused(served):
    """What would be a gigabyte is given up at the limit of a plain body."""
    bomb = gzip.compress(b"\0" * 2**20) * 1000
    answer = served.ask(PATH, content=bomb, headers={"Content-Encoding": "gzip", **JSON})

    assert answer.status_code == 413
    assert answer.json()["limit_bytes"] == 2 * 2**20


@pytest.mark.parametrize(
    "bad",
    [body(1), gzip.compress(body(1))[:-9], b"\x1f\x8b", b"x" * 9],
    ids=["plain", "a part", "a beginning", "others"],
)
def test_bytes_that_are_not_gzip_are_refused_in_words(served, bad):
    """A plain body, a part of a file and other bytes are 400, and Content-Encoding is named."""
    answer = served.ask(PATH, content=bad, headers={"Content-Encoding": "gzip", **JSON})

    assert answer.status_code == 400
    assert "Content-Encoding" in answer.json()["detail"]


def test_another_coding_is_415_and_names_those_that_are_known(served):
    """RFC 9110, 12.5.3: the refusal's Accept-Encoding says what to send instead."""
    answer = served.ask(PATH, content=body(1), headers={"Content-Encoding": "br", **JSON})

    assert answer.status_code == 415
    assert "gzip" in answer.headers["accept-encoding"]
