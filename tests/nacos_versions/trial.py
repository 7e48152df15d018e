"""A trial: one test of one feature on one version; written into pytest's report, and read there.

As a plugin of pytest (`-p tests.nacos_versions.trial --junit-xml=FILE`) this module notes with each
test which features it tries, and on which version.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from stack.releases import chosen

PROPERTY = "trial"
NOT_PASSED = {"skipped", "failure", "error"}
"""The elements of a test in the report that say that it did not pass."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One test of one feature on one version.

    Attributes:
        feature: as the test's mark names it.
        version: of the server.
        real: whether the server was a real one, and not one in memory.
        possible: whether servers of the version can do it; if not, the test shows what a client
            does instead.
        test: file and name.
        passed: whether the test passed; one that was skipped did not.
    """

    feature: str
    version: str
    real: bool
    possible: bool
    test: str
    passed: bool = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note the trials of each test; leave out a test of a real server that is not this run's."""
    items[:] = [item for item in items if not _of_another_run(item)]
    for item in items:
        for trial in trials_of(item):
            item.user_properties.append((PROPERTY, json.dumps(asdict(trial))))


def trials_of(item: pytest.Item) -> Iterator[Trial]:
    """Return what a test tries, if it does so on a version that is known."""
    real = item.get_closest_marker("nacos") is not None
    version = _parameter(item) or (chosen().version if real else "")
    test = f"{item.location[0]}::{item.name.partition('[')[0]}"
    for mark in item.iter_markers("feature") if version else ():
        possible = _possible(version, **mark.kwargs)
        yield Trial(mark.args[0], version, real=real, possible=possible, test=test)


def read(report: Path) -> list[Trial]:
    """Return the trials of a run, with their outcome.

    Args:
        report: the file that pytest's option `--junit-xml` names.
    """
    return [
        replace(Trial(**json.loads(noted.attrib["value"])), passed=passed)
        for case in ET.parse(report).iter("testcase")  # noqa: S314  (pytest's own)
        for passed in [not NOT_PASSED & {element.tag for element in case}]
        for noted in case.iter("property")
        if noted.attrib["name"] == PROPERTY
    ]


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version; those of `3.1` are 3, 1 and 0."""
    found = [int(each) for each in re.findall(r"\d+", version)[:3]]
    return (*found, *[0] * (3 - len(found)))


def _of_another_run(item: pytest.Item) -> bool:
    real = item.get_closest_marker("nacos") is not None
    return real and _parameter(item) not in {"", chosen().version}


def _parameter(item: pytest.Item) -> str:
    call: Any = getattr(item, "callspec", None)
    texts = (each for each in call.params.values() if isinstance(each, str)) if call else ()
    return next(filter(re.compile(r"\d+\.\d+(\.\d+)?").fullmatch, texts), "")


def _possible(version: str, *, since: str = "", before: str = "") -> bool:
    late = not since or numbers(version) >= numbers(since)
    return late and (not before or numbers(version) < numbers(before))
