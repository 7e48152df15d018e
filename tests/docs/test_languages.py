"""A document in Chinese says what its original says: headings, commands, names and links are one.

The sentences are free, so that they can be good Chinese; what a reader types or follows is not.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from stack import ROOT

ENDING = ".zh-CN.md"
HAN = re.compile(r"[\u4e00-\u9fff]")
TRANSLATED = [
    ROOT / name
    for name in subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"*{ENDING}"],
        cwd=ROOT,
        text=True,
    ).splitlines()
]


def original_of(translated: Path) -> Path:
    """Return the English document of a Chinese one."""
    return translated.with_name(translated.name.removesuffix(ENDING) + ".md")


@dataclass(frozen=True, slots=True)
class Section:
    """What a heading and the text below it must have in common in both languages.

    Sentences may be in another order, so that names and links are sorted, and a link to a document
    that is there in Chinese counts as one to the original.

    Attributes:
        level: of the heading.
        blocks: fenced blocks, with their fences, byte for byte.
        names: inline code.
        links: targets of links and pictures, and addresses.
        rows: lines of tables.
        paragraphs: blocks of prose, tables, lists and code.
    """

    level: int
    blocks: list[str]
    names: list[str]
    links: list[str]
    rows: int
    paragraphs: int


def parts(document: Path) -> list[tuple[str, str]]:
    """Return the sections of a document as heading and text; a line `#` in a block is no heading.

    The line that names the languages is left out.
    """
    text = re.sub(r"\A(# .*\n)\n.*简体中文.*\n", r"\1", document.read_text())
    found: list[tuple[str, str]] = []
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if re.match(r"#+ ", line) and not fenced:
            found.append((line.strip(), ""))
        else:
            heading, before = found[-1]
            found[-1] = (heading, before + line)
    return found


def section(heading: str, text: str) -> Section:
    """Return what is common to both languages in one section."""
    fence = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    prose = fence.sub("(block)", text)
    targets = [
        (target or address).replace(ENDING, ".md")
        for target, address in re.findall(r"\]\(([^)]+)\)|<(http[^>]+)>", prose)
    ]
    return Section(
        level=len(heading.partition(" ")[0]),
        blocks=fence.findall(text),
        names=sorted(re.findall(r"`([^`]+)`", prose)),
        links=sorted(targets),
        rows=len(re.findall(r"^\|", prose, re.MULTILINE)),
        paragraphs=len(re.split(r"\n\n+", prose.strip())),
    )


def test_the_first_documents_are_there_in_chinese() -> None:
    """Whoever comes from Nacos finds what this is, and the way in."""
    names = {str(each.relative_to(ROOT)) for each in TRANSLATED}

    assert {f"README{ENDING}", f"docs/tutorial{ENDING}"} <= names


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_both_languages_have_the_same_commands_and_headings(translated: Path) -> None:
    """Section by section: level, blocks, names in code, links, tables, and as many paragraphs."""
    chinese, english = parts(translated), parts(original_of(translated))

    for (heading, text), (original, before) in zip(chinese, english, strict=True):
        assert section(heading, text) == section(original, before), f"{original} / {heading}"


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_each_language_leads_to_the_other(translated: Path) -> None:
    """The line below the title names both languages and links to the other one."""
    original = original_of(translated)

    assert original.read_text().splitlines()[2] == f"English | [简体中文]({translated.name})"
    assert translated.read_text().splitlines()[2] == f"[English]({original.name}) | 简体中文"


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_it_is_chinese(translated: Path) -> None:
    """No heading and no paragraph was left in English, and Chinese text has Chinese punctuation."""
    for heading, text in parts(translated):
        assert HAN.search(heading)
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        paragraphs = re.split(r"\n\n+", prose.strip())
        assert [each for each in paragraphs if each and not HAN.search(each)] == []
    assert not re.findall(r"[\u4e00-\u9fff] ?[,;:!?](?!\w)", translated.read_text())


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_a_link_leads_somewhere(translated: Path) -> None:
    """Every relative link of the Chinese document names a file or folder of the repository."""
    targets = re.findall(r"\]\((?!http)([^)#]+)", translated.read_text())

    assert targets
    assert [each for each in targets if not (translated.parent / each).exists()] == []
