"""The words for bodies that are not JSON; tests/field/serving tries them on every service."""

import json

import httpx
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import assume, given, strategies as st
from pydantic import BaseModel
from service_kit import HealthChecks, add_health, not_json

TEXT = st.text(st.sampled_from('{}[]:,"-NaInfity01.\n\u00e4\ufeff'), max_size=12).map(str.encode)


@given(TEXT | st.binary(max_size=12))
def test_every_body_that_is_not_json_is_told_why(body):
    """The problem is 400 and says why; line and column, where it has them, are in the body."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = not_json(body)
    else:
        assume(False)  # noqa: FBT003 - as hypothesis has it

    assert problem.status == 400
    assert problem.detail.startswith("The body is not valid JSON: ")
    if problem.extra:
        lines = body.decode("utf-8", "replace").split("\n")
        line, column = problem.extra["line"], problem.extra["column"]
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_a_body_that_is_nested_too_deeply_is_told_so(depth):
    """That is the cause also where orjson reads what another reader refused."""
    detail = not_json(b"[" * depth + b"]" * depth).detail

    assert "nested too deeply" in detail or "column 1026" in detail


WRONG = '{"x": 1,}'


class Body(BaseModel):
    """A body that FastAPI reads itself."""

    x: int


@pytest.mark.anyio
async def test_a_route_that_fastapi_reads_tells_place_and_cause_too():
    """FastAPI's own refusal of a body keeps the character and the reason of Python's json.

    Which these are, for a comma too many, is another thing in each Python.
    """
    app = FastAPI()
    add_health(app, HealthChecks("test", "0"))

    @app.post("/read")
    async def read(body: Body) -> int:
        return body.x

    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
    ) as client:
        answer = await client.post("/read", content=WRONG)
    with pytest.raises(json.JSONDecodeError) as fault:
        json.loads(WRONG)

    assert (answer.status_code, answer.json()["type"].split(":")[-1]) == (400, "invalid-json")
    told = f"The body is not valid JSON: character {fault.value.pos}: {fault.value.msg}"
    assert answer.json()["detail"].startswith(told)
