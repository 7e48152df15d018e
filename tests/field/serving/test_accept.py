"""A quality of 0 is a refusal: https://github.com/modelcontextprotocol/python-sdk/issues/3154.

The clusterer took `image/svg+xml;q=0` for a wish and did not know `IMAGE/SVG+XML`. Clients made
from its OpenAPI document name both types that it has, and read JSON.
"""

import pytest
from kmeans.accept import JSON, SVG, wants_picture

DRAWN = (
    "image/svg+xml",
    "IMAGE/SVG+XML",
    "image/svg+xml; q=0.5",
    "image/svg+xml;charset=utf-8",
    "image/*",
    "image/svg+xml, */*",
    "image/avif,image/webp,image/svg+xml,*/*;q=0.8",
    "application/json;q=0.5, image/svg+xml",
    "image/svg+xml;q=0.2, application/json;q=0",
)
WRITTEN = (
    "",
    "*/*",
    "application/json",
    "text/html",
    "image/png",
    "image/svg+xml;q=0",
    "image/svg+xml; Q=0.000",
    "image/svg+xml;q=0, image/*",
    "image/svg+xml;q=0, */*",
    "image/svg+xmlx",
    "application/json, image/svg+xml, application/problem+json",
    "image/svg+xml;q=0.5, application/json",
    "image/svg+xml;q=0.5, */*",
)


@pytest.mark.parametrize("accept", DRAWN)
def test_svg_is_preferred(accept):
    """A picture is drawn for who wants it more than JSON, however that is written."""
    assert wants_picture(accept.encode())


@pytest.mark.parametrize("accept", WRITTEN)
def test_json_is_preferred(accept):
    """Who refuses a picture, or wants JSON as much, gets JSON."""
    assert not wants_picture(accept.encode())


def test_the_clusterer_answers_what_is_preferred(client, model):
    """The answer has the type that was chosen."""
    if model.package != "kmeans":
        pytest.skip("only the clusterer draws")
    for accept, kind in (("IMAGE/SVG+XML", SVG), ("image/svg+xml;q=0", JSON)):
        answer = client.post(model.path, content=model.body, headers={"Accept": accept})

        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), answer.text
