"""Java properties: what `java.util.Properties` reads, and what it refuses."""

import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from nacos_client.properties import read_properties

PIECES = [
    *"ab=:#! \t\f\\\n\r",
    "\r\n",
    "\\\n",
    "\\\r\n",
    "\\\\",
    "\\t",
    "\\u805a",
    "\\u00",
    "\\ud83d\\ude00",
    "\\uuuu0041",
    "\x0b",
    "\x85",
    "\u2028",
    "\u805a",
    "\U0001f600",
    "key value",
    "v\\\n",
]
"""What the rules are about, and what ends a line in Python alone."""


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a = 1\nb:2\rc 3\r\nd", {"a": "1", "b": "2", "c": "3", "d": ""}),
        ("a\t \f=\t 1", {"a": "1"}),
        ("a  : = 1", {"a": "= 1"}),
        ("a=1 \t", {"a": "1 \t"}),
        ("  # c\n\t! c = 1\n\na=#1", {"a": "#1"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=1,\\\n   2,\\\r\n\t3", {"a": "1,2,3"}),
        ("a=1\\\n\nb=2", {"a": "1", "b": "2"}),
        ("a=1\\\n# 2", {"a": "1# 2"}),
        ("# c \\\na=1", {"a": "1"}),
        ("a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
        ("a=1\\", {"a": "1"}),
        ("a\\ b\\:c\\=d=1", {"a b:c=d": "1"}),
        ("\\#a=\\!1", {"#a": "!1"}),
        ("a=\\t\\n\\r\\f\\x\\\\", {"a": "\t\n\r\fx\\"}),
        ("\\u805a=\\u7c7B", {"\u805a": "\u7c7b"}),
        ("a=\\ud83d\\ude00", {"a": "\U0001f600"}),
        ("a=\\\\u805a", {"a": "\\u805a"}),
        ("a=1\x0bb=2\x85c=3\u2028d=4", {"a": "1\x0bb=2\x85c=3\u2028d=4"}),
    ],
)
def test_the_rules_of_java(text: str, pairs: dict[str, str]) -> None:
    """Separators, blanks, comments, continued lines, escapes, and what ends no line."""
    assert read_properties(text) == pairs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a=1\nb=\\u12", "line 2: .u is not followed by four hexadecimal digits"),
        ("b=1\\\n\\uxyz1", "line 2: .u is not followed by four"),
        ("\\uuuu0041=1", "line 1: .u is not followed by four"),
        ("a=\\ud83d", "line 1: a .u escape is half of a character"),
    ],
)
def test_a_bad_escape_is_refused_with_its_line(text: str, reason: str) -> None:
    """The value itself is not repeated: it may be secret."""
    with pytest.raises(ValueError, match=reason):
        read_properties(text)


def written(text: str) -> str:
    """Write a text so that none of its characters has a meaning."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


@given(st.dictionaries(st.text(), st.text()))
def test_what_is_escaped_as_a_whole_is_read_back(pairs: dict[str, str]) -> None:
    """Every key and every value can be written, whatever its characters."""
    text = "\n".join(f"{written(key)}={written(value)}" for key, value in pairs.items())
    assert read_properties(text) == pairs


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else is raised, and a comment or an empty line before a text changes nothing."""
    with suppress(ValueError):
        assert read_properties("# comment\\\n \t\n" + text) == read_properties(text)


def test_a_long_document_is_read_in_time() -> None:
    """The time grows with the length alone: a million characters of any kind take a moment."""
    for piece in PIECES:
        with suppress(ValueError):
            read_properties(piece * (1_000_000 // len(piece)))


def test_java_reads_the_same(program: Callable[[str, str], str]) -> None:
    """Five hundred texts, each with a last pair: after a lone backslash Java's end is odd."""
    java = program("java", "openjdk-17-jdk-headless")
    chance = random.Random(15)  # noqa: S311  (no secret)
    texts = [
        "".join(chance.choices(PIECES, k=chance.randrange(1, 16))) + "\nend=1" for _ in range(500)
    ]
    ran = subprocess.run(
        [java, str(Path(__file__).with_name("Load.java"))],
        input="\n".join(text.encode().hex() for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    read = [_as_java_prints(text) for text in texts]
    assert ran.stdout.splitlines() == read
    assert 0 < read.count("refused") < len(read) / 2


def _as_java_prints(text: str) -> str:
    try:
        pairs = read_properties(text)
    except ValueError:
        return "refused"
    in_order = sorted(pairs.items(), key=lambda pair: pair[0].encode("utf-16-be"))
    return "".join(f"{key.encode().hex()}={value.encode().hex()} " for key, value in in_order)
