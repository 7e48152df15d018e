"""LitServe as its guide has it; BATCHED=1 collects up to 64 requests for 2 ms."""

import os
from itertools import chain
from typing import Any

import joblib
import litserve
import pandas as pd

Rows = list[dict[str, str]]
BATCHED = os.environ["BATCHED"] == "1"


class Car(litserve.LitAPI):
    """Classifies cars."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the framework's signature
        """Load the model in the worker."""
        self.pipeline = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, Rows]) -> Rows:
        """Rows of one request."""
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        """Class numbers: of one request's rows, or of each request's rows."""
        if not BATCHED:
            return self.pipeline.predict(pd.DataFrame(x)).tolist()
        numbers = iter(self.pipeline.predict(pd.DataFrame(list(chain(*x)))).tolist())
        return [[next(numbers) for _ in rows] for rows in x]

    def batch(self, inputs: list[Rows]) -> list[Rows]:
        """Keep the requests apart; `predict` joins their rows."""
        return inputs

    def unbatch(self, output: Any) -> Any:
        """One answer a request."""
        return output

    def encode_response(self, output: list[int]) -> dict[str, list[int]]:
        """The answer's JSON."""
        return {"predictions": output}


if __name__ == "__main__":
    batching = {"max_batch_size": 64, "batch_timeout": 0.002} if BATCHED else {}
    server = litserve.LitServer(Car(**batching), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
