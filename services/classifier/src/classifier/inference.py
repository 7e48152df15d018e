"""The classifier as a model of the Open Inference Protocol, with an input for each attribute."""

from collections.abc import Callable, Mapping
from itertools import chain

import numpy as np
from model_service.rows import SHOWN_ERRORS, UNKNOWN, row_detail
from model_service.tensors import count_rows, example_request
from service_kit import (
    Categorical,
    Deadline,
    Inferred,
    ModelSpec,
    Problem,
    Tensor,
    TensorSpec,
    ThreadPool,
    shown,
)

from classifier.engine import Engine
from classifier.schemas import EXAMPLE, RowReader
from classifier.settings import DATA_ID, ServingConfig

FEW_ROWS = 100
"""Rows that the event loop looks up itself, in 0.2 ms, good or bad, so that they do not wait behind
large requests."""


class CarInference:
    """A model that takes a BYTES tensor [n] for each attribute.

    It gives class numbers, labels and probabilities.
    """

    def __init__(
        self,
        engine: Engine,
        reader: RowReader,
        config: Callable[[], ServingConfig],
        threads: ThreadPool,
    ) -> None:
        model = engine.model
        inputs = tuple(
            TensorSpec(field.name, "BYTES", (-1,), parameters={"enum": field.values})
            for field in model.features
        )
        outputs = (
            TensorSpec("predictions", "INT64", (-1,)),
            TensorSpec("labels", "BYTES", (-1,), parameters={"enum": list(model.classes)}),
            TensorSpec("probabilities", "FP64", (-1, len(model.classes))),
        )
        self.spec = ModelSpec(
            name=DATA_ID,
            version=model.version,
            platform="car_evaluation_model",
            inputs=inputs,
            outputs=outputs,
            example=example_request(inputs, outputs, EXAMPLE),
        )
        self._engine = engine
        self._reader = reader
        self._config = config
        self._threads = threads

    @property
    def max_rows(self) -> int:
        """Rows that one request may have, by the configuration in force."""
        return self._config().max_rows

    async def infer(
        self, inputs: Mapping[str, Tensor], outputs: frozenset[str], deadline: Deadline
    ) -> Inferred:
        """Return the outputs for the rows that the tensors make up together."""
        count = count_rows(inputs)
        ranks = self._known_ranks(inputs)
        if ranks is None and count <= FEW_ROWS:
            ranks = self._ranks(inputs)
        elif ranks is None:
            ranks = await self._threads.run(lambda: self._ranks(inputs), deadline=deadline)
        wants_shares = "probabilities" in outputs
        classes, shares = await self._engine.answer(
            ranks, probabilities=wants_shares, deadline=deadline
        )
        labels = self._engine.model.classes
        given = {"predictions": Tensor((len(ranks),), classes)}
        given["labels"] = Tensor((len(ranks),), [labels[number] for number in classes])
        if shares is not None:
            flat = list(chain.from_iterable(shares))
            given["probabilities"] = Tensor((len(ranks), len(labels)), flat)
        about = {"model_sha256": self._engine.model.sha256}
        return Inferred({name: given[name] for name in outputs}, about)

    def _known_ranks(self, inputs: Mapping[str, Tensor]) -> list[int] | None:
        """Return the rank of each row if all values came with their codes, without a text read."""
        model = self._engine.model
        given = [inputs[field.name].data for field in model.features]
        codes = [np.frombuffer(data.codes, "B") for data in given if isinstance(data, Categorical)]
        if len(codes) < len(given):
            return None
        ranks: list[int] = np.ravel_multi_index(codes, model.shape).tolist()
        return ranks

    def _ranks(self, inputs: Mapping[str, Tensor]) -> list[int]:
        columns = []
        count = 0
        errors: list[dict[str, object]] = []
        for field in self._engine.model.features:
            column = [field.code(value) for value in inputs[field.name].data]
            columns.append(column)
            unknown = [row for row, code in enumerate(column) if code is None]
            count += len(unknown)
            errors.extend(
                {
                    "row": row,
                    "field": field.name,
                    "value": shown(inputs[field.name].data[row]),
                    "allowed": field.values,
                    "reason": UNKNOWN,
                }
                for row in unknown[: SHOWN_ERRORS - len(errors)]
            )
        if errors:
            detail = row_detail(errors[0])
            raise Problem(422, detail, type="invalid-rows", errors=errors, error_count=count)
        return [self._reader.rank(row) for row in zip(*columns, strict=True)]
