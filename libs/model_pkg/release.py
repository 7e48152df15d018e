# ruff: noqa: INP001 - a script
"""Wheels of the released versions, all built from this one source tree, and their way to the index.

A wheel is the package with `VERSION` set and the files of that version only.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
PACKAGE = Path("src/car_evaluation_model")


def stage(version: str, folder: Path) -> None:
    """Copy what one version's wheel is built from."""
    skip = shutil.ignore_patterns("__pycache__", "models", "VERSION")
    shutil.copytree(HERE / PACKAGE, folder / PACKAGE, ignore=skip)
    shutil.copytree(HERE / PACKAGE / "models" / version, folder / PACKAGE / "models" / version)
    (folder / PACKAGE / "VERSION").write_text(f"{version}\n", encoding="utf-8")
    shutil.copy(HERE / "pyproject.toml", folder)


def build(version: str, output: Path) -> Path:
    """Build the wheel of a version into `output`; the same bytes every time."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output)]
    with TemporaryDirectory() as folder:
        stage(version, Path(folder))
        subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return output / f"car_evaluation_model-{version}-py3-none-any.whl"


def publish(wheel: Path, url: str) -> None:
    """Upload a wheel; uv takes the login from UV_PUBLISH_USERNAME and UV_PUBLISH_PASSWORD."""
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--trusted-publishing", "never", "--publish-url", url]
    subprocess.run([str(uv), "publish", *options, str(wheel)], check=True)  # noqa: S603


def main() -> int:
    """Build the versions named and, with an index in INDEX_URL, publish them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--output", type=Path, default=HERE / "dist")
    parser.add_argument("--publish", action="store_true", help="to the index named by INDEX_URL")
    arguments = parser.parse_args()
    url = os.environ.get("INDEX_URL")
    if arguments.publish and not url:
        sys.stderr.write("set INDEX_URL to the index that shall receive the wheels\n")
        return 2
    for version in arguments.versions:
        wheel = build(version, arguments.output)
        sys.stdout.write(f"built {wheel}\n")
        if arguments.publish and url:
            publish(wheel, url)
            sys.stdout.write(f"published {wheel.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
