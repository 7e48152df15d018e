"""docs/routes.md tells the truth: its examples are documents, and every key is there."""

import re

import pytest
import yaml
from gateway.routing.document import (
    CorsEntry,
    FallbackEntry,
    HeaderChanges,
    RedirectEntry,
    RouteEntry,
    RoutesDocument,
    ShadowEntry,
    SplitShare,
    Terms,
    When,
)
from stack import ROOT

PAGE = (ROOT / "docs/routes.md").read_text()
README = (ROOT / "services/gateway/README.md").read_text()
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = YAML.findall(PAGE)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_whole_document(text: str) -> None:
    """Whoever copies it gets routes in force, not a refusal."""
    RoutesDocument.model_validate(yaml.safe_load(text)).compile()


def test_the_readmes_example_is_a_document() -> None:
    """The first one that a reader sees."""
    (block,) = re.findall(r"^    by_name:.*?(?=^\S)", README, re.MULTILINE | re.DOTALL)

    RoutesDocument.model_validate(yaml.safe_load(block)).compile()


@pytest.mark.parametrize(
    "part",
    [RoutesDocument, RouteEntry, When, CorsEntry, HeaderChanges, RedirectEntry, FallbackEntry],
)
def test_every_key_is_on_the_page(part: type) -> None:
    """In an example or in the table; a key that nobody finds is no key."""
    missing = {key for key in part.model_fields if not re.search(rf"\b{key}\b", PAGE)}

    assert missing <= {"name"}


def test_the_keys_of_smaller_parts_are_on_the_page() -> None:
    """Those of shares and shadows too, apart from what the README of the gateway explains."""
    keys = {*SplitShare.model_fields, *ShadowEntry.model_fields} - {"timeout", "metadata"}

    assert {key for key in keys if not re.search(rf"\b{key}\b", PAGE)} == set()


def test_the_table_of_terms_is_complete() -> None:
    """One row for each term that `defaults` and a route share."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(Terms.model_fields)
