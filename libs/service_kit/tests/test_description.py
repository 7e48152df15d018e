"""The OpenAPI document of a service."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Response
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from service_kit import json_body, problems
from service_kit.description import DescribedApp, published

NAMES = ("title", "type", "properties", "items", "default", "a", "b")
"""Members of a model; some are words of JSON Schema."""
PLACE = "#/components/schemas/"


class Seat(BaseModel):
    """A part of a body."""

    model_config = ConfigDict(extra="forbid")

    row: int
    wide: Annotated[float, Field(gt=0)] = 0.5


class Booking(BaseModel):
    """A body, with a class in it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"seats": []}]})

    seats: list[Seat]
    best: Seat | None = None
    more: dict[str, Any] = {}
    kind: Literal["day", "night"] = "day"


def described(*bodies: type[BaseModel]) -> dict[str, Any]:
    """Return the document of an application with a route for each body."""
    app = DescribedApp(title="Seats")

    for body in bodies:
        name = f"book_{len(app.routes)}"

        @app.post(f"/{name}", name=name, responses=problems(404), openapi_extra=json_body(body))
        async def book() -> Response:
            return Response()

    return app.openapi()


def test_models_are_components_and_operations_have_names():
    """Body and problem are references; the example stands beside the body's."""
    document = described(Booking)
    ((path, operations),) = document["paths"].items()
    operation = operations["post"]
    content = operation["requestBody"]["content"]["application/json"]

    assert operation["operationId"] == path.removeprefix("/")
    assert content == {"schema": {"$ref": PLACE + "Booking"}, "example": {"seats": []}}
    for status in ("404", "422", "503"):
        (told,) = operation["responses"][status]["content"].values()
        assert told == {"schema": {"$ref": PLACE + "ProblemDocument"}}
    models = document["components"]["schemas"]
    assert models.keys() == {"Booking", "Seat", "ProblemDocument"}
    members = models["Booking"]["properties"]
    assert members["seats"]["items"] == {"$ref": PLACE + "Seat"}
    assert members["best"]["anyOf"] == [{"$ref": PLACE + "Seat"}, {"type": "null"}]
    assert members["more"]["additionalProperties"] is True
    assert [name for name, model in models.items() if "additionalProperties" in model] == []


def test_numbers_tell_their_format():
    """An integer has 64 bits and a number is a double; what is said of them stays."""
    members = described(Booking)["components"]["schemas"]["Seat"]["properties"]

    assert (members["row"]["format"], members["wide"]["format"]) == ("int64", "double")
    assert members["wide"]["exclusiveMinimum"] == 0


def test_a_wrong_parameter_is_a_problem():
    """Where FastAPI describes an error of its own, the problem document stands that is answered."""
    app = DescribedApp()

    @app.get("/seats")
    async def seats(row: int) -> int:
        return row

    document = app.openapi()

    refused = document["paths"]["/seats"]["get"]["responses"]["422"]
    assert refused["content"] == {
        "application/problem+json": {"schema": {"$ref": PLACE + "ProblemDocument"}}
    }
    assert document["components"]["schemas"].keys() == {"ProblemDocument"}


def test_two_models_of_one_name_stay_two():
    """Two classes of one name are two components; a class that is used twice is one."""
    other = create_model("Booking", number=(int, ...))

    document = described(Booking, other, Booking)

    told = [
        each["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for each in document["paths"].values()
    ]
    assert told == [PLACE + "Booking", PLACE + "Booking_", PLACE + "Booking"]
    assert "number" in document["components"]["schemas"]["Booking_"]["properties"]


LEAVES = st.sampled_from(
    [{"type": "integer"}, {"type": "number", "minimum": 1}, {"type": "string", "title": "Text"}, {}]
)


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    models = st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "title": st.sampled_from(["A", "B", "A[int]"]),
            "properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        },
        optional={"additionalProperties": st.booleans()},
    )
    return st.one_of(
        models,
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner}),
    )


SCHEMAS = st.recursive(LEAVES, _deeper, max_leaves=8)


def resolved(schema: Any, models: Mapping[str, Any]) -> Any:
    """Return a schema with the model itself in place of each reference."""
    if isinstance(schema, list):
        return [resolved(each, models) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(models[schema["$ref"].removeprefix(PLACE)], models)
    return {key: resolved(each, models) for key, each in schema.items()}


def plain(schema: Any) -> Any:
    """Return a schema without the words that are added or left out."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    is_model = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    left_out = {"format"} | ({"additionalProperties"} if is_model else set())
    return {key: plain(each) for key, each in schema.items() if key not in left_out}


@given(st.lists(SCHEMAS, min_size=1, max_size=3))
def test_the_document_means_the_same(schemas):
    """With each reference resolved, a document has the schemas that it had."""

    def of(schema: Any) -> dict[str, Any]:
        return {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}

    before = {"paths": {f"/{number}": {"get": of(each)} for number, each in enumerate(schemas)}}

    after = published(before)

    models = after["components"]["schemas"]
    assert plain(resolved(after["paths"], models)) == plain(before["paths"])
    assert published(after) == after
