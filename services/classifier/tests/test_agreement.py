"""The short way and the FastAPI route are one API, for 10,000 bodies from a seed."""

import json
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from car_evaluation_model import Model, encode, rank
from classifier.app import create_app
from classifier.fast_path import FastRows
from classifier.schemas import EXAMPLE
from classifier.settings import ServingConfig
from service_kit import HealthChecks
from starlette.types import Scope

pytestmark = pytest.mark.anyio
SEED = int(os.environ.get("SEED", "20261122"))
COUNT = 10_000

Row = dict[str, Any]


def good_row(random: Random, model: Model) -> Row:
    """Return a row in any accepted spelling."""
    return {field.name: random.choice([*field.codes]) for field in model.features}


def _document(rows: object) -> bytes:
    return json.dumps({"inputs": rows}).encode()


def _replaced(value: object) -> Callable[[Random, list[Row]], bytes]:
    def spoil(random: Random, rows: list[Row]) -> bytes:
        random.choice(rows)[random.choice([*rows[0]])] = value
        return _document(rows)

    return spoil


def _missing(random: Random, rows: list[Row]) -> bytes:
    del random.choice(rows)[random.choice([*rows[0]])]
    return _document(rows)


def _unknown(random: Random, rows: list[Row]) -> bytes:
    random.choice(rows)["colour"] = random.choice(["red", 1, None])
    return _document(rows)


def _truncated(random: Random, rows: list[Row]) -> bytes:
    body = _document(rows)
    return body[: random.randrange(len(body))]


def _flipped(random: Random, rows: list[Row]) -> bytes:
    body = bytearray(_document(rows))
    body[random.randrange(len(body))] = random.randrange(256)
    return bytes(body)


def _twice(random: Random, rows: list[Row]) -> bytes:
    name = random.choice([*rows[0]])
    value = random.choice(["low", "3", 4, "nonsense"])
    text = json.dumps(rows[0])
    return b'{"inputs":[' + text[:-1].encode() + f',"{name}":{json.dumps(value)}}}]}}'.encode()


def _escaped(random: Random, rows: list[Row]) -> bytes:
    name = random.choice(["buying", "maint", "lug_boot", "safety"])
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in rows[0][name])
    return _document(rows).replace(json.dumps(rows[0][name]).encode(), f'"{escaped}"'.encode())


def _indented(_random: Random, rows: list[Row]) -> bytes:
    return json.dumps({"inputs": rows}, indent=4).encode()


def _whole(value: bytes) -> Callable[[Random, list[Row]], bytes]:
    return lambda _random, _rows: value


SPOILERS: list[Callable[[Random, list[Row]], bytes]] = [
    *map(
        _replaced,
        (
            None, True, False, "", "Low", " low", "5", "more ", "\ud800", "x" * 5000, 1, 5, 6, 99,
            10**30, -1, 2.0, 4.0, 4.5, 1e308, float("nan"), float("inf"), [], ["low"], {}, {"a": 1},
        ),
    ),
    _missing,
    _unknown,
    _truncated,
    _flipped,
    _twice,
    _escaped,
    _indented,
    *map(
        _whole,
        (
            b"", b" ", b"null", b"[]", b"{}", b"0", b'"inputs"', b"NaN", b"-", b"1e999", b"{]",
            b'{"inputs":null}', b'{"inputs":[]}', b'{"inputs":{}}', b'{"inputs":[null]}',
            b'{"inputs":[[]]}', b'{"inputs":[{}]}', b'{"input":[]}', b'{"inputs":[],"more":1}',
            b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 9000, b'{"inputs":' + b"[" * 9000,
            b'{"inputs":[' + b'{"buying":' * 9000, b'{"inputs":[' + b"1" * 9000 + b"]}",
        ),
    ),
]  # fmt: skip


def bodies(seed: int, count: int, model: Model) -> Iterator[tuple[bytes, list[Row] | None]]:
    """Yield bodies, every second one good with its rows, the others spoilt in some way."""
    random = Random(seed)  # noqa: S311 - the same bodies every time
    for number in range(count):
        rows = [good_row(random, model) for _ in range(random.choice([1, 1, 2, 5]))]
        if number % 2:
            yield random.choice(SPOILERS)(random, rows), None
        else:
            yield _document(rows), rows


def asked(body: bytes, query: bytes) -> Scope:
    """Return the scope of a request."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v1/predict",
        "raw_path": b"/api/v1/predict",
        "root_path": "",
        "scheme": "http",
        "query_string": query,
        "headers": [
            (b"host", b"test"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", b"same"),
        ],
    }


async def ask(app, body: bytes, query: bytes) -> tuple[int, bytes, bytes]:
    """Call the application as the server would."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(asked(body, query), receive, send)
    start, *parts = sent
    kind = dict(start["headers"])[b"content-type"]
    return start["status"], kind, b"".join(part["body"] for part in parts)


async def test_all_ways_answer_the_same_bytes(app, edge, model):
    """10,000 bodies, good and bad, get the same status, type and bytes by any way.

    Every plain good body is answered at once, too.
    `probabilities=0` means the same as no query to FastAPI, and is not known to the short way.
    """
    statuses = set()
    for body, rows in bodies(SEED, COUNT, model):
        short = await ask(app, body, b"")
        long = await ask(app, body, b"probabilities=0")

        assert short == long, body[:500]
        at_once = edge.answer_at_once(asked(body, b""), body)
        assert at_once is not None or rows is None, body[:500]
        if at_once is not None:
            assert short[0] == 200, body[:500]
            assert at_once[1] == short[2]
        assert (short[0] == 200) or rows is None, body[:500]
        assert short[0] in {200, 400, 422}
        json.loads(short[2])
        statuses.add(short[0])
    assert statuses == {200, 400, 422}


@pytest.mark.parametrize(
    ("now", "query", "body"),
    [
        (ServingConfig(engine="estimator"), b"", {}),
        (ServingConfig(max_rows=1), b"", {"inputs": [EXAMPLE] * 2}),
        (ServingConfig(), b"probabilities=1", {}),
        (ServingConfig(), b"", {"inputs": [EXAMPLE] * 400}),
    ],
    ids=["estimator", "too many", "query", "large"],
)
def test_what_has_to_wait_is_not_answered_at_once(edge, live, now, query, body):
    """The estimator's answers, large bodies and all that needs a word of FastAPI's take a task."""
    live.value = now
    text = json.dumps({"inputs": [EXAMPLE]} | body).encode()

    assert edge.answer_at_once(asked(text, query), text) is None


@pytest.fixture
def edge(engine, live, threads):
    """The application of a service that no page of another origin may call."""
    return create_app(engine, live, HealthChecks("car-evaluation", "0"), threads)


def test_short_way_takes_every_good_body_and_reads_it_right(model):
    """Good bodies never fall back to the long way, and rows mean what the model package says."""
    fast = FastRows(model)
    for body, rows in bodies(SEED + 1, 2_000, model):
        if rows is not None:
            codes, errors = encode(rows, model.features)
            assert not errors
            assert fast.read(body) == rank(codes, model.shape).tolist()
