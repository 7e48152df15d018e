"""The document: a table with a row for each feature and a column for each version."""

from collections.abc import Collection, Iterable
from pathlib import Path

from tests.nacos_versions.trial import Trial, numbers

FILE = Path(__file__).parents[2] / "docs" / "nacos-versions.md"
NOT_TRIED, CANNOT, REAL, FAKE = "not tried", "cannot (server)", "real", "fake"
TEXT = f"""\
# Nacos: features by versions

`make test-nacos-versions` writes this page from the outcome of the tests; no cell is written by
hand.

- **{REAL}**: tested on a real server of this version, which the tests start.
- **{FAKE}**: tested on a Nacos in memory that speaks gRPC and HTTP as this version does, made from
  its sources (`tests/nacos_wire`). Given the version of a real server it answers as that does.
- **{CANNOT}**: servers of this version cannot do that; a test shows what a client does instead.
- **{NOT_TRIED}**: there is no test.
"""


def text(trials: Collection[Trial]) -> str:
    """Write the document."""
    features = sorted({trial.feature for trial in trials})
    versions = sorted({trial.version for trial in trials}, key=numbers)
    rows = [["feature", *versions], ["---"] * (len(versions) + 1)]
    for feature in features:
        of_feature = [trial for trial in trials if trial.feature == feature]
        cells = [cell(t for t in of_feature if t.version == version) for version in versions]
        rows.append([feature, *cells])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{TEXT}\n{table}\n\n## Tests\n\n" + "".join(
        f"- {feature}: {', '.join(tests_of(feature, trials))}\n" for feature in features
    )


def cell(trials: Iterable[Trial]) -> str:
    """Say what was tried of one feature on one version."""
    passed = [trial for trial in trials if trial.passed]
    if not passed:
        return NOT_TRIED
    if not all(trial.possible for trial in passed):
        return CANNOT
    return REAL if any(trial.real for trial in passed) else FAKE


def tests_of(feature: str, trials: Iterable[Trial]) -> list[str]:
    """Name the tests that passed for a feature, on whatever version."""
    return sorted({f"`{t.test}`" for t in trials if t.feature == feature and t.passed})
