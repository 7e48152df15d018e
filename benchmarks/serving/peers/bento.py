"""BentoML as its guide has it; BATCHED=1 turns adaptive batching on."""

import os

import bentoml
import joblib
import pandas as pd

BATCHED = os.environ["BATCHED"] == "1"


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Car:
    """Classifies cars."""

    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=BATCHED, max_batch_size=4096, max_latency_ms=60_000)
    def predict(self, inputs: list[dict[str, str | float]]) -> list[int]:
        """Return a class number for each row."""
        return self.pipeline.predict(pd.DataFrame(inputs)).tolist()
