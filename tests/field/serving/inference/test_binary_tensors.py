"""Reports of servers that do not take what NVIDIA's client sends unless told otherwise, tried here.

SeldonIO/MLServer 324 and SeldonIO/seldon-core 3969: `tritonclient` sends binary tensors by default,
and other servers of the protocol than Triton take them for broken JSON.
triton-inference-server/client 865: behind a gateway its errors have no words.
"""

import json
import struct

import pytest

CAR = {"buying": "med", "maint": "high", "doors": "4", "persons": "more", "lug_boot": "big"}
CARS = {
    "predictions": [1, 0],
    "labels": ["acc", "unacc"],
}
LABELS = [1, 1, 1, 1, 2, 0, 0, 0, 0]
V2 = "/car-evaluation/v2/models/car-evaluation/infer"


@pytest.mark.timeout(400)
def test_324_3969_tritonclient_as_it_comes(by_client, v2_python):
    """Binary tensors both ways, of every datatype of numbers, and compressed, are understood."""
    found = by_client(v2_python, "by_triton.py")

    for name in ("cars", "columns", "packed", "deflated"):
        assert {key: found[name][key] for key in CARS} == CARS
        assert found[name]["probabilities"] == found["cars"]["probabilities"]
    assert found["wanted"] == CARS
    assert {kind: each["labels"] for kind, each in found["points"].items()} == dict.fromkeys(
        ("f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"), LABELS
    )
    assert found["index"] == [
        {"name": "car-evaluation", "version": "1.0.0", "state": "READY", "reason": ""}
    ]
    assert found["config"] == "car-evaluation"
    assert "binary_tensor_data" in found["extensions"]
    assert found["statistics"] == ["car-evaluation"]


@pytest.mark.timeout(400)
def test_865_tritonclient_is_told_why(by_client, v2_python):
    """A missing input, version 1 and absent extensions are refused in words that the client has."""
    found = by_client(v2_python, "by_triton.py")

    ready, (status, words) = found["version 1"]
    assert (ready, status) == (False, "404")
    assert "only '1.0.0'" in words
    expected = ("safety", "loaded when", "until the process ends", "shared memory", "LOG_LEVEL")
    for (status, words), part in zip(found["refused"], (*expected, "trace"), strict=True):
        assert status in {"404", "422"}
        assert part in words


def test_rows_cost_no_more_than_they_are_long(served):
    """A claim of two thousand million rows in a few bytes is refused like a few rows too many."""
    names = (*CAR, "safety")
    for rows, part in ((2**31, b""), (10_001, b"\1\0\0\0a" * 10_001)):
        inputs = [
            {
                "name": name,
                "datatype": "BYTES",
                "shape": [rows],
                "parameters": {"binary_data_size": len(part)},
            }
            for name in names
        ]
        head = json.dumps({"inputs": inputs}).encode()
        fields = {"Inference-Header-Content-Length": str(len(head))}
        answer = served.ask(V2, content=head + part * len(names), headers=fields)

        assert answer.status_code == 413
        assert answer.json()["limit_rows"] == 10_000


def test_unknown_texts_are_named(served):
    """A value that the model does not know is named with its row and field, as in JSON."""
    row = CAR | {"safety": "none"}
    parts = [struct.pack("<I", len(value)) + value.encode() for value in row.values()]
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [1],
            "parameters": {"binary_data_size": len(part)},
        }
        for name, part in zip(row, parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    fields = {"Inference-Header-Content-Length": str(len(head))}
    answer = served.ask(V2, content=head + b"".join(parts), headers=fields)

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["row"], error["field"], error["value"]) == (0, "safety", "none")
