"""The way of rows to `predict`: batched with those that wait, in one thread, the answer checked."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from service_kit import Deadline, Problem, Stages

from model_service.batcher import Batching, MicroBatcher
from model_service.drift import InputDrift
from model_service.errors import WrongAnswerError
from model_service.outputs import Answers, Out, checked
from model_service.rows import BodyReader, Rows
from model_service.service import InForce, Live

_log = logging.getLogger(__name__)


class Predictor:
    """A model's `predict` in service.

    Attributes:
        reader: reads bodies into rows.
        stages: counts of the answers.
        drift: counts what is answered, if there is a reference to compare it with.
    """

    def __init__(
        self,
        name: str,
        predict: Callable[[Rows[Any], Any], object],
        reader: BodyReader[Any],
        outputs: Mapping[str, Out],
        *,
        stages: Stages,
        in_force: Callable[[], InForce[Live]],
        joins_rows: bool = True,
        drift: InputDrift | None = None,
    ) -> None:
        """Prepare to call `predict` with rows and the configuration in force.

        Args:
            name: name of the model, for messages.
            predict: answers rows; blocks its thread.
            reader: reads bodies into rows.
            outputs: what `predict` has to return.
            stages: counts of the answers.
            in_force: returns the configuration in force; each run of `predict` reads it once.
            joins_rows: whether one run may answer the rows of several requests.
            drift: counts what is answered.
        """
        self.reader = reader
        self.stages = stages
        self.drift = drift
        self._name = name
        self._predict = predict
        self._outputs = outputs
        self._in_force = in_force
        self._joins_rows = joins_rows
        self._batcher: MicroBatcher[Rows[Any], Answers] = MicroBatcher(
            self._run,
            self._limits,
            join=lambda parts: Rows(chain.from_iterable(parts)),
            part=Answers.part,
            limited_by=f"batching.queue_rows of the document {name}",
        )

    @property
    def max_rows(self) -> int:
        """Rows that one request may have, by the configuration in force."""
        return self._in_force().config.max_rows

    async def answer(self, rows: Rows[Any], deadline: Deadline) -> Answers:
        """Return the model's answers to rows.

        Raises:
            Problem: 503 for too many rows that wait, 504 for a deadline that passed, 500 for a
                model that gives something else than it declares.
        """
        try:
            return await self._batcher.predict(rows, deadline)
        except WrongAnswerError as error:
            _log.exception("wrong_answer", extra={"model": self._name, "reason": str(error)})
            detail = f"The model {self._name} gave a wrong answer: {error}."
            raise Problem(500, detail, type="wrong-answer") from error

    def _limits(self) -> Batching:
        limits = self._in_force().config.batching
        return limits if self._joins_rows else limits.model_copy(update={"max_rows": 1})

    def _run(self, rows: Rows[Any]) -> Answers:
        now = self._in_force()
        outputs = checked(self._predict(rows, now.config), self._outputs, len(rows))
        answers = Answers(outputs, now.version)
        if self.drift is not None:
            self.drift.count(columns(rows), outputs, len(rows))
        return answers

    def decline(self) -> None:
        """Answer 503 to the rows that wait and to those that come; those in `predict` go on."""
        self._batcher.decline()

    def close(self) -> None:
        """End the thread of `predict`."""
        self._batcher.close()


def columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the values of each field of rows, by the field's name in Python."""
    return {name: [getattr(row, name) for row in rows] for name in type(rows[0]).model_fields}
