"""Declarations that go beyond the example, and those that cannot be served."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from model_service import (
    DeclarationError,
    GoldenRow,
    Out,
    RowModel,
    Rows,
    WrongAnswerError,
    settings_of,
)
from pydantic import BaseModel, Field
from service_kit import FOREVER, Problem

pytestmark = pytest.mark.anyio
URL = "/api/v1/predict"


class Doubler(RowModel):
    """Doubles numbers."""

    name, version, port = "doubler", "2.0.0", 8003

    class Row(BaseModel):
        """A number."""

        x: float

    outputs: ClassVar[Mapping[str, Out]] = {"y": Out("FP64")}

    def predict(self, rows: Rows[Any], config: Any) -> Mapping[str, Any]:  # noqa: ARG002
        """Double."""
        return {"y": 2 * rows.matrix()[:, 0]}


class Gated(Doubler):
    """Doubles once the gate is open; refuses minus one."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.runs: list[int] = []

    def predict(self, rows: Rows[Any], config: Any) -> Mapping[str, Any]:
        """Wait, note the number of rows, double."""
        self.runs.append(len(rows))
        self.gate.wait(30)
        if any(row.x == -1 for row in rows):
            raise Problem(422, "minus one is refused", type="invalid-rows")
        return super().predict(rows, config)


async def waiting(served, model: Gated, runs: int, rows: int) -> bool:
    """Return whether the model is in a run, and so many rows wait for the next."""
    return len(model.runs) == runs and await served.queued() == rows


class OneByOne(Gated):
    """The same, for one request at a time."""

    joins_rows = False


@pytest.mark.parametrize(("kind", "runs"), [(Gated, [1, 9]), (OneByOne, [1, 2, 3, 4])])
async def test_rows_that_wait_are_one_call(serve, kind, runs):
    """Requests that come while `predict` runs share its next call, if the model joins rows."""
    model = kind()
    async with serve(model) as served:

        def ask(count: int) -> Any:
            return served.http.post(URL, json={"inputs": [{"x": count}] * count})

        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(ask(1))]
            for count in (2, 3, 4):
                await served.until(partial(waiting, served, model, 1, sum(range(2, count))))
                calls.append(tasks.create_task(ask(count)))
            await served.until(partial(waiting, served, model, 1, 9))
            model.gate.set()

    assert model.runs == runs
    assert [call.result().json()["y"] for call in calls] == [[2.0 * n] * n for n in (1, 2, 3, 4)]


async def test_a_request_that_fails_fails_no_other(serve):
    """Rows that the model refuses fail their own request; those beside them in the call do not."""
    model = Gated()
    async with serve(model) as served:

        def ask(value: float) -> Any:
            return served.http.post(URL, json={"inputs": [{"x": value}]})

        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(ask(1))]
            await served.until(partial(waiting, served, model, 1, 0))
            calls += [tasks.create_task(ask(value)) for value in (-1, 3, 4)]
            await served.until(partial(waiting, served, model, 1, 3))
            model.gate.set()

    assert model.runs == [1, 3, 1, 1, 1]
    assert [call.result().status_code for call in calls] == [200, 422, 200, 200]
    assert calls[1].result().json()["detail"] == "minus one is refused"


async def test_a_wrong_answer_is_told(serve, caplog):
    """An output of another shape is a 500 that names it, and a line in the log, by JSON and V2."""

    class Wrong(Doubler):
        """Gives too little."""

        def predict(self, rows: Rows[Any], config: Any) -> Mapping[str, Any]:
            """Leave out a row."""
            return {"y": super().predict(rows, config)["y"][1:]}

    tensor = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1, 2]}
    async with serve(Wrong()) as served:
        with caplog.at_level(logging.ERROR, "model_service"):
            plain = await served.http.post(URL, json={"inputs": [{"x": 1}, {"x": 2}]})
            inferred = await served.http.post("/v2/models/doubler/infer", json={"inputs": [tensor]})

    words = "output 'y' has the shape [1], must have [2]"
    for answer in (plain, inferred):
        assert answer.status_code == 500
        assert answer.json()["type"].endswith(":wrong-answer")
        assert words in answer.json()["detail"]
    assert [record.message for record in caplog.records] == ["wrong_answer"] * 2
    assert caplog.records[0].__dict__["reason"] == words


async def test_a_failure_of_the_model_is_no_secret_of_the_log(serve, caplog):
    """An error that `predict` raises is a 500 without a word of it; the log has the traceback."""

    class Broken(Doubler):
        """Fails."""

        def predict(self, *_: Any) -> Mapping[str, Any]:
            """Fail."""
            raise FloatingPointError("secret")

    async with serve(Broken()) as served:
        answer = await served.http.post(URL, json={"inputs": [{"x": 1}]})

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "FloatingPointError" in caplog.text


async def test_a_route_and_a_page_of_ones_own(serve):
    """An override of `routes` adds a route beside those derived, and replaces the page."""

    class Own(Doubler):
        """Has more."""

        def routes(self, parts, predictor):
            """Add a route that asks the model, and a page."""
            routes = super().routes(parts, predictor)

            @routes.router.get("/api/v1/double/{x}")
            async def double(x: float) -> list[float]:
                rows = predictor.reader.rows({"inputs": [{"x": x}]})
                return (await predictor.answer(rows, FOREVER)).lists()["y"]

            return replace(routes, page="<h1>Own {{version}}</h1>")

    async with serve(Own()) as served:
        doubled = await served.http.get("/api/v1/double/1.5")
        page = await served.http.get("/")
        plain = await served.http.post(URL, json={"inputs": [{"x": 4}]})

    assert doubled.json() == [3.0]
    assert page.text == "<h1>Own 2.0.0</h1>"
    assert plain.json()["y"] == [8.0]


class Every(RowModel):
    """Takes a field of each kind."""

    name, version, port = "every", "1.0.0", 8004

    class Row(BaseModel):
        """A field of each kind."""

        count: Annotated[int, Field(ge=2, le=9)]
        flag: bool
        word: str
        colour: Literal["red", "blue"]
        maybe: float | None
        either: int | float
        pixels: Annotated[list[float], Field(min_length=3, max_length=3)]
        steps: list[int]

    outputs: ClassVar[Mapping[str, Out]] = {"sum": Out("FP64"), "pair": Out("INT64", 2)}

    def predict(self, rows: Rows[Any], config: Any) -> Mapping[str, Any]:  # noqa: ARG002
        """Sum some fields."""
        sums = [row.count + sum(row.pixels) + sum(row.steps) for row in rows]
        return {"sum": [float(each) for each in sums], "pair": [[row.count, 1] for row in rows]}


async def test_every_kind_of_field_is_a_tensor(serve):
    """Numbers, texts, booleans, literals, values or null, and flat lists have each their tensor."""
    async with serve(Every()) as served:
        metadata = (await served.http.get("/v2/models/every")).json()
        description = (await served.http.get("/openapi.json")).json()
        content = description["paths"]["/v2/models/{model_name}/infer"]["post"]["requestBody"]
        example = content["content"]["application/json"]["example"]
        answer = await served.http.post("/v2/models/every/infer", json=example)
        page = (await served.http.get("/")).text

    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]] == [
        ("count", "INT64", [-1]),
        ("flag", "BOOL", [-1]),
        ("word", "BYTES", [-1]),
        ("colour", "BYTES", [-1]),
        ("maybe", "FP64", [-1]),
        ("either", "FP64", [-1]),
        ("pixels", "FP64", [-1, 3]),
        ("steps", "INT64", [-1, -1]),
    ]
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][1]["shape"] == [1, 2]
    assert page.count("<select") == 2
    assert page.count("<input") == 6


def declared(**members: Any) -> type[RowModel]:
    """Return the doubler, declared otherwise."""
    return type("Other", (Doubler,), members)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"name": "Not A Host"}, "Other.name is 'Not A Host'"),
        ({"name": None}, "Other.name is None"),
        ({"port": 70_000}, "Other.port is 70000"),
    ],
)
def test_a_name_or_port_that_cannot_be_is_refused(members, words):
    """A name that is no host name, and a port that is none, are told before anything starts."""
    with pytest.raises(DeclarationError) as refused:
        settings_of(declared(**members))

    assert words in str(refused.value)


class Nested(BaseModel):
    """A field that no tensor can hold."""

    inner: dict[str, int]


class Even(BaseModel):
    """A field for which no example is found."""

    word: Annotated[str, Field(pattern="^(ab){2}$")]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Row": Nested}, "Row.inner is"),
        ({"Row": Even}, "Row: no example could be made, for word: String should match"),
        ({"golden": (GoldenRow({"x": "a"}, {"y": 1}),)}, "Other.golden: row 0, x: Input should be"),
        ({"golden": (GoldenRow({"x": 1}, {"z": 1}),)}, "Other.golden: row 0: no output 'z'"),
        ({"reference": [{"x": 1}, {}]}, "Other.reference: row 1, x: Field required"),
        ({"reference": np.ones((3, 2))}, "Other.reference has the shape [3, 2]: it must have a"),
        ({"reference": np.ones(3)}, "Other.reference has the shape [3]: it must have a column"),
        ({"outputs": {"version": Out("INT64")}}, "every answer has 'version' already"),
    ],
)
def test_what_cannot_be_served_is_refused(members, words):
    """A field that is no tensor, an example that cannot be guessed, a member that is taken.

    So are golden rows and rows to compare with that are no rows, or have an unknown output.
    """
    with pytest.raises(DeclarationError) as refused:
        declared(**members)().check()

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "is_right"), [({"y": 3.0}, True), ({"y": 3.0000001}, True), ({"y": 3.1}, False)]
)
def test_a_golden_row_must_be_answered_as_known(answer, is_right):
    """A number may differ by a millionth; else the output, the row and both values are told."""
    golden: Sequence[GoldenRow] = (GoldenRow({"x": 1.5}, answer),)
    model = declared(golden=golden)()
    if is_right:
        model.check()
        return
    with pytest.raises(WrongAnswerError) as refused:
        model.check()

    assert str(refused.value) == "output 'y' of golden row 0 is 3.0, not 3.1"


def test_settings_of_a_declaration_have_its_name_and_port():
    """SERVICE_NAME and PORT win over the declaration; both are checked as for every service."""
    settings = settings_of(Doubler)

    plain = settings.model_validate({})
    other = settings.model_validate({"SERVICE_NAME": "canary", "PORT": "9"})

    assert (plain.service_name, plain.port) == ("doubler", 8003)
    assert (other.service_name, other.port) == ("canary", 9)


async def test_the_queue_is_bounded_by_the_document(serve):
    """Rows past `batching.queue_rows` get 503, when to come back, and the name of the setting."""
    model = Gated()
    async with serve(model) as served:
        served.nacos.publish("doubler", "batching: {queue_rows: 2}\n")

        def ask() -> Any:
            return served.http.post(URL, json={"inputs": [{"x": 1}] * 2})

        async def is_in_force() -> bool:
            return bool((await served.checks())["config doubler"]["version"])

        await served.until(is_in_force)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(ask())
            await served.until(partial(waiting, served, model, 1, 0))
            second = tasks.create_task(ask())
            await served.until(partial(waiting, served, model, 1, 2))
            refused = await ask()
            model.gate.set()

    assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert refused.status_code == 503
    assert refused.headers["Retry-After"].isdigit()
    assert "batching.queue_rows of the document doubler allows 2" in refused.json()["detail"]
