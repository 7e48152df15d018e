"""The Nacos server's jars, fetched with Maven once and kept."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from stack import STATE
from stack.lock import one_at_a_time
from stack.releases import Release, chosen


class MissingToolError(RuntimeError):
    """This machine lacks a program; the message names it and the package to install."""


def class_path(release: Release | None = None) -> str:
    """Return the Java class path of a Nacos server; fetch its jars where they are missing."""
    jars = fetch(release)
    # Two jars hold the package com.caucho.hessian and only the newer one has every class the
    # server needs, so that one must come first.
    first = next(jars.glob("hessian-4*.jar"))
    return f"{first}:{jars}/*"


def fetch(release: Release | None = None) -> Path:
    """Return the folder with a release's jars; the first time Maven fetches up to 190 MB.

    Args:
        release: default: the one that NACOS_VERSION names.
    """
    pom = (release or chosen()).folder / "pom.xml"
    wanted = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    folder = STATE / f"nacos-jars-{wanted}"
    with one_at_a_time(STATE / "nacos-jars.lock"):
        if not folder.exists():
            _copy_dependencies(pom, folder)
    return folder


def _copy_dependencies(pom: Path, folder: Path) -> None:
    for program, package in (("java", "openjdk-17-jdk-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise MissingToolError(f"{program} is missing: install it (Debian: {package})")
    print("nacos: fetching the server's jars with Maven (up to 190 MB the first time)", flush=True)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    argv = ["mvn", "--batch-mode", "-f", str(pom), "dependency:copy-dependencies"]
    argv.append(f"-DoutputDirectory={partial}")
    tail: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as mvn:
        downloaded = 0
        for line in mvn.stdout or ():
            tail = [*tail[-14:], line]
            if "Downloaded" in line and ".jar" in line:
                downloaded += 1
                if downloaded % 25 == 0:
                    print(f"nacos: {downloaded} jars", flush=True)
    if mvn.returncode != 0:
        raise RuntimeError(f"Maven could not fetch the Nacos jars:\n{''.join(tail)}")
    partial.rename(folder)
