"""What callers are told of rows that are wrong: which, how many, in bounded memory."""

import tracemalloc

import orjson
import pytest
from car_evaluation_model import Model
from classifier.schemas import EXAMPLE, RowReader
from service_kit import Problem

pytestmark = pytest.mark.anyio
URL = "/api/v1/predict"


async def test_bad_rows_are_listed(client):
    """A bad row is 422; each error names row, field, value, allowed values and the reason."""
    rows = [EXAMPLE, EXAMPLE | {"safety": "none"}, {**EXAMPLE, "colour": "red"}, {"buying": "low"}]
    answer = await client.post(URL, json={"inputs": rows})

    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert errors[0] == {
        "row": 1,
        "field": "safety",
        "value": "none",
        "allowed": ["low", "med", "high"],
        "reason": "unknown value",
    }
    assert errors[1]["field"] == "colour"
    assert errors[1]["reason"] == "unknown field"
    assert [error["field"] for error in errors[2:]] == [
        "maint",
        "doors",
        "persons",
        "lug_boot",
        "safety",
    ]
    assert {error["reason"] for error in errors[2:]} == {"missing field"}


async def test_of_very_many_errors_the_first_hundred_are_listed(client):
    """A batch with nothing but bad rows: 100 are listed in full, and all are counted."""
    answer = await client.post(URL, json={"inputs": [EXAMPLE | {"safety": "none"}] * 10_000})

    assert answer.status_code == 422
    document = answer.json()
    assert document["type"].endswith("invalid-rows")
    detail = "row 0, safety: unknown value 'none'; allowed are low, med, high"
    assert document["detail"] == detail
    assert document["error_count"] == 10_000
    assert document["errors"] == [
        {
            "row": row,
            "field": "safety",
            "value": "none",
            "allowed": ["low", "med", "high"],
            "reason": "unknown value",
        }
        for row in range(100)
    ]


async def test_many_errors_are_worded_as_few_are(client):
    """The first errors are the same, in the same order, however many follow."""
    rows = [
        EXAMPLE,
        EXAMPLE | {"safety": [1], "colour": "red", "buying": 7},
        "med",
        {"buying": "low", "maint": None},
        EXAMPLE,
    ]
    few = (await client.post(URL, json={"inputs": rows})).json()

    many = (await client.post(URL, json={"inputs": rows + [{}] * 2_000})).json()

    assert few["error_count"] == len(few["errors"]) == 9
    assert many["errors"][:9] == few["errors"]
    assert many["detail"] == few["detail"]
    assert len(many["errors"]) == 100
    assert many["error_count"] == 12_009


@pytest.mark.parametrize("inputs", [[EXAMPLE], [{}], [], None])
async def test_of_very_many_members_beside_the_rows_a_hundred_are_listed(client, inputs):
    """They are what is wrong with the request, so they are named before any row is."""
    more = {f"more{number}": number for number in range(6_000)}

    answer = await client.post(URL, json={"inputs": inputs, **more})

    document = answer.json()
    assert (answer.status_code, document["type"].split(":")[-1]) == (422, "invalid-request")
    assert len(document["errors"]) == 100
    assert document["errors"][-2]["field"] in {"more98", "more97"}
    assert document["error_count"] >= 6_000


@pytest.mark.parametrize("part", [b"0", b"[]", b"{}", b"[0]", b'{"a":1}', b'["ab"]', b"9.5"])
@pytest.mark.parametrize("head", [b'{"inputs":[', b'{"inputs":[{"doors":['])
@pytest.mark.parametrize("tail", [b"]}]}", b""])
def test_largest_bad_body_is_refused_in_bounded_memory(model, part, head, tail):
    """Two megabytes of whatever is small take less than fifty."""
    body = head + b",".join([part] * (2**21 // (len(part) + 1) - 10)) + tail
    assert_refused_in_bounded_memory(model, body)


@pytest.mark.parametrize(
    ("head", "tail"), [(b'{"inputs":[{', b"}]}"), (b"{", b"}"), (b'{"inputs":[],', b"}")]
)
def test_most_unknown_members_are_refused_in_bounded_memory(model, head, tail):
    """So do two megabytes of members that nobody knows, in a row or beside the rows."""
    members = b",".join(b'"%06d":0' % number for number in range(2**21 // 11 - 10))
    assert_refused_in_bounded_memory(model, head + members + tail)


@pytest.mark.parametrize("rows", [[{}] * 10_000, [{"a": 0, "b": [0]}] * 10_000])
def test_most_bad_rows_are_refused_in_bounded_memory(model, rows):
    """And ten thousand rows with all that can be wrong with a row."""
    assert_refused_in_bounded_memory(model, orjson.dumps({"inputs": rows}))


def assert_refused_in_bounded_memory(model: Model, body: bytes) -> None:
    reader = RowReader(model)
    tracemalloc.start()

    with pytest.raises(Problem) as refused:
        reader.read(body, 10_000)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status in {400, 413, 422}
    assert peak < 50 * 2**20
