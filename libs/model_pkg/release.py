# ruff: noqa: INP001 - a script
"""Builds the wheels of the released versions from this one source tree, and publishes them.

A wheel is the package with `VERSION` set, the files of that version only, and the licence. A
version that the index has is verified, its wheel carries the model of this tree, and left alone;
only a version that the index lacks is built and published.
"""

import argparse
import base64
import io
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from hashlib import sha256
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urldefrag, urljoin

from car_evaluation_model.config.core import read_config

HERE = Path(__file__).resolve().parent
PACKAGE = Path("src/car_evaluation_model")
MODEL = "car_evaluation_model/models/{}/model.json"
"""The place of a version's artefact in a wheel."""
LARGEST = 100 * 1024 * 1024
"""Bytes of an index's answer that are read at most."""
PATIENCE_SECONDS = 30


class ReleaseError(Exception):
    """A version was not published; the message says why, and what to do."""


class Links(HTMLParser):
    """The addresses of the files that an index lists on a project's page, by name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self.files: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of a link."""
        address = dict(attrs).get("href")
        if tag == "a" and address:
            url = urldefrag(urljoin(self._page, address)).url
            self.files[url.rpartition("/")[2]] = url


def name_of(version: str) -> str:
    """Return the name of a version's wheel."""
    return f"car_evaluation_model-{version}-py3-none-any.whl"


def ask(url: str) -> bytes | None:
    """Return what the index answers with the login of the environment; None: there is nothing.

    Raises:
        ReleaseError: it does not answer, or refuses.
    """
    login = f"{os.environ['INDEX_USERNAME']}:{os.environ['INDEX_PASSWORD']}"
    fields = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    request = urllib.request.Request(url, headers={**fields, "Accept": "text/html"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read(LARGEST)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        said = f"{error.code} {error.reason}"
        raise ReleaseError(f"the index answers {said}: see to INDEX_URL and the login") from error
    except (URLError, TimeoutError) as error:
        raise ReleaseError(f"the index does not answer: {error}") from error
    return content


def published(version: str, url: str) -> bytes | None:
    """Return the wheel that the index has of a version, or None.

    Raises:
        ReleaseError: as `ask`.
    """
    page = f"{url.rstrip('/')}/simple/car-evaluation-model/"
    content = ask(page)
    if content is None:
        return None
    links = Links(page)
    links.feed(content.decode("utf-8", "replace"))
    address = links.files.get(name_of(version))
    return ask(address) if address else None


def verify(version: str, wheel: bytes) -> None:
    """Check that a published wheel carries the model that this tree has under its version.

    Raises:
        ReleaseError: it carries another one.
    """
    here = (HERE / PACKAGE / "models" / version / "model.json").read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            there = archive.read(MODEL.format(version))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ReleaseError(f"{name_of(version)} on the index has no such model: {error}") from error
    if there != here:
        raise ReleaseError(
            f"{name_of(version)} on the index carries another model (sha256 "
            f"{sha256(there).hexdigest()}) than models/{version} here "
            f"({sha256(here).hexdigest()}); a released version stays as it is: put that model "
            "back, and release this one under a new number"
        )


def stage(version: str, folder: Path) -> None:
    """Copy the files from which the wheel of one version is built into `folder`."""
    skip = shutil.ignore_patterns("__pycache__", "models", "VERSION")
    shutil.copytree(HERE / PACKAGE, folder / PACKAGE, ignore=skip)
    shutil.copytree(HERE / PACKAGE / "models" / version, folder / PACKAGE / "models" / version)
    (folder / PACKAGE / "VERSION").write_text(f"{version}\n", encoding="utf-8")
    for file in (HERE / "pyproject.toml", HERE / "README.md", HERE / "LICENSE"):
        shutil.copy(file, folder)


def build(version: str, output: Path) -> Path:
    """Build the wheel of a version into `output`, with the same bytes every time."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output)]
    with TemporaryDirectory() as folder:
        stage(version, Path(folder))
        subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return output / name_of(version)


def publish(wheel: Path, url: str) -> None:
    """Upload a wheel with the login of INDEX_USERNAME and INDEX_PASSWORD.

    Other bytes under a name that the index has are refused, should somebody have been faster.

    Raises:
        ReleaseError: it was not published.
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
    if subprocess.run(command, check=False, env=os.environ | login).returncode != 0:  # noqa: S603
        raise ReleaseError(f"{wheel.name} was not published; uv said why")


def release(version: str, output: Path, url: str | None) -> str:
    """Build a version, and publish it where a URL is given and its index lacks it.

    Returns:
        what was done.

    Raises:
        ReleaseError: it is not published, or another model is.
    """
    if url is not None and (wheel := published(version, url)) is not None:
        verify(version, wheel)
        return f"{name_of(version)} is published, and verified"
    built = build(version, output)
    if url is None:
        return f"built {built}"
    publish(built, url)
    return f"published {built.name}"


def main() -> int:
    """Build the named versions and publish them if asked to; return the exit code."""
    parser = argparse.ArgumentParser()
    known = list(read_config().releases)
    parser.add_argument("versions", nargs="*", metavar="VERSION", default=known)
    parser.add_argument("--output", type=Path, default=HERE / "dist")
    parser.add_argument("--publish", action="store_true", help="to the index named by INDEX_URL")
    arguments = parser.parse_args()
    if unknown := set(arguments.versions) - set(known):
        sys.stderr.write(f"config.yml has no release {', '.join(unknown)}\n")
        return 2
    needed = ("INDEX_URL", "INDEX_USERNAME", "INDEX_PASSWORD") if arguments.publish else ()
    if missing := [name for name in needed if not os.environ.get(name)]:
        sys.stderr.write(f"set {', '.join(missing)}: where to publish, and the login there\n")
        return 2
    url = os.environ["INDEX_URL"] if arguments.publish else None
    try:
        for version in arguments.versions:
            sys.stdout.write(release(version, arguments.output, url) + "\n")
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
