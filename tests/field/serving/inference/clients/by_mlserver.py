"""Asks with what MLServer's codecs make of a table, sent as it is. Usage: by_mlserver.py URL."""

import json
import sys
import urllib.request
from typing import Any

import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

CARS = {
    "buying": ["med", "vhigh"],
    "maint": ["high", "low"],
    "doors": ["4", "5more"],
    "persons": ["more", "2"],
    "lug_boot": ["big", "small"],
    "safety": ["high", "low"],
}
POINTS = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
FLOWERS = {
    "sepal_length": [5.1, 6],
    "sepal_width": [3.5, 2.9],
    "petal_length": [1.4, 4.5],
    "petal_width": [0.2, 1.5],
}


def asked(url: str, model: str, request: InferenceRequest) -> InferenceResponse:
    """Send a request as pydantic writes it, nulls and all."""
    sent = urllib.request.Request(
        f"{url}/{model}/v2/models/{model}/infer",
        request.model_dump_json().encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(sent, timeout=60) as answer:
        return InferenceResponse.model_validate_json(answer.read())


def table(answer: InferenceResponse) -> dict[str, Any]:
    """Return an answer as the codec of tables reads it."""
    return json.loads(PandasCodec.decode_response(answer).to_json(orient="list"))


def main() -> None:
    """Ask for everything and print."""
    url = sys.argv[1]
    strings = [StringCodec.encode_input(name, column) for name, column in CARS.items()]
    points = NumpyRequestCodec.encode_request(np.array(POINTS))
    points.inputs[0].name = "points"
    integers = NumpyCodec.encode_input("points", np.array(POINTS, np.int8))
    frames = {
        "car-evaluation": pd.DataFrame(CARS),
        "iris": pd.DataFrame(FLOWERS),
    }
    found = {
        name: asked(url, name, PandasCodec.encode_request(frame)) for name, frame in frames.items()
    }
    found["strings"] = asked(url, "car-evaluation", InferenceRequest(inputs=strings))
    found["points"] = asked(url, "skl-kmeans", points)
    found["integers"] = asked(url, "skl-kmeans", InferenceRequest(inputs=[integers]))
    print(
        json.dumps(
            {
                name: {each.name: each.data.root for each in answer.outputs}
                for name, answer in found.items()
            }
        )
    )


if __name__ == "__main__":
    main()
