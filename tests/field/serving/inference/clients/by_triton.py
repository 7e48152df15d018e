"""Asks by NVIDIA's client as it comes: binary tensors both ways. Usage: by_triton.py URL."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

CARS = {
    "buying": ["med", "vhigh"],
    "maint": ["high", "low"],
    "doors": ["4", "5more"],
    "persons": ["more", "2"],
    "lug_boot": ["big", "small"],
    "safety": ["high", "low"],
}
POINTS = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
TYPES = ("f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def tensor(name: str, array: np.ndarray) -> triton.InferInput:
    """Return an input as the client's own examples make it."""
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


def understood(answer: triton.InferResult) -> dict[str, Any]:
    """Return every output of an answer."""
    outputs = {}
    for each in answer.get_response()["outputs"]:
        found = answer.as_numpy(each["name"])
        texts = found.dtype == np.object_
        outputs[each["name"]] = [text.decode() for text in found] if texts else found.tolist()
    return outputs


def refused(call: Any, *arguments: Any) -> list[str]:
    """Return status and words of a refusal."""
    try:
        call(*arguments)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return ["", "nothing was refused"]


def main() -> None:
    """Ask for everything and print."""
    address = sys.argv[1].removeprefix("http://")
    cars = triton.InferenceServerClient(f"{address}/car-evaluation")
    kmeans = triton.InferenceServerClient(f"{address}/skl-kmeans")
    model = "car-evaluation"
    inputs = [tensor(name, np.array(column, np.object_)) for name, column in CARS.items()]
    columns = [tensor(name, np.array([column], "S").T) for name, column in CARS.items()]
    packed = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
    deflated = {"request_compression_algorithm": "deflate"}
    wanted = [triton.InferRequestedOutput("labels"), triton.InferRequestedOutput("predictions")]
    found = {
        "cars": understood(cars.infer(model, inputs)),
        "columns": understood(cars.infer(model, columns)),
        "wanted": understood(cars.infer(model, inputs, outputs=wanted, model_version="1.0.0")),
        "packed": understood(cars.infer(model, inputs, **packed)),
        "deflated": understood(cars.infer(model, inputs, **deflated)),
        "points": {
            kind: understood(kmeans.infer("skl-kmeans", [tensor("points", np.array(POINTS, kind))]))
            for kind in TYPES
        },
        "index": cars.get_model_repository_index(),
        "config": cars.get_model_config(model)["name"],
        "extensions": cars.get_server_metadata()["extensions"],
        "statistics": [each["name"] for each in cars.get_inference_statistics()["model_stats"]],
        "version 1": [
            cars.is_model_ready(model, "1"),
            refused(lambda: cars.infer(model, inputs, model_version="1")),
        ],
        "refused": [
            refused(cars.infer, model, inputs[:-1]),
            refused(cars.load_model, model),
            refused(cars.unload_model, model),
            refused(cars.get_system_shared_memory_status),
            refused(cars.get_log_settings),
            refused(cars.get_trace_settings),
        ],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
