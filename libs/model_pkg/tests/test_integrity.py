"""A package that is not exactly what was released refuses to load and says what is wrong where."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from car_evaluation_model import ModelError, load
from car_evaluation_model.config.core import read_config
from car_evaluation_model.errors import (
    ConfigError,
    InvalidArtefactError,
    ModelNotFoundError,
    SelfCheckError,
    TamperedError,
    WrongLibraryError,
)
from car_evaluation_model.processing.data_manager import digests


def rewrite(package: Path, change) -> None:
    """Change the artefact and make the manifest agree, as a careless release would."""
    folder = package / "models" / "1.0.0"
    artefact = json.loads((folder / "model.json").read_text())
    change(artefact)
    (folder / "model.json").write_text(json.dumps(artefact))
    for name, found in digests(read_config(package), "1.0.0", package).model_dump().items():
        sign(package, name, found)


def sign(package: Path, name: str, digest: str) -> None:
    """Have the manifest name another digest."""
    file = package / "models" / "1.0.0" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["sha256"][name] = digest
    file.write_text(json.dumps(manifest))


def test_untouched_copy_loads(package: Path):
    """The copy that the other tests damage is itself sound."""
    assert load("1.0.0", package).version == "1.0.0"


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("models/1.0.0/model.json", "artefact"),
        ("data/car.csv", "data"),
        ("pipeline.py", "code"),
        ("model.py", "code"),
        ("training.lock", "lock"),
    ],
)
def test_one_changed_byte_is_found(package: Path, file: str, named: str):
    """Any byte of artefact, data, training code or lock that differs is named."""
    for name in ("code", "lock"):  # which may be later ones, that were seen to reproduce it
        sign(package, name, getattr(digests(read_config(package), "1.0.0", package), name))
    content = bytearray((package / file).read_bytes())
    content[len(content) // 2] ^= 1
    (package / file).write_bytes(content)
    with pytest.raises(TamperedError, match=f"{named} of model 1.0.0 in .*sha256 is"):
        load("1.0.0", package)


def test_digest_is_checked_before_parsing(package: Path):
    """Bytes that no parser could read are reported as tampered: nothing looked inside them."""
    (package / "models/1.0.0/model.json").write_bytes(b"\x80\x04 not JSON")
    with pytest.raises(TamperedError, match="artefact"):
        load("1.0.0", package)


NEW = """\
  1.2.0:
    {data: data/more.csv, family: boosted_trees, iterations: 9, learning_rate: 0.5, leaves: 7}
"""


def change_config(package: Path, old: str, new: str) -> None:
    """Write something else into the configuration."""
    path = package / "config.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_configuration_that_is_no_yaml(package: Path):
    """It is named with its path."""
    (package / "config.yml").write_bytes(b"{ not: [YAML")
    with pytest.raises(ConfigError, match=r"config\.yml"):
        load("1.0.0", package)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("degree: 4", "degree: 3"),
        ("random_state: 26", "random_state: 27"),
        ("folds: 10", "folds: 5"),
        ("[small, med, big]", "[small, big, med]"),
        ("or_more: 5", "or_more: 6"),
        ("vgood", "superb"),
    ],
)
def test_a_change_of_the_recipe_is_found(package: Path, old: str, new: str):
    """All that a release takes from the configuration is as it was, or the release is refused."""
    change_config(package, old, new)
    with pytest.raises(TamperedError, match=r"recipe of model 1\.0\.0 in .*a new number"):
        load("1.0.0", package)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("iterations: 100", "iterations: 50"),
        ("releases:\n", f"releases:\n{NEW}"),
        ("least_accuracy: 0.99", "least_accuracy: 0.995"),
        ("# Every choice", "# Each choice"),
    ],
    ids=["of another version", "a new recipe", "the gate", "a comment"],
)
def test_a_release_does_not_depend_on_what_it_was_not_made_of(package: Path, old: str, new: str):
    """Recipes of other versions, a higher gate and comments change no release."""
    change_config(package, old, new)
    assert load("1.0.0", package).version == "1.0.0"


def test_a_recipe_that_was_taken_out_is_missed(package: Path):
    """A release cannot lose what it was made of."""
    change_config(package, "  1.0.0: ", "  0.9.0: ")
    with pytest.raises(TamperedError, match=r"lost the recipe of model 1\.0\.0"):
        load("1.0.0", package)


def test_a_package_is_loaded_with_its_own_configuration(package: Path):
    """Fields and labels are those of the package that is named, not of the one installed."""
    change_config(package, "vgood", "superb")
    sign(package, "recipe", read_config(package).recipe_digest("1.0.0"))

    assert load("1.0.0", package).classes == ("unacc", "acc", "good", "superb")


def test_missing_version_says_what_there_is(package: Path):
    """Asking for a version the package does not carry lists those it does."""
    with pytest.raises(ModelNotFoundError, match=r"no model 9.9.9 .*found: 1.0.0, 1.1.0"):
        load("9.9.9", package)


@pytest.mark.parametrize("name", ["model.json", "manifest.json"])
def test_missing_file(package: Path, name: str):
    """A release without one of its two files is no release."""
    (package / "models/1.0.0" / name).unlink()
    with pytest.raises(ModelNotFoundError, match=name):
        load("1.0.0", package)


def test_broken_manifest(package: Path):
    """A manifest that is not one is named with its path."""
    (package / "models/1.0.0/manifest.json").write_text("{}")
    with pytest.raises(InvalidArtefactError, match=r"manifest\.json"):
        load("1.0.0", package)


def test_manifest_that_does_not_name_the_trainer(package: Path):
    """Nobody could tell which scikit-learn fits: the manifest is refused, by path and member."""
    file = package / "models/1.0.0/manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["trained_with"]["scikit-learn"]
    file.write_text(json.dumps(manifest))
    with pytest.raises(
        InvalidArtefactError, match=r"(?s)manifest\.json.*trained_with.*scikit-learn"
    ):
        load("1.0.0", package)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_golden_row_without_a_probability_for_each_class(package: Path, count: int):
    """An answer cannot be compared with it: the artefact is refused, by path and row."""

    def change(artefact):
        artefact["golden"][7]["probabilities"] = [0.2] * count

    rewrite(package, change)
    wanted = rf"1\.0\.0/model\.json: golden row 7 has {count} probabilities.* 4 classes"
    with pytest.raises(InvalidArtefactError, match=wanted):
        load("1.0.0", package)


@pytest.mark.parametrize(
    "change",
    [
        lambda artefact: artefact.update(format=2),
        lambda artefact: artefact.update(estimator={"family": "pickle"}),
        lambda artefact: artefact.update(extra=1),
        lambda artefact: artefact.update(version="1.1.0"),
    ],
    ids=["another format", "another family", "an unknown key", "another version"],
)
def test_artefact_this_code_does_not_know(package: Path, change):
    """A well-signed artefact of another format, family or version is refused, not guessed at."""
    rewrite(package, change)
    with pytest.raises(InvalidArtefactError):
        load("1.0.0", package)


def test_another_scikit_learn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One beside the model that is not the one it was trained with is named with its place."""
    other = tmp_path / "scikit_learn-1.4.2.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.4.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WrongLibraryError, match=rf"{tmp_path}/? is 1\.4\.2, model 1\.0\.0 was"):
        load("1.0.0")


def lose_support_vectors(artefact):
    artefact["estimator"]["duals"] = [[0] * 6 for _ in artefact["estimator"]["duals"]]


def cut_a_list(artefact):
    artefact["estimator"]["duals"].pop()


def lose_a_class(artefact):
    estimator = artefact["estimator"]
    estimator["classes"] = 3
    estimator["duals"] = [line[:3] for line in estimator["duals"]]
    estimator["intercepts"] = estimator["intercepts"][:3]


@pytest.mark.parametrize("change", [lose_support_vectors, cut_a_list, lose_a_class])
def test_model_that_answers_differently_is_refused(package: Path, change):
    """Golden rows are asked before the model is handed out; a difference names row and answers."""
    rewrite(package, change)
    with pytest.raises(SelfCheckError, match=r"model 1\.0\.0"):
        load("1.0.0", package)


def test_all_errors_have_one_base():
    """A service catches `ModelError` and has caught everything."""
    leaves = (
        InvalidArtefactError,
        ModelNotFoundError,
        SelfCheckError,
        TamperedError,
        WrongLibraryError,
    )
    assert all(issubclass(leaf, ModelError) for leaf in leaves)


def test_serving_imports_neither_training_nor_pandas_nor_pickle_loaders():
    """Loading and predicting need numpy, pydantic and YAML; nothing that unpickles is imported."""
    code = (
        "import sys, car_evaluation_model as m; m.load(); m.make_prediction([]);"
        "print(*[n for n in ('sklearn', 'scipy', 'pandas', 'joblib') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
