"""Asks by KServe's client as it comes, V1 and V2. Usage: by_kserve.py URL."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

CARS = {
    "buying": ["med", "vhigh"],
    "maint": ["high", "low"],
    "doors": ["4", "5more"],
    "persons": ["more", "2"],
    "lug_boot": ["big", "small"],
    "safety": ["high", "low"],
}
POINTS = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def request(columns: dict[str, list[str]]) -> InferRequest:
    """Return a request of binary tensors."""
    inputs = []
    for name, column in columns.items():
        array = np.array(column, np.object_)
        inputs.append(InferInput(name, list(array.shape), "BYTES"))
        inputs[-1].set_data_from_numpy(array)
    return InferRequest(
        model_name="car-evaluation",
        infer_inputs=inputs,
        parameters={"binary_data_output": True},
    )


async def refused(call: Any) -> str:
    """Return the words of a refusal."""
    try:
        await call
    except httpx.HTTPStatusError as error:
        return str(error)
    return "nothing was refused"


async def ask(url: str) -> dict[str, Any]:
    """Ask for everything."""
    cars, kmeans, iris = (f"{url}/{name}" for name in ("car-evaluation", "skl-kmeans", "iris"))
    rows = [dict(zip(CARS, row, strict=True)) for row in zip(*CARS.values(), strict=True)]
    first, second = InferenceRESTClient(), InferenceRESTClient(RESTConfig(protocol="v2"))
    name = "car-evaluation"
    answer = await second.infer(cars, request(CARS), model_name=name)
    found = {
        "v1": (await first.infer(cars, {"instances": rows}, model_name=name))["predictions"],
        "v1 points": (await first.infer(kmeans, {"instances": POINTS}, model_name="skl-kmeans"))[
            "predictions"
        ],
        "v1 flowers": (await first.infer(iris, {"instances": [FLOWER]}, model_name="iris"))[
            "predictions"
        ],
        "v1 ready": await first.is_model_ready(cars, name),
        "v1 refused": await refused(
            first.infer(cars, {"instances": [list(rows[0].values())]}, model_name=name)
        ),
        "v2": {each.name: each.as_numpy().tolist() for each in answer.outputs},
        "v2 ready": await second.is_model_ready(cars, name),
        "v2 refused": await refused(
            second.infer(cars, request(CARS | {"doors": ["4", "many"]}), model_name=name)
        ),
        "v2 unknown": await refused(second.infer(cars, request(CARS), model_name="other")),
    }
    await first.close()
    await second.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1]))))
