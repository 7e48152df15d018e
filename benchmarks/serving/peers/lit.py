"""LitServe as its guide has it; BATCHED=1 collects up to 64 requests for 2 ms."""

import os
from itertools import chain
from typing import Any

import joblib
import litserve
import pandas as pd

Rows = list[dict[str, str | float]]


class Car(litserve.LitAPI):
    """Classifies the cars of one request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the framework's signature
        """Load the model in the worker."""
        self.pipeline = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, Rows]) -> Rows:
        """Return the rows of one request."""
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        """Return the class numbers."""
        return self.pipeline.predict(pd.DataFrame(x)).tolist()

    def encode_response(self, output: list[int]) -> dict[str, list[int]]:
        """Make the answer's JSON."""
        return {"predictions": output}


class Batched(Car):
    """Classifies the cars of many requests in one DataFrame."""

    def batch(self, inputs: list[Rows]) -> list[Rows]:
        """Keep the requests apart; `predict` joins their rows."""
        return inputs

    def predict(self, x: list[Rows]) -> list[list[int]]:
        """Return the class numbers of each request."""
        numbers = iter(super().predict(list(chain(*x))))
        return [[next(numbers) for _ in rows] for rows in x]

    def unbatch(self, output: list[list[int]]) -> list[list[int]]:
        """Return an answer for each request."""
        return output


if __name__ == "__main__":
    batched = os.environ["BATCHED"] == "1"
    api = Batched(max_batch_size=64, batch_timeout=0.002) if batched else Car()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
