"""The model in service: its verified table, its estimator behind the batcher, and its answers."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import orjson
from car_evaluation_model import Model, ModelError, RankExplanation, every_input, explain
from model_service.feedback import Feedback
from numpy.typing import NDArray
from service_kit import Deadline

from classifier.batcher import Batcher
from classifier.drift import Drift
from classifier.settings import ServingConfig

AUDIT = "classifier.audit"
"""Name of the logger of the audit's events."""
_log = logging.getLogger(AUDIT)

Answers = tuple[list[int], list[list[float]] | None]
"""Class number of each row, and its probabilities if they were asked for."""


class Engine:
    """The model's answers to inputs given as ranks: their places among all that the model knows.

    The table holds the estimator's answer to every input. The table is used only after a second run
    over the inputs in another order, and so in other batches, gave the same answers.
    """

    def __init__(self, model: Model, config: Callable[[], ServingConfig]) -> None:
        """Check the table; `config` returns the configuration in force.

        Raises:
            ModelError: the estimator's second run gave another answer.
        """
        self.model = model
        self.drift = Drift(model)
        self.feedback = Feedback(model.classes, model.version, lambda: self._config().feedback_rows)
        self._config = config
        self._codes = every_input(model.shape)
        self._check_table()
        self._classes: list[int] = model.table.classes.tolist()
        self._probabilities: list[list[float]] = model.table.probabilities.tolist()
        self._batcher = Batcher(model.predict_codes, lambda: self._config().batching)
        self._audited = 0.0

    def follow(self, config: Callable[[], ServingConfig]) -> None:
        """Answer from now on as `config` says."""
        self._config = config

    def _check_table(self) -> None:
        again = self.model.predict_codes(self._codes[::-1])
        table = self.model.table
        same = np.array_equal(again.classes[::-1], table.classes) and np.array_equal(
            again.probabilities[::-1], table.probabilities
        )
        if not same:
            version = self.model.version
            raise ModelError(f"model {version}: an answer depends on the batch it came in")

    async def answer(
        self, ranks: Sequence[int], *, probabilities: bool, deadline: Deadline
    ) -> Answers:
        """Return the answers of the engine in force; count the inputs, and log them for the audit.

        Raises:
            Problem: 503 or 504, from the estimator's queue.
        """
        if self.answers_at_once:
            return self.answer_at_once(ranks, probabilities=probabilities)
        config = self._config()
        prediction = await self._batcher.predict(self._codes[ranks], deadline)
        shares = prediction.probabilities.tolist() if probabilities else None
        answers: Answers = prediction.classes.tolist(), shares
        self._count(ranks, answers, config)
        return answers

    @property
    def answers_at_once(self) -> bool:
        """Return whether the table is the engine in force, which never waits."""
        return self._config().engine == "table"

    def answer_at_once(self, ranks: Sequence[int], *, probabilities: bool) -> Answers:
        """Return the table's answers; count the inputs, and log them for the audit."""
        shares = [self._probabilities[rank] for rank in ranks] if probabilities else None
        answers: Answers = [self._classes[rank] for rank in ranks], shares
        self._count(ranks, answers, self._config())
        return answers

    def document(self, answers: Answers, request_id: bytes) -> bytes:
        """Return the answers as the JSON document of /api/v1/predict."""
        classes, shares = answers
        labels = self.model.classes
        content: dict[str, object] = {
            "predictions": classes,
            "labels": [labels[number] for number in classes],
            "version": self.model.version,
            "errors": None,
            "model_sha256": self.model.sha256,
            "request_id": request_id.decode(),
        }
        if shares is not None:
            content["probabilities"] = shares
        return orjson.dumps(content)

    def explain(self, rank: int) -> RankExplanation:
        """Return why an input has its class, and which changes would give it a better class."""
        return explain(self.model, self._codes[rank])

    def _count(self, ranks: Sequence[int], answers: Answers, config: ServingConfig) -> None:
        self.drift.count(ranks, len(ranks))
        self.feedback.keep(answers[0])
        if config.audit.enabled:
            self._audit(ranks, answers[0], config)

    def _audit(self, ranks: Sequence[int], classes: list[int], config: ServingConfig) -> None:
        self._audited += config.audit.sample
        if self._audited < 1:
            return
        self._audited -= 1
        shown = ranks[: config.audit.max_rows]
        event = {
            "rows": len(ranks),
            "inputs": [self._values(self._codes[rank]) for rank in shown],
            "predictions": classes[: len(shown)],
            "model_version": self.model.version,
            "engine": config.engine,
        }
        _log.info("prediction", extra=event)

    def _values(self, codes: NDArray[np.int64]) -> dict[str, str]:
        fields = zip(self.model.features, codes.tolist(), strict=True)
        return {field.name: field.values[code] for field, code in fields}

    def decline(self) -> None:
        """Answer 503 to the rows that wait for the estimator."""
        self._batcher.decline()

    def close(self) -> None:
        """End the estimator's thread."""
        self._batcher.close()
