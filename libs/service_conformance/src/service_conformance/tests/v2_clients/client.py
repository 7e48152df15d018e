"""Calls one model by two public clients, unmodified, and prints what they understood as JSON.

Usage: client.py URL MODEL INPUTS, where INPUTS is a JSON list of {name, datatype, shape, data}.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

NUMPY = {"BYTES": np.object_, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


def by_triton(url: str, model: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask with NVIDIA's client: JSON tensors both ways, and binary ones as it does by default."""
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    metadata = client.get_model_metadata(model)
    tensors, binary = [], []
    for given in inputs:
        tensor = triton.InferInput(given["name"], given["shape"], given["datatype"])
        array = np.array(given["data"], dtype=NUMPY[given["datatype"]]).reshape(given["shape"])
        tensor.set_data_from_numpy(array, binary_data=False)
        tensors.append(tensor)
        binary.append(triton.InferInput(given["name"], given["shape"], given["datatype"]))
        binary[-1].set_data_from_numpy(array)
    wanted = [
        triton.InferRequestedOutput(each["name"], binary_data=False) for each in metadata["outputs"]
    ]
    answer = client.infer(model, tensors, outputs=wanted, request_id="t-1")
    in_bytes = client.infer(model, binary)
    try:
        client.infer(model, tensors[:-1] if len(tensors) > 1 else [], outputs=wanted)
        refused = None
    except InferenceServerException as error:
        refused = [error.status(), error.message()]
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata()["name"],
        "version": metadata["versions"],
        "id": answer.get_response()["id"],
        "outputs": {
            each["name"]: answer.as_numpy(each["name"]).tolist() for each in metadata["outputs"]
        },
        "binary": {each["name"]: texts(in_bytes, each["name"]) for each in metadata["outputs"]},
        "refused": refused,
    }


def texts(answer: triton.InferResult, name: str) -> list[Any]:
    """Return a binary output as JSON has it: its texts are bytes for this client."""
    found = answer.as_numpy(name)
    if found.dtype != np.object_:
        return found.tolist()
    return np.vectorize(bytes.decode, otypes=[np.object_])(found).tolist()


async def by_kserve(url: str, model: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask with KServe's client."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    request = InferRequest(
        model_name=model,
        infer_inputs=[
            InferInput(each["name"], each["shape"], each["datatype"], each["data"])
            for each in inputs
        ],
    )
    answer = await client.infer(url, request, model_name=model)
    result = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
        "version": answer.model_version,
        "outputs": {each.name: each.as_numpy().tolist() for each in answer.outputs},
    }
    await client.close()
    return result


def main() -> None:
    """Ask both and print."""
    url, model, text = sys.argv[1:]
    inputs = json.loads(text)
    found = {
        "triton": by_triton(url, model, inputs),
        "kserve": asyncio.run(by_kserve(url, model, inputs)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
