# ruff: noqa: INP001 - a script
"""Builds the wheels of the released versions from this one source tree, and publishes them.

A wheel is the package with `VERSION` set, the files of that version only, and the licence.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
PACKAGE = Path("src/car_evaluation_model")


def stage(version: str, folder: Path) -> None:
    """Copy the files from which the wheel of one version is built into `folder`."""
    skip = shutil.ignore_patterns("__pycache__", "models", "VERSION")
    shutil.copytree(HERE / PACKAGE, folder / PACKAGE, ignore=skip)
    shutil.copytree(HERE / PACKAGE / "models" / version, folder / PACKAGE / "models" / version)
    (folder / PACKAGE / "VERSION").write_text(f"{version}\n", encoding="utf-8")
    for file in (HERE / "pyproject.toml", HERE.parents[1] / "LICENSE"):
        shutil.copy(file, folder)


def build(version: str, output: Path) -> Path:
    """Build the wheel of a version into `output`, with the same bytes every time."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output)]
    with TemporaryDirectory() as folder:
        stage(version, Path(folder))
        subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return output / f"car_evaluation_model-{version}-py3-none-any.whl"


def publish(wheel: Path, url: str) -> None:
    """Upload a wheel with the login of INDEX_USERNAME and INDEX_PASSWORD.

    Does nothing if the index has the same bytes; other bytes under a published name are refused.
    """
    name, secret = os.environ["INDEX_USERNAME"], os.environ["INDEX_PASSWORD"]
    entry = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    scheme, _, host = url.rstrip("/").partition("://")
    login = {
        "UV_PUBLISH_USERNAME": name,
        "UV_PUBLISH_PASSWORD": secret,
        "UV_PUBLISH_CHECK_URL": f"{scheme}://{entry}@{host}/simple/",
    }
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--trusted-publishing", "never", "--publish-url", url]
    command = [str(uv), "publish", *options, str(wheel)]
    subprocess.run(command, check=True, env=os.environ | login)  # noqa: S603


def main() -> int:
    """Build the named versions and publish them if asked to; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--output", type=Path, default=HERE / "dist")
    parser.add_argument("--publish", action="store_true", help="to the index named by INDEX_URL")
    arguments = parser.parse_args()
    needed = ("INDEX_URL", "INDEX_USERNAME", "INDEX_PASSWORD") if arguments.publish else ()
    if missing := [name for name in needed if not os.environ.get(name)]:
        sys.stderr.write(f"set {', '.join(missing)}: where to publish, and the login there\n")
        return 2
    for version in arguments.versions:
        wheel = build(version, arguments.output)
        sys.stdout.write(f"built {wheel}\n")
        if arguments.publish:
            try:
                publish(wheel, os.environ["INDEX_URL"])
            except subprocess.CalledProcessError:
                sys.stderr.write(f"{wheel.name} was not published; uv said why\n")
                return 1
            sys.stdout.write(f"published {wheel.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
