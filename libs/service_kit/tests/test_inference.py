"""The Open Inference Protocol in front of a model that counts words."""

import asyncio
import json
import struct
import threading
import tracemalloc
from array import array
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from service_kit import (
    HealthChecks,
    Inferred,
    ModelSpec,
    RequestEdge,
    Stages,
    Tensor,
    TensorSpec,
    ThreadPool,
    add_health,
)
from service_kit.inference import add_inference

pytestmark = pytest.mark.anyio
URL = "/v2/models/words/infer"
WORDS = {"name": "words", "datatype": "BYTES", "shape": [2], "data": ["a", "bb"]}
PLACES = {"name": "places", "datatype": "FP64", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6.5]}


class WordModel:
    """Gives the length of each word and the sum of each place; remembers what it was given."""

    spec = ModelSpec(
        name="words",
        version="1.2.0",
        platform="test",
        inputs=(
            TensorSpec("words", "BYTES", (-1,), parameters={"enum": ["a", "bb"]}),
            TensorSpec("places", "FP64", (-1, 3)),
        ),
        outputs=(TensorSpec("lengths", "INT64", (-1,)), TensorSpec("sums", "FP64", (-1,))),
    )
    max_rows = 4

    def __init__(self) -> None:
        self.given: dict[str, Tensor] = {}
        self.held_bytes = 0

    async def infer(self, inputs, outputs, deadline):  # noqa: ARG002 - the model's port
        """Answer what is asked for."""
        self.held_bytes, _ = tracemalloc.get_traced_memory()
        self.given = dict(inputs)
        words, places = inputs["words"], inputs["places"]
        rows = [places.data[at : at + 3] for at in range(0, len(places.data), 3)]
        every = {"lengths": [len(word) for word in words.data], "sums": [sum(row) for row in rows]}
        given = {name: Tensor((len(every[name]),), every[name]) for name in outputs}
        return Inferred(given, {"language": "en"})


@pytest.fixture
def model() -> WordModel:
    return WordModel()


@pytest.fixture
def threads():
    threads = ThreadPool("inference", threads=1, queue_limit=0)
    yield threads
    threads.close()


@pytest.fixture
def health() -> HealthChecks:
    return HealthChecks("test", "0")


@pytest.fixture
async def client(model, threads, health) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_health(app, health)
    add_inference(app, model, health, threads, Stages(model.spec.version))
    transport = httpx.ASGITransport(RequestEdge(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def request(*inputs: dict[str, object], **more: object) -> bytes:
    return json.dumps({"inputs": inputs or (WORDS, PLACES), **more}).encode()


async def test_metadata_is_the_specification(client):
    """Names, datatypes, shapes and accepted values are told, by either path."""
    for path in ("/v2/models/words", "/v2/models/words/versions/1.2.0"):
        found = (await client.get(path)).json()

        assert (found["name"], found["versions"]) == ("words", ["1.2.0"])
        words, places = found["inputs"]
        assert words == {
            "name": "words",
            "datatype": "BYTES",
            "shape": [-1],
            "parameters": {"enum": ["a", "bb"]},
        }
        assert places == {"name": "places", "datatype": "FP64", "shape": [-1, 3]}


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/words/versions/9"])
async def test_another_model_or_version_is_404(client, path):
    """Only what is served has a path."""
    assert (await client.get(path)).status_code == 404
    assert (await client.post(path + "/infer", content=request())).status_code == 404


async def test_all_outputs_are_given_unless_some_are_asked_for(client):
    """Without `outputs` there are all, in the order of the metadata; with it those named."""
    every = (await client.post(URL, content=request(id="mine"))).json()
    some = (await client.post(URL, content=request(outputs=[{"name": "sums"}]))).json()

    assert every["id"] == "mine"
    assert every["model_version"] == "1.2.0"
    assert every["parameters"] == {"language": "en"}
    assert every["outputs"] == [
        {"name": "lengths", "datatype": "INT64", "shape": [2], "data": [1, 2]},
        {"name": "sums", "datatype": "FP64", "shape": [2], "data": [6, 15.5]},
    ]
    assert [output["name"] for output in some["outputs"]] == ["sums"]


async def test_statistics_count_answers_and_their_time(client):
    """Answers, not refusals, are counted; their time is that of their stages together."""
    for _ in range(3):
        await client.post(URL, content=request())
    await client.post(URL, content=request(WORDS))

    found = (await client.get("/v2/models/words/versions/1.2.0/stats")).json()

    (one,) = found["model_stats"]
    assert (one["name"], one["version"]) == ("words", "1.2.0")
    told = one["inference_stats"]
    assert {each["count"] for each in told.values()} == {3}
    stages = [told[name]["ns"] for name in ("compute_input", "compute_infer", "compute_output")]
    assert all(stages)
    assert told["success"]["ns"] == pytest.approx(sum(stages), abs=2)
    assert (await client.get("/v2/models/other/stats")).status_code == 404


async def test_the_order_of_inputs_and_nesting_do_not_matter(client, model):
    """Data may be nested as the shape says, and inputs come in any order."""
    nested = PLACES | {"data": [[1, 2, 3], [4, 5, 6.5]]}
    answer = await client.post(URL, content=request(nested, WORDS))

    assert answer.status_code == 200
    assert model.given["places"] == Tensor((2, 3), array("d", [1, 2, 3, 4, 5, 6.5]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datatype": "BYTES"}, "datatype 'BYTES', must be FP64"),
        ({"datatype": "BF16"}, "datatype 'BF16', must be FP64"),
        ({"datatype": "INT64"}, "element 5 is 6.5, not INT64"),
        ({"datatype": "INT64", "data": [2**53 + 1] * 6}, "element 0 is '9007199254740993', which"),
        ({"shape": [6]}, "shape [6], must be [-1, 3]"),
        ({"shape": [3, 2]}, "shape [3, 2], must be [-1, 3]"),
        ({"shape": [3, 3]}, "6 elements do not make the shape [3, 3]"),
        ({"shape": []}, "shape [], must be [-1, 3]"),
        ({"data": [[1, 2], [3, 4], [5, 6]]}, "nested data does not have the shape [2, 3]"),
        ({"data": [[1, 2, 3], 4, 5, 6]}, "nested data does not have the shape [2, 3]"),
        ({"data": [1, 2, 3, 4, 5, "6"]}, "element 5 is '6', not FP64"),
        ({"data": [1, 2, 3, True, 5, 6]}, "element 3 is True, not FP64"),
        ({"data": [1, 2, 3, 4, None, 6]}, "element 4 is None, not FP64"),
        ({"name": "things"}, "inputs are words, things; they must be words, places"),
    ],
)
async def test_wrong_tensor_is_named(client, model, changes, words):
    """A tensor of another name, datatype, shape, size or kind of element is 422 and says which."""
    answer = await client.post(URL, content=request(WORDS, PLACES | changes))

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("invalid-tensor")
    assert words in answer.json()["detail"]
    assert answer.json()["error"] == answer.json()["detail"]
    assert model.given == {}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"inputs":[', 400, "invalid-json"),
        (b'{"inputs":[NaN]}', 400, "invalid-json"),
        (b"[]", 422, "invalid-request"),
        (b'{"inputs":[7]}', 422, "invalid-request"),
        (request(WORDS | {"shape": ["2"]}), 422, "invalid-request"),
        (request(WORDS | {"shape": [2.0]}), 422, "invalid-request"),
        (request(WORDS | {"shape": [-2]}), 422, "invalid-request"),
        (request(WORDS), 422, "invalid-tensor"),
        (request(WORDS, PLACES, PLACES), 422, "invalid-tensor"),
        (request(outputs=[{"name": "colour"}]), 422, "invalid-tensor"),
    ],
)
async def test_wrong_request_is_refused(client, body, status, kind):
    """What is no JSON is 400; another shape, a missing input, a repeated one, are 422."""
    answer = await client.post(URL, content=body)

    assert answer.status_code == status
    assert answer.json()["type"].endswith(kind)


async def test_too_many_rows_are_413(client, model):
    """Rows past the model's limit of now are 413, whatever else is wrong with them."""

    async def status(rows: int, data: list[object]) -> int:
        places = {**PLACES, "shape": [rows, 3], "data": data}
        words = {**WORDS, "shape": [rows], "data": ["a"] * min(rows, 10)}
        return (await client.post(URL, content=request(words, places))).status_code

    assert await status(4, [0] * 12) == 200
    assert await status(5, [0] * 15) == 413
    assert await status(5, ["x"]) == 413
    assert await status(2**31, []) == 413
    model.max_rows = 5
    assert await status(5, [0] * 15) == 200


async def test_a_mass_of_lists_is_413_unread(client):
    """A body of far more lists and objects than its rows can need is refused before it is parsed.

    It is no JSON either, which nobody found out.
    """
    answer = await client.post(URL, content=b"[{" * 2000)

    assert answer.status_code == 413
    assert answer.json()["limit_rows"] == 4


def binary(*tensors: dict[str, object], parts: list[bytes], **more: object) -> dict[str, Any]:
    """Return body and fields of a request whose last tensors are binary, a part each."""
    told = [
        {key: value for key, value in tensor.items() if key != "data"}
        | {"parameters": {"binary_data_size": len(part)}}
        for tensor, part in zip(tensors[-len(parts) :], parts, strict=True)
    ]
    head = request(*tensors[: -len(parts)], *told, **more)
    fields = {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }
    return {"content": head + b"".join(parts), "headers": fields}


BINARY_WORDS = b"\1\0\0\0a\2\0\0\0bb"
BINARY_PLACES = struct.pack("<6d", 1, 2, 3, 4, 5, 6.5)


async def test_binary_tensors_are_those_of_json(client, model):
    """Tensors behind the document are what they are in it, one of them or both, in any order."""
    both = [BINARY_WORDS, BINARY_PLACES]
    narrow = PLACES | {"datatype": "FP32"}
    plain = await client.post(URL, content=request())
    inputs = dict(model.given)
    for asked in (
        binary(WORDS, PLACES, parts=both),
        binary(PLACES, WORDS, parts=both[::-1]),
        binary(WORDS, PLACES, parts=both[1:]),
        binary(WORDS, narrow, parts=[struct.pack("<6f", 1, 2, 3, 4, 5, 6.5)]),
    ):
        answer = await client.post(URL, **asked)

        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"] == plain.json()["outputs"]
        assert {name: list(tensor.data) for name, tensor in model.given.items()} == {
            name: list(tensor.data) for name, tensor in inputs.items()
        }


async def test_outputs_are_binary_for_who_asks(client):
    """All by `binary_data_output`, one by its own `binary_data`, which is above the former."""
    lengths, sums = struct.pack("<2q", 1, 2), struct.pack("<2d", 6, 15.5)

    async def ask(**more: object) -> tuple[dict[str, Any], bytes]:
        answer = await client.post(URL, content=request(**more))
        assert answer.headers["content-type"] == "application/octet-stream"
        size = int(answer.headers["inference-header-content-length"])
        return json.loads(answer.content[:size]), answer.content[size:]

    every, parts = await ask(parameters={"binary_data_output": True})
    assert parts == lengths + sums
    assert every["outputs"][1] == {
        "name": "sums",
        "datatype": "FP64",
        "shape": [2],
        "parameters": {"binary_data_size": 16},
    }
    outputs = [{"name": "lengths"}, {"name": "sums", "parameters": {"binary_data": True}}]
    some, parts = await ask(outputs=outputs)
    assert parts == sums
    assert some["outputs"][0]["data"] == [1, 2]
    outputs[1]["parameters"] = {"binary_data": False}
    some, parts = await ask(outputs=outputs, parameters={"binary_data_output": True})
    assert parts == lengths
    assert some["outputs"][1]["data"] == [6, 15.5]


@pytest.mark.parametrize(
    ("size", "part", "words"),
    [
        (48, BINARY_PLACES[:-1], "48 is not the size of a part of the 47 bytes left"),
        (48, BINARY_PLACES + b"x", "1 bytes after the binary tensors belong to no input"),
        (47, BINARY_PLACES, "1 bytes after the binary tensors belong to no input"),
        (40, BINARY_PLACES[:-8], "40 bytes, 6 elements of 8 are 48"),
        (2**62, BINARY_PLACES, "is not the size of a part of the 48 bytes left"),
        (-1, BINARY_PLACES, "-1 is not the size of a part"),
        (48.0, BINARY_PLACES, "48.0 is not the size of a part"),
        (True, b"x", "True is not the size of a part"),
        ("48", BINARY_PLACES, "48 is not the size of a part"),
        (None, b"", "must have either data or, as a binary tensor, binary_data_size"),
    ],
)
async def test_binary_tensors_of_another_size_are_refused(client, model, size, part, words):
    """The sizes are those of the tensors, and their sum that of the body."""
    asked = binary(WORDS, PLACES, parts=[part])
    length = int(asked["headers"]["Inference-Header-Content-Length"])
    head = json.loads(asked["content"][:length])
    head["inputs"][1]["parameters"]["binary_data_size"] = size
    document = json.dumps(head).encode()
    fields = asked["headers"] | {"Inference-Header-Content-Length": str(len(document))}

    answer = await client.post(URL, content=document + part, headers=fields)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert model.given == {}


async def test_a_tensor_is_given_once(client):
    """Data in the document and behind it are two tensors: which of them is meant nobody knows."""
    both = binary(WORDS, PLACES, parts=[BINARY_PLACES])
    size = int(both["headers"]["Inference-Header-Content-Length"])
    head = json.loads(both["content"][:size])
    head["inputs"][1]["data"] = PLACES["data"]
    document = json.dumps(head).encode()
    fields = {"Inference-Header-Content-Length": str(len(document))}

    answer = await client.post(URL, content=document + BINARY_PLACES, headers=fields)

    assert answer.status_code == 422
    assert "must have either data" in answer.json()["detail"]


@pytest.mark.parametrize("length", ["", "-1", "1e3", "10000", "9" * 30, "0x10", "\u00b2"])
async def test_a_document_of_another_length_is_refused(client, length):
    """The length of the document is a number, of at most the bytes that came."""
    fields = {b"Inference-Header-Content-Length": length.encode("latin-1")}
    answer = await client.post(URL, content=request(), headers=fields)

    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["detail"]


async def test_columns_may_be_of_one_element(client, model):
    """MLServer's codecs send [n, 1] for [n], and null for parameters that there are none of."""
    column = WORDS | {"shape": [2, 1], "parameters": None, "data": [["a"], ["bb"]]}
    outputs = [{"name": "sums", "parameters": None}]
    asked = request(column, PLACES, parameters=None, id=None, outputs=outputs)
    answer = await client.post(URL, content=asked)

    assert answer.status_code == 200
    assert model.given["words"] == Tensor((2,), ["a", "bb"])
    flat = await client.post(URL, content=request(WORDS | {"shape": [2, 1]}, PLACES))
    assert flat.status_code == 200
    wider = await client.post(URL, content=request(WORDS | {"shape": [1, 2]}, PLACES))
    assert wider.status_code == 422


@pytest.mark.parametrize(
    "parameters", [{"classification": 2}, {"shared_memory_region": "r", "binary_data": False}]
)
async def test_an_output_that_cannot_be_given_so_is_refused(client, parameters):
    """Classes instead of numbers, or an answer in shared memory: a caller must not wait for it."""
    outputs = [{"name": "sums", "parameters": parameters}]
    answer = await client.post(URL, content=request(outputs=outputs))

    assert answer.status_code == 422
    assert next(iter(parameters)) in answer.json()["detail"]


async def test_a_problem_is_json_for_clients_that_compare(client):
    """KServe's client reads `error` of `application/json` only, so V2's problems are that."""
    for answer in (
        await client.post(URL, content=b"{"),
        await client.post(URL, content=request(WORDS)),
        await client.get("/v2/models/other"),
        await client.post(URL, content=request(), headers={"Content-Encoding": "br"}),
    ):
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"] == answer.json()["detail"]
        assert answer.json()["status"] == answer.status_code


async def test_the_repository_has_one_model(client, health):
    """The index lists the model, with its state of now."""
    index = await client.post("/v2/repository/index", content=b"{}")
    assert index.json() == [{"name": "words", "version": "1.2.0", "state": "READY", "reason": ""}]
    health.draining = True
    index = await client.post("/v2/repository/index")
    assert index.json()[0]["state"] == "UNAVAILABLE"


async def test_the_configuration_is_told_in_tritons_words(client):
    """Names, types and shapes of the tensors, of the model or of its one version."""
    told = (await client.get("/v2/models/words/config")).json()

    assert told["input"] == [
        {"name": "words", "data_type": "TYPE_STRING", "dims": [-1]},
        {"name": "places", "data_type": "TYPE_FP64", "dims": [-1, 3]},
    ]
    assert (await client.get("/v2/models/words/versions/1.2.0/config")).json() == told
    assert (await client.get("/v2/models/words/versions/1/config")).status_code == 404
    every = (await client.get("/v2/models/stats")).json()
    assert every == (await client.get("/v2/models/words/stats")).json()


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/models/words/load",
        "/v2/repository/models/words/unload",
        "/v2/logging",
        "/v2/trace/setting",
        "/v2/models/words/trace/setting",
        "/v2/systemsharedmemory/status",
        "/v2/cudasharedmemory/region/r/register",
    ],
)
async def test_an_absent_extension_says_so(client, path):
    """What Triton's client may ask and is not here is a 404 in words, not just a missing path."""
    for answer in (await client.get(path), await client.post(path, content=b"{}")):
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("no-extension")
        assert len(answer.json()["error"]) > 20


@pytest.mark.parametrize(
    ("declared", "status"),
    [("Application/JSON;charset=UTF-8", 200), ("application/octet-stream", 415), ("text/csv", 415)],
)
async def test_what_is_declared_not_to_be_json_is_refused(client, declared, status):
    """A request is JSON however that is spelled, or undeclared; any other type is 415."""
    answer = await client.post(URL, content=request(), headers={"Content-Type": declared})

    assert answer.status_code == status


async def test_a_large_body_is_read_by_a_worker(client, threads):
    """While the only worker is busy, a large body is told to come back and a small one answered."""
    gate = threading.Event()
    large = request(parameters={"padding": "x" * 70_000})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(threads.run(lambda: gate.wait(30)))
        await asyncio.sleep(0)
        busy = await client.post(URL, content=large)
        small = await client.post(URL, content=request())
        gate.set()

    assert (busy.status_code, small.status_code) == (503, 200)


async def test_a_request_that_waits_is_held_in_few_bytes(client, model):
    """A model may let requests wait: of the numbers it was sent no Python objects are left by then.

    Those would be 32 bytes each; a packed number is 8, and as much of the body 4, here held thrice.
    """
    model.max_rows = rows = 50_000
    body = request(WORDS, {**PLACES, "shape": [rows, 3], "data": [0.5] * (3 * rows)})
    tracemalloc.start()

    answer = await client.post(URL, content=body)
    tracemalloc.stop()

    assert answer.status_code == 200
    assert model.held_bytes < 24 * 3 * rows
