"""The queue of rows for the estimator engine."""

from collections.abc import Callable

import numpy as np
from car_evaluation_model import Prediction
from model_service import MicroBatcher
from numpy.typing import NDArray

from classifier.settings import DATA_ID, Batching

Codes = NDArray[np.int64]


class Batcher(MicroBatcher[Codes, Prediction]):
    """A queue of rows of value codes, (n, 6) int64, for the estimator's `predict`."""

    def __init__(
        self, predict: Callable[[Codes], Prediction], limits: Callable[[], Batching]
    ) -> None:
        super().__init__(
            predict,
            limits,
            join=np.concatenate,
            part=_part,
            limited_by=f"batching.queue_rows of the document {DATA_ID}",
        )


def _part(every: Prediction, start: int, end: int) -> Prediction:
    return Prediction(every.classes[start:end], every.probabilities[start:end])
