"""The console's words: each in both languages, with the same things to fill in."""

import string
from dataclasses import fields
from importlib.resources import files

import pytest
from gateway.console.words import CHINESE, ENGLISH, Words, preferred

NAMES = [field.name for field in fields(Words)]
ALIKE = {"p50", "p99"}
"""Words that are the same in both."""


def filled_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("name", NAMES)
def test_a_word_says_the_same_in_both_languages(name):
    """It is there, it is another one, and it names the same figures."""
    english, chinese = getattr(ENGLISH, name), getattr(CHINESE, name)

    assert english
    assert chinese
    assert filled_in(english) == filled_in(chinese)
    assert (english == chinese) is (name in ALIKE)


def test_every_word_is_used():
    """A word that no part of the console says is gone."""
    folder = files("gateway.console")
    code = "".join(
        one.read_text("utf-8") for one in folder.iterdir() if one.name.endswith("py")
        and one.name != "words.py"
    )  # fmt: skip
    families = (
        "canary_", "cause_", "shadow_", "event_", "document_", "ground_", "then_", "outcome_",
        "trouble_", "drift_",
    )  # fmt: skip
    unused = [name for name in NAMES if name not in code and not name.startswith(families)]

    assert set(unused) <= {"language"}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("de,en;q=0.7,zh;q=0.3", "en"),
        ("fr", "en"),
        ("en;q=0,zh", "zh"),
        ("zh;q=x,en", "en"),
        ("zh" + "," * 100_000, "zh"),
    ],
)
def test_the_browser_says_which_language(accepted, language):
    """The one that it wants most, of the two; English where it wants neither."""
    assert preferred(accepted) == language
