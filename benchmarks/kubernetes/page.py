"""docs/deploy.md: its commands are run as they stand, so that the page tells the truth."""

import os
import re
from collections.abc import Mapping
from typing import Self

from stack import ROOT

from tests.docs.shell import Shell

PAGE = ROOT / "docs" / "deploy.md"
INSTALL, UPGRADE = "Install", "Upgrade, and go back"
KEEP, BRING_BACK, WATCH = "Back up Nacos", "Bring the documents back", "What to watch"
TYPED = (INSTALL, UPGRADE, KEEP, BRING_BACK, WATCH)
"""The headings of the page below which there are commands."""

OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""Variables by which a make that runs in another one says more than what it was asked for."""


def blocks(page: str, heading: str) -> list[str]:
    """Return the commands below a heading of the page."""
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```bash\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)


class Operator:
    """Somebody who types the page's commands into one shell."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        own = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        self._shell = Shell(ROOT, {**own, **environment})
        self._page = PAGE.read_text()

    def types(self, heading: str) -> None:
        """Run the commands below a heading.

        Raises:
            AssertionError: one of them failed; the message has what all have printed.
        """
        found = blocks(self._page, heading)
        assert found, heading
        for block in found:
            self._shell.run(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.end()
