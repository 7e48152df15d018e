# ruff: noqa: INP001 - a script, not a package
"""Compiles what every request runs through with mypyc; the sources stay as they are.

    python compile.py FOLDER
    PYTHONPATH=FOLDER python -m gateway

copies the packages failover and gateway to FOLDER and puts an extension module beside each module
named here. The rest is interpreted: it runs at the start, for the admin port, or once a tick.
Needs a C compiler and Python's headers (Debian: gcc, python3-dev).
"""

import os
import shutil
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "libs/failover/src/failover", ROOT / "services/gateway/src/gateway")
COMPILED = {
    "failover": (
        "balancer budget deadline ejection hedging idempotence instance outcome peak_ewma retry"
        " retry_state tiers"
    ),
    "gateway/downstream": "connection pipeline",
    "gateway/proxy": "admission context exchange hedge shadow",
    "gateway/routing": "access conditions cors pattern spelling table",
    "gateway/upstream": "connection pool service",
    "gateway/telemetry": "records",
    "gateway/http": "body field_changes framing heads location problems request response",
}
"""Modules by folder."""
OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


def build(folder: Path) -> None:
    """Make FOLDER anew; what a failed build leaves is not importable by half."""
    shutil.rmtree(folder, ignore_errors=True)
    work = folder.with_name(folder.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(
            package, work / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    os.chdir(work)
    sources = [f"{name}/{one}.py" for name, ones in COMPILED.items() for one in ones.split()]
    extensions = mypycify([*OPTIONS, *sources], opt_level="3", debug_level="0")
    setup(
        name="compiled", ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"]
    )
    shutil.rmtree("build")
    work.rename(folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
