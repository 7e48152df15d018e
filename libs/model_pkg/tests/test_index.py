"""Both wheels, published to a private index and installed from it into a fresh environment."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from car_evaluation_model.processing.data_manager import release_folder

HERE = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
LOGIN = ("model-reader", "correct-horse-battery")
CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}


def script(name: str) -> ModuleType:
    """The script of the package's folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def private_index(folder: Path) -> Iterator[int | None]:
    """Serve an index of a folder; yield its port."""
    command = [sys.executable, HERE / "index.py", folder, "--port", "0"]
    login = {"INDEX_USERNAME": LOGIN[0], "INDEX_PASSWORD": LOGIN[1]}
    with subprocess.Popen(
        command, env=os.environ | login, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield urlsplit(server.stdout.readline().split()[-1]).port
        server.terminate()
        assert server.wait(10) == 0


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Port of a private index that is empty at first."""
    with private_index(tmp_path_factory.mktemp("index")) as port:
        yield port


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def publish(output: Path, version: str, port: int, username: str, password: str):
    """`release.py --publish`, as `make release-model` runs it."""
    return run(
        *(sys.executable, HERE / "release.py", "--publish", "--output", output, version),
        INDEX_URL=f"http://127.0.0.1:{port}/",
        INDEX_USERNAME=username,
        INDEX_PASSWORD=password,
    )


def test_wheels_are_reproducible(tmp_path):
    """Building the same version again gives the same bytes."""
    build = script("release").build
    first, second = (build("1.1.0", tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_a_wheel_carries_the_licence(tmp_path):
    """Whoever gets the package alone gets the text of its licence with it."""
    wheel = script("release").build("1.0.0", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("car_evaluation_model-1.0.0.dist-info/licenses/LICENSE")
        metadata = archive.read("car_evaluation_model-1.0.0.dist-info/METADATA").decode()
    assert text == (HERE.parents[1] / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0" in metadata


def test_different_wheel_of_a_published_version_is_refused(index, tmp_path):
    """A version, once published, keeps its bytes."""
    assert publish(tmp_path, "1.1.0", index, *LOGIN).returncode == 0
    wheel = script("release").build("1.1.0", tmp_path / "another")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("car_evaluation_model/extra.txt", "changed")
    code = "import pathlib, sys, release; release.publish(pathlib.Path(sys.argv[1]), sys.argv[2])"
    refused = run(
        *(sys.executable, "-c", code, wheel, f"http://127.0.0.1:{index}/"),
        PYTHONPATH=str(HERE),
        INDEX_USERNAME=LOGIN[0],
        INDEX_PASSWORD=LOGIN[1],
    )
    assert refused.returncode != 0
    assert "do not match" in refused.stderr


def test_index_lets_nobody_in_without_the_login(index, tmp_path):
    """Listing without a login and publishing with a wrong one are refused."""
    listing = run(
        "curl", "-s", "-o", os.devnull, "-w", "%{http_code}", f"http://127.0.0.1:{index}/simple/"
    )
    assert listing.stdout == "401"
    refused = publish(tmp_path, "1.0.0", index, LOGIN[0], "wrong")
    assert refused.returncode == 1
    assert "403" in refused.stderr or "401" in refused.stderr


def test_index_without_credentials_in_the_environment_does_not_start(tmp_path):
    """No login, no index: it ends with status 2 and names both variables."""
    done = run(*(sys.executable, HERE / "index.py", tmp_path), INDEX_USERNAME="", INDEX_PASSWORD="")
    assert done.returncode == 2
    assert "INDEX_USERNAME and INDEX_PASSWORD" in done.stderr


NEXT = """\
  1.2.0:
    {data: data/car.csv, family: boosted_trees, iterations: 60, learning_rate: 0.2, leaves: 31}
"""


def tree(folder: Path, *versions: str) -> Path:
    """Copy the package's folder as it was when it had these versions only."""
    skip = shutil.ignore_patterns("__pycache__", "dist", "models", "tests")
    shutil.copytree(HERE, folder, ignore=skip)
    shutil.copy(HERE.parents[1] / "LICENSE", folder.parent.parent)
    for version in versions:
        shutil.copytree(
            HERE / release_folder(version).relative_to(HERE),
            folder / release_folder(version).relative_to(HERE),
        )
    config = folder / "src" / "car_evaluation_model" / "config.yml"
    lines = config.read_text().splitlines(keepends=True)
    dropped = [f"  {version}: " for version in ("1.0.0", "1.1.0") if version not in versions]
    config.write_text("".join(one for one in lines if not one.startswith(tuple(dropped))))
    return folder


def test_a_new_recipe_is_released_over_an_index_that_has_the_older_versions(tmp_path):
    """Each version is published from the tree of its day; the next one changes no byte of it.

    Between the first two the code changed too. A version that the index has is never built.
    """
    with private_index(tmp_path / "index") as index:

        def release(at: Path) -> str:
            environment = {
                "PYTHONPATH": str(at / "src"),
                "INDEX_URL": f"http://127.0.0.1:{index}/",
                "INDEX_USERNAME": LOGIN[0],
                "INDEX_PASSWORD": LOGIN[1],
            }
            trained = run(
                sys.executable, "-m", "car_evaluation_model.train_pipeline", **environment
            )
            assert trained.returncode == 0, trained.stderr
            done = run(sys.executable, at / "release.py", "--publish", **environment)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def held() -> dict[str, str]:
            return {
                file.name: sha256(file.read_bytes()).hexdigest()
                for file in (tmp_path / "index").glob("*.whl")
            }

        first = tree(tmp_path / "first" / "libs" / "model_pkg", "1.0.0")
        assert release(first) == "published car_evaluation_model-1.0.0-py3-none-any.whl\n"
        after_first = held()

        second = tree(tmp_path / "second" / "libs" / "model_pkg", "1.0.0", "1.1.0")
        with (second / "src/car_evaluation_model/pipeline.py").open("a") as code:
            code.write("# The last line.\n")
        assert release(second) == (
            "car_evaluation_model-1.0.0-py3-none-any.whl is published, and verified\n"
            "published car_evaluation_model-1.1.0-py3-none-any.whl\n"
        )
        after_second = held()
        assert after_first.items() < after_second.items()

        with (second / "src/car_evaluation_model/config.yml").open("a") as config:
            config.write(NEXT)
        assert release(second).splitlines()[-1] == (
            "published car_evaluation_model-1.2.0-py3-none-any.whl"
        )
        assert after_second.items() < held().items()
        assert len(held()) == 3


def test_another_model_under_a_published_version_is_refused(tmp_path):
    """The index has other bytes of a version's model: nothing is published, and it is said."""
    with private_index(tmp_path / "index") as index:
        wheel = script("release").build("1.0.0", tmp_path / "index")
        other = tmp_path / wheel.name
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(other, "w") as new:
            for each in old.infolist():
                change = each.filename.endswith("model.json")
                new.writestr(each, old.read(each) + (b" " if change else b""))
        other.replace(wheel)
        before = wheel.read_bytes()

        refused = publish(tmp_path / "dist", "1.0.0", index, *LOGIN)

        assert refused.returncode == 1
        assert "carries another model" in refused.stderr
        assert "under a new number" in refused.stderr
        assert wheel.read_bytes() == before
        assert not (tmp_path / "dist").exists()


def test_publish_install_predict(index, tmp_path):
    """A fresh environment gets either version by `--extra-index-url` from its environment.

    Publishing what is there already does nothing, so a release can be repeated.
    """
    for version in ("1.0.0", "1.1.0", "1.0.0"):
        done = publish(tmp_path / "wheels", version, index, *LOGIN)
        assert done.returncode == 0, done.stderr
    url = f"http://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{index}/simple/"
    code = (
        "import json, sys, car_evaluation_model as model;"
        "print(json.dumps(model.make_prediction(json.load(sys.stdin))))"
    )
    for version in ("1.0.0", "1.1.0"):
        fresh = tmp_path / version
        assert run(UV, "venv", "--quiet", fresh).returncode == 0
        installed = run(
            *(UV, "pip", "install", "--quiet", "--python", fresh / "bin/python"),
            f"car-evaluation-model=={version}",
            UV_EXTRA_INDEX_URL=url,
        )
        assert installed.returncode == 0, installed.stderr
        done = subprocess.run(
            [fresh / "bin/python", "-I", "-c", code],
            input=json.dumps([CAR]),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        answer = json.loads(done.stdout)
        assert (answer["predictions"], answer["labels"]) == ([1], ["acc"])
        assert answer["version"] == version
        carried = {
            path.name for path in fresh.glob("lib/*/site-packages/car_evaluation_model/models/*")
        }
        assert carried == {version}
