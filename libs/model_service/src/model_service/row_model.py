"""`RowModel`: a model that answers rows, declared in a page of code."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from service_kit import ModelRoutes, ModelSpec, Stages, model_app
from starlette.types import ASGIApp

from model_service.drift import InputDrift
from model_service.errors import DeclarationError, WrongAnswerError
from model_service.interface import RESERVED, Described, row_routes
from model_service.outputs import Out, checked
from model_service.predictor import Predictor, columns
from model_service.rows import BodyReader, Rows
from model_service.service import InForce, Live, ModelService, Parts
from model_service.tensors import example_request, example_value, field_tensor

_Sample = tuple[Mapping[str, Sequence[Any]], Mapping[str, Sequence[Any]]]
"""Values of rows by field, and of the answers to them by output."""


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """A row whose answer is known: a model that answers it otherwise is not announced.

    Attributes:
        row: the row as in JSON.
        answer: the expected value of some outputs; numbers may differ by a millionth.
    """

    row: Mapping[str, Any]
    answer: Mapping[str, Any]


class RowModel(ModelService):
    """A model that answers rows; its docstring is the text of its page and documentation.

    Attributes:
        title: title of page and documentation; `name` if it is empty.
        platform: the kind of model in V2's metadata.
        Row: a row, in JSON and as tensors, one for each field.
        Config: the Nacos document `name`.
        outputs: the outputs that `predict` returns.
        golden: rows whose answers are known; the first is the example of the documentation.
        reference: rows with which those of requests are compared, as in JSON or as an array that
            has a column for each field; `__init__` may set them.
        joins_rows: whether one call of `predict` may get the rows of several requests.
    """

    title: ClassVar[str] = ""
    platform: ClassVar[str] = "python"
    Row: ClassVar[type[BaseModel]]
    Config: ClassVar[type[Live]] = Live
    outputs: ClassVar[Mapping[str, Out]]
    golden: ClassVar[Sequence[GoldenRow]] = ()
    reference: Iterable[Mapping[str, Any]] | NDArray[Any] = ()
    joins_rows: ClassVar[bool] = True
    _predictor: Predictor | None = None
    _sample: _Sample | None = None

    def predict(self, rows: Any, config: Any) -> Mapping[str, Any]:
        """Return each declared output for rows, an array or list whose first axis is the row.

        `predict` runs in one thread of its own, so it may block.

        Args:
            rows: `Rows[Row]`, at least one.
            config: the `Config` in force.
        """
        raise NotImplementedError

    @property
    def about(self) -> dict[str, str]:
        """Facts of the model for /readyz and /actuator/info."""
        return {"version": self.model_version}

    def check(self) -> None:
        """Check the declaration, and the golden rows with the configuration's defaults.

        Raises:
            DeclarationError: the declaration cannot be served.
            WrongAnswerError: a golden row has another answer, or `predict` gives something else
                than is declared.
        """
        self.describe()
        reader: BodyReader[Any] = BodyReader(self.Row)
        if self.golden:
            self._check_golden(reader)
        self._compared(reader)

    def _check_golden(self, reader: BodyReader[Any]) -> None:
        rows = self._rows("golden", (golden.row for golden in self.golden), reader)
        found = checked(self.predict(rows, self.Config()), self.outputs, len(rows))
        for number, golden in enumerate(self.golden):
            for name, wanted in golden.answer.items():
                if name not in found:
                    kind = type(self).__name__
                    raise DeclarationError(f"{kind}.golden: row {number}: no output {name!r}")
                given = found[name][number].tolist()
                if not _is_close(given, wanted):
                    raise WrongAnswerError(
                        f"output {name!r} of golden row {number} is {given!r}, not {wanted!r}"
                    )

    def _compared(self, reader: BodyReader[Any]) -> _Sample:
        """Return the values of the reference rows, and the answers to them; computed once."""
        if self._sample is None:
            rows = self._rows("reference", self._reference_rows(reader), reader)
            self._sample = ({}, {})
            if rows:
                found = checked(self.predict(rows, self.Config()), self.outputs, len(rows))
                counted = _class_output(self.outputs)
                self._sample = (columns(rows), {name: found[name].tolist() for name in counted})
        return self._sample

    def _reference_rows(self, reader: BodyReader[Any]) -> Iterable[Mapping[str, Any]]:
        if not isinstance(self.reference, np.ndarray):
            return self.reference
        if self.reference.shape[1:] != (len(reader.fields),):
            raise DeclarationError(
                f"{type(self).__name__}.reference has the shape {list(self.reference.shape)}:"
                f" it must have a column for each of {', '.join(reader.fields)}"
            )
        return (dict(zip(reader.fields, row, strict=True)) for row in self.reference.tolist())

    def _rows(
        self, attribute: str, given: Iterable[Mapping[str, Any]], reader: BodyReader[Any]
    ) -> Rows[Any]:
        rows: Rows[Any] = Rows()
        for number, row in enumerate(given):
            try:
                rows.append(reader.row.model_validate(row))
            except ValidationError as error:
                kind = type(self).__name__
                raise DeclarationError(
                    f"{kind}.{attribute}: row {number}, {_first(error)}"
                ) from error
        return rows

    def describe(self) -> Described:
        """Return all that callers are told of the model.

        Raises:
            DeclarationError: the declaration cannot be served.
        """
        kind = type(self).__name__
        for attribute in ("Row", "outputs"):
            if not hasattr(self, attribute):
                raise DeclarationError(f"{kind} has no {attribute}")
        if taken := self.outputs.keys() & RESERVED:
            raise DeclarationError(f"{kind}.outputs: every answer has {min(taken)!r} already")
        fields = BodyReader(self.Row).fields
        example = dict(self.golden[0].row) if self.golden else _example(kind, self.Row, fields)
        inputs = tuple(field_tensor(name, schema) for name, schema in fields.items())
        outputs = tuple(out.spec(name) for name, out in self.outputs.items())
        return Described(
            title=self.title or self.name,
            text=inspect.cleandoc(type(self).__doc__ or ""),
            path=self.path,
            fields=fields,
            row=example,
            spec=ModelSpec(
                name=self.name,
                version=self.model_version,
                platform=self.platform,
                inputs=inputs,
                outputs=outputs,
                example=example_request(inputs, outputs, example),
            ),
        )

    def app(self, parts: Parts) -> ASGIApp:
        """Return the application: the routes and all that `service_kit.model_app` adds to them."""
        predictor = self.predictor(parts.in_force)
        if predictor.drift is not None:
            parts.health.measure(predictor.drift.collect)
        return model_app(
            self.routes(parts, predictor),
            parts.health,
            parts.threads,
            predictor.stages,
            timeout_seconds=parts.settings.timeout_seconds,
            cors_origins=parts.settings.cors_origins,
            tracer=parts.tracer,
        )

    def predictor(self, in_force: Callable[[], InForce[Any]]) -> Predictor:
        """Return the way of rows to `predict`; `close` ends its thread."""
        reader: BodyReader[Any] = BodyReader(self.Row, self.describe().row)
        features, answers = self._compared(reader)
        self._predictor = Predictor(
            self.name,
            self.predict,
            reader,
            self.outputs,
            stages=Stages(self.model_version),
            in_force=in_force,
            joins_rows=self.joins_rows,
            drift=InputDrift(features, answers, self.model_version) if features else None,
        )
        return self._predictor

    def routes(self, parts: Parts, predictor: Predictor) -> ModelRoutes:
        """Return the model's part of the HTTP interface.

        A page, a route or a hot path of its own is a change of what `super().routes(...)` returns:
        its `router` takes further routes, `dataclasses.replace` other parts.
        """
        return row_routes(self.describe(), predictor, parts.threads)

    def decline(self) -> None:
        """Answer 503 to the rows that wait for `predict`."""
        if self._predictor is not None:
            self._predictor.decline()

    def close(self) -> None:
        """End the thread of `predict`."""
        if self._predictor is not None:
            self._predictor.close()


def _example(kind: str, row: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    example = {name: example_value(name, schema) for name, schema in fields.items()}
    try:
        row.model_validate(example)
    except ValidationError as error:
        raise DeclarationError(
            f"{kind}.Row: no example could be made, for {_first(error)}; give the field"
            " Field(examples=[...]), or the model golden rows"
        ) from error
    return example


def _first(error: ValidationError) -> str:
    """Return the place and the message of the first error."""
    first = error.errors()[0]
    return ": ".join((".".join(map(str, first["loc"])), first["msg"]))


def _class_output(outputs: Mapping[str, Out]) -> list[str]:
    """Return the name of the output whose values are counted: a text for each row, or a number."""
    single = [name for name, out in outputs.items() if not out.shape]
    texts = [name for name in single if outputs[name].datatype == "BYTES"]
    return [*texts, *single][:1]


def _is_close(given: Any, wanted: Any) -> bool:
    if isinstance(given, list) and isinstance(wanted, list | tuple):
        return len(given) == len(wanted) and all(map(_is_close, given, wanted))
    if isinstance(given, float):
        return isinstance(wanted, int | float) and math.isclose(
            given, wanted, rel_tol=1e-6, abs_tol=1e-9
        )
    return bool(given == wanted)
