"""`make release`: a version with its tag, checked wheels, an index from which strangers install."""

import datetime as dt
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from stack import ROOT

from tests.new_services import add_service
from tests.private_index import LOGIN, private_index

TODAY = dt.date(2027, 1, 31)
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="session")
def release() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("release", ROOT / "deploy" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(checkout: Path) -> Path:
    """The copy of the checkout, under version control."""
    with (checkout / ".gitignore").open("a") as ignored:
        ignored.write(".venv\n")  # a link here, which the pattern of the folder does not match
    git(checkout, "init", "--quiet")
    commit(checkout)
    return checkout


def age(checkout: Path) -> None:
    """Make the projects older than the environment, or make would set it up for this copy."""
    for file in checkout.rglob("pyproject.toml"):
        os.utime(file, (0, 0))


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "everything")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The folder and the port of a private index that is empty at first."""
    folder = tmp_path / "index"
    with private_index(folder) as port:
        yield folder, port


def test_a_version_is_written_everywhere_and_once(release: ModuleType, repository: Path) -> None:
    """Projects, what they require of their siblings, the changelog; not the model's version."""
    release.set_version("7.8.9", TODAY, repository)

    members = release.distributions(repository)
    assert {member.name for member in members} >= {
        "modelserve-failover", "modelserve-nacos-client", "modelserve-service-kit",
        "modelserve-gateway", "modelserve-classifier", "modelserve-kmeans",
    }  # fmt: skip
    assert {member.version for member in members} == {"7.8.9"}
    for file in repository.glob("*/*/pyproject.toml"):
        pins = re.findall(r'"modelserve-[a-z-]+([^"]*)"', file.read_text().partition("depend")[2])
        assert set(pins) <= {"==7.8.9"}, file
    head, _, rest = (repository / "CHANGELOG.md").read_text().partition("## 7.8.9 - 2027-01-31\n")
    assert head.endswith("## Unreleased\n\n")
    assert "### Added" in rest
    with pytest.raises(release.ReleaseError, match=r"has a section 7\.8\.9 already"):
        release.set_version("7.8.9", TODAY, repository)


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-SNAPSHOT", ""])
def test_a_version_that_no_index_orders_is_refused(release: ModuleType, version: str) -> None:
    """Before anything is written."""
    with pytest.raises(release.ReleaseError, match=r"write it as 1\.2\.0"):
        release.set_version(version, TODAY, ROOT)


def test_only_a_tagged_and_named_version_is_released(release: ModuleType, repository: Path) -> None:
    """The changelog names it, the tag is what is here, nothing is changed since: else refused."""

    def refused(reason: str) -> None:
        with pytest.raises(release.ReleaseError, match=reason):
            release.check_named(release.distributions(repository), repository)

    project = repository / "libs" / "failover" / "pyproject.toml"
    before = project.read_text()
    project.write_text(re.sub('^version = ".*"', 'version = "0.0.9"', before, flags=re.MULTILINE))
    refused(r"members have 0\.0\.9, ")
    project.write_text(before)
    refused("CHANGELOG.md has no section")
    release.set_version("7.8.9", TODAY, repository)
    refused("has changes: commit them first")
    commit(repository)
    refused(r"not the tag v7\.8\.9")
    git(repository, "tag", "v7.8.9")
    assert release.check_named(release.distributions(repository), repository) == "7.8.9"


def test_a_wheel_without_what_a_stranger_looks_for_is_refused(
    release: ModuleType, tmp_path: Path
) -> None:
    """Author, licence with its text, readme: the wheel that lacks them names each."""
    head = "Metadata-Version: 2.4\nName: x\nVersion: 1\nSummary: x\nRequires-Python: >=3.11\n"
    full = head + "Author: x\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n\n# x\n"
    for text, licence, lacking in (
        (full, True, []),
        (full, False, ["text of its licence"]),
        (full.replace("# x", ""), True, ["readme"]),
        (head, True, ["Author", "License-Expression", "License-File", "readme"]),
    ):
        wheel = tmp_path / "x-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("x-1.dist-info/METADATA", text)
            if licence:
                archive.writestr("x-1.dist-info/licenses/LICENSE", "text")
        assert release.missing(wheel) == lacking


def test_an_example_that_fails_or_hangs_up_badly_is_refused(
    release: ModuleType, tmp_path: Path
) -> None:
    """Its own words are told; one that ends well passes."""

    def tried(example: str) -> None:
        (tmp_path / "README.md").write_text(f"# x\n\n```python\n{example}\n```\n")
        member = release.Distribution(tmp_path, "x", "x", "1")
        release.try_example(member, Path(sys.executable), tmp_path)

    tried("print('well')")
    with pytest.raises(release.ReleaseError, match=r"example of x ended with 1: (?s:.*)no such"):
        tried("import sys; sys.exit('no such thing')")


def test_a_package_that_another_distribution_gives_too_is_refused(
    release: ModuleType, tmp_path: Path
) -> None:
    """Of two packages of one name one hides the other, and no installer says so."""

    def tried() -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", release.ALONE, "shared"]
        path = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(argv, env=path, capture_output=True, text=True, check=False)

    for name in ("ours", "theirs"):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "top_level.txt").write_text("shared\n")
        if name == "ours":
            assert tried().returncode == 0

    refused = tried()
    assert refused.returncode == 1
    assert "is given by" in refused.stderr
    assert "theirs" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_make_release_checks_and_publishes_everything(
    repository: Path, index: tuple[Path, int], tmp_path: Path
) -> None:
    """`make release`: every distribution and every model, at the index named in the environment.

    So is a service that `make new-service` has written, as it was written.
    Then one name is enough to install the Nacos client, with its sibling. Done again, it changes
    nothing; another wheel under a version that is there is refused.
    """
    folder, port = index
    environment = {
        **os.environ,
        "PYTHONPATH": str(repository / "libs" / "model_pkg" / "src"),
        "GATEWAY_COMPILED": "0",
        "INDEX_URL": f"http://127.0.0.1:{port}/",
        "INDEX_USERNAME": LOGIN[0],
        "INDEX_PASSWORD": LOGIN[1],
    }

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words], cwd=repository, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    add_service(repository, "iris")
    age(repository)
    assert make("version", "VERSION=7.8.9").returncode == 0
    age(repository)
    commit(repository)
    refused = make("release")
    assert refused.returncode != 0
    assert "not the tag v7.8.9" in refused.stderr
    git(repository, "tag", "v7.8.9")

    done = make("release")

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    held = {file.name: file.read_bytes() for file in folder.glob("*.whl")}
    names = {name.partition("-")[0] for name in held if "-7.8.9-py3-none-any" in name}
    assert names >= {
        "modelserve_failover", "modelserve_nacos_client", "modelserve_service_kit",
        "modelserve_gateway", "modelserve_classifier", "modelserve_kmeans", "modelserve_iris",
    }  # fmt: skip
    assert {name for name in held if name.startswith("car_")} == {
        f"car_evaluation_model-{version}-py3-none-any.whl" for version in ("1.0.0", "1.1.0")
    }

    fresh = tmp_path / "fresh"
    subprocess.run([UV, "venv", "--quiet", fresh], check=True)
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", fresh, "modelserve-nacos-client==7.8.9"],
        env={
            **os.environ,
            "UV_EXTRA_INDEX_URL": f"http://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{port}/simple/",
        },
        check=True,
    )
    code = "import nacos_client, failover; print(failover.__file__)"
    said = subprocess.check_output([fresh / "bin" / "python", "-I", "-c", code], text=True)
    assert said.startswith(str(fresh))

    assert make("release").returncode == 0
    assert {file.name: file.read_bytes() for file in folder.glob("*.whl")} == held
    with (repository / "libs/failover/README.md").open("a") as readme:
        readme.write("\nAnother one.\n")
    commit(repository)
    git(repository, "tag", "--force", "v7.8.9")
    refused = make("release")
    assert refused.returncode != 0
    assert "not everything was published" in refused.stderr
