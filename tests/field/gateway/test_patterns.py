"""A path in the document is no pattern: Spring's spellings are refused with the path to write."""

import pytest
from gateway.routing.document import RoutesDocument
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("path", "write"),
    [
        ("/r1/**", "/r1"),
        ("/**", "/"),
        ("/r1/*", "/r1"),
        ("/r1/{id}", "/r1"),
        ("/r1/{*rest}", "/r1"),
        ("/r1/v?/x", "/r1"),
        ("/r1/cars-*/x", "/r1"),
        ("*", "/"),
    ],
)
def test_a_pattern_is_refused_with_the_path_to_write(path: str, write: str):
    """`/r1/**` was accepted before, and matched nothing."""
    with pytest.raises(ValidationError) as refused:
        RoutesDocument.model_validate({"routes": [{"path": path, "service": "s"}]})

    assert f"write {write}" in str(refused.value)
    RoutesDocument.model_validate({"routes": [{"path": write, "service": "s"}]})


@pytest.mark.parametrize("key", ["strip_prefix", "rewrite"])
def test_no_other_path_of_a_route_is_a_pattern(key: str):
    """What is taken away or put in its place is a path too."""
    entry = {"path": "/a", "service": "s", key: "/a/**"}

    with pytest.raises(ValidationError, match=r"write /a\b"):
        RoutesDocument.model_validate({"routes": [entry]})
