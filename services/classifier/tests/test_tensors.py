"""Rows as binary tensors, beside the same rows in JSON."""

import json
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from car_evaluation_model import every_input
from classifier.schemas import EXAMPLE

pytestmark = pytest.mark.anyio
URL = "/v2/models/car-evaluation/infer"


def binary(columns: Mapping[str, Sequence[str]]) -> tuple[bytes, dict[str, str]]:
    """Return body and fields of a request of binary tensors."""
    parts = {
        name: b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in column)
        for name, column in columns.items()
    }
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [len(columns[name])],
            "parameters": {"binary_data_size": len(part)},
        }
        for name, part in parts.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    fields = {"Inference-Header-Content-Length": str(len(head))}
    return head + b"".join(parts.values()), fields


def plain(columns: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return the same request in JSON."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [len(column)], "data": column}
        for name, column in columns.items()
    ]
    return {"inputs": inputs}


async def test_every_input_is_the_same_in_bytes(client, model):
    """Each of the model's inputs has the same class, label and probabilities by either way."""
    codes = np.array(every_input(model.shape)).T.tolist()
    columns = {
        field.name: [field.values[code] for code in column]
        for field, column in zip(model.features, codes, strict=True)
    }
    body, fields = binary(columns)

    in_bytes = (await client.post(URL, content=body, headers=fields)).json()
    in_json = (await client.post(URL, json=plain(columns))).json()

    assert in_bytes["outputs"] == in_json["outputs"]
    assert len(in_bytes["outputs"][0]["data"]) == len(codes[0])


async def test_what_is_refused_in_json_is_refused_in_bytes(client):
    """Unknown values are named, with row and field, and different sizes are refused, all alike."""
    rows = [EXAMPLE, EXAMPLE | {"safety": "none"}, EXAMPLE | {"doors": "größer"}]
    unknown = {name: [row[name] for row in rows] for name in EXAMPLE}
    uneven = {name: [value] * (2 if name == "doors" else 1) for name, value in EXAMPLE.items()}
    empty: dict[str, list[str]] = {name: [] for name in EXAMPLE}
    for columns in (unknown, uneven, empty):
        body, fields = binary(columns)
        found = [
            (await client.post(URL, content=body, headers=fields)).json(),
            (await client.post(URL, json=plain(columns))).json(),
        ]
        assert found[0] | {"request_id": ""} == found[1] | {"request_id": ""}
        assert found[0]["status"] == 422
