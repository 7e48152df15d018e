"""Run the tests of every version of Nacos that can be had, and write docs/nacos-versions.md.

    python -m tests.nacos_versions [arguments of pytest]

The document is left as it is where a test fails.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stack.releases import RELEASES

from tests.nacos_versions import table, trial

PLACES = ("tests/contract", "tests/integration", "tests/docs", "tests/chaos")
RUNS = (
    *((version, "feature and nacos and not slow") for version in RELEASES),
    ("", "feature and not nacos and not slow"),
)
"""The runs of pytest: the real server of each, or none, and the marks of its tests."""


def main(arguments: list[str]) -> int:
    """Return 0 if all tests passed."""
    trials: list[trial.Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        for version, marks in RUNS:
            report = Path(folder) / f"{version}.xml"
            if status := run(version, marks, report, arguments):
                return status
            trials += trial.read(report)
    table.FILE.write_text(table.text(trials))
    print(f"wrote {table.FILE}")
    return 0


def run(version: str, marks: str, report: Path, arguments: list[str]) -> int:
    """Run the tests with these marks; return the exit code of pytest.

    Args:
        version: of the real server.
        marks: an expression as pytest's option `-m` takes it.
        report: the file that gets the outcome.
        arguments: further ones for pytest.
    """
    print(f"==== {f'Nacos {version}' if version else 'Nacos in memory'}", flush=True)
    plugin = ["-p", "tests.nacos_versions.trial", f"--junit-xml={report}"]
    argv = [sys.executable, "-m", "pytest", *PLACES, *plugin, "-m", marks, *arguments]
    # A server that NACOS_SERVER_ADDR names would be taken for one of this version.
    env = {name: value for name, value in os.environ.items() if name != "NACOS_SERVER_ADDR"}
    return subprocess.run(argv, env={**env, "NACOS_VERSION": version}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
