"""The commands of docs/operations.md, section by section."""

import re
from pathlib import Path
from textwrap import dedent

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
MOVING = "Moving from 2.x to 3.x"
"""The section whose commands need two servers."""


def sections() -> dict[str, str]:
    """Every section by its heading."""
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def blocks(language: str, text: str) -> list[str]:
    """The fenced blocks in one language, those in lists too."""
    found = re.findall(rf"^ *```{language}\n.*?^ *```$", text, re.MULTILINE | re.DOTALL)
    return ["\n".join(dedent(block).splitlines()[1:-1]) for block in found]


def commands(section: str) -> list[str]:
    """The commands of one section, block by block."""
    return blocks("bash", sections()[section])
