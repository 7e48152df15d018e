"""Reports of errors that do not say what is wrong with a body, tried on every model service.

fastapi/fastapi 14089 and 4057: a body that is not JSON is refused without line and column.
Kludex/starlette 548: Python's json, and so the callers that use it, write NaN, which is no JSON.
"""

import json
from collections.abc import Iterator

import httpx
import pytest
from service_conformance.subject import JSON, Subject, running
from stack.services import ServedModel, found

SECONDS = 30.0
BODIES = {
    "empty": (b"", "it is empty", None),
    "blank": (b" \r\n", "it is empty", None),
    "str() of a dict": (b"{'x': 1}", "names and texts stand in double quotes", (1, 2)),
    "cut off": (b'{"x": [1,\n2', "the document ends too early", (2, 2)),
    "UTF-16": ('{"x": 1}'.encode("utf-16"), "it is in UTF-16 or UTF-32; send UTF-8", None),
    "UTF-16, no mark": ('{"x": 1}'.encode("utf-16-le"), "it is in UTF-16 or UTF-32", None),
    "Latin-1": ('{"ä":\n"ä"}'.encode("latin-1"), "the byte 0xe4 is no UTF-8", (1, 3)),
    "two marks": (b'\xef\xbb\xbf\xef\xbb\xbf{"x": 1}', "a byte order mark stands here", (1, 1)),
    "None": (b'{"\xc3\xa4": None}', "None is Python's; in JSON it is null", (1, 7)),
}
"""Bodies, with the words that tell what is wrong, and line and column where there is one place."""


@pytest.fixture(scope="module", params=found(), ids=lambda one: one.package)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """Each model service, as a process."""
    model: ServedModel = request.param
    with running(model.model, tmp_path_factory.mktemp(model.package)) as one:
        yield one


def refusals(service: Subject, body: bytes) -> list[tuple[str, httpx.Response]]:
    """Return what each route answers to a body, after its path."""
    with httpx.Client(base_url=service.url, headers=JSON, timeout=SECONDS) as client:
        return [(post.path, client.post(post.path, content=body)) for post in service.posts]


@pytest.mark.parametrize("name", BODIES)
def test_14089_a_body_that_is_not_json_is_told_where_and_why(service: Subject, name: str) -> None:
    """Cause, and line and column where there are any, are in `detail`, and as members."""
    body, cause, place = BODIES[name]
    for path, answer in refusals(service, body):
        document = answer.json()
        assert (answer.status_code, document["type"]) == (
            400,
            "urn:modelserve:problem:invalid-json",
        ), path
        assert document["detail"].startswith("The body is not valid JSON: "), path
        assert cause in document["detail"], path
        assert (document.get("line"), document.get("column")) == (place or (None, None)), path
        assert place is None or "line {}, column {}:".format(*place) in document["detail"], path


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_548_a_number_that_is_none_is_told(service: Subject, number: float) -> None:
    """The word is told with its line and column, or by the clusterer with its row."""
    for path, answer in refusals(service, json.dumps({"points": [[number]]}).encode()):
        told = answer.json()["detail"]
        word = json.dumps(number)
        assert answer.status_code in {400, 422}, path
        assert f"column 14: {word} is no number of JSON" in told or "row 0: not a finite" in told


@pytest.mark.parametrize("body", [b'"rows"', b"7", b"null"])
def test_what_is_wrong_with_the_whole_body_names_the_body(service: Subject, body: bytes) -> None:
    """`detail` has its subject also where no member is at fault, but the body itself."""
    for path, answer in refusals(service, body):
        assert answer.status_code == 422, path
        assert "body" in answer.json()["detail"].lower().partition(" must ")[0], path


def test_an_unknown_category_is_told_with_those_that_are_allowed(service: Subject) -> None:
    """`detail` alone has value and allowed values, for people see it before `errors`; by V2 too."""
    for post in service.posts:
        text = json.dumps(post.example)
        if '"high"' in text:
            body = text.replace('"high"', '"hgh"')
            answer = httpx.post(service.url + post.path, content=body, headers=JSON)

            assert answer.status_code == 422, post.path
            assert answer.json()["detail"] == (
                "row 0, maint: unknown value 'hgh'; allowed are vhigh, high, med, low"
            )
