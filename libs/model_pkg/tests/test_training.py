"""Training: the same bytes again, scikit-learn's own answers, nothing below the gate."""

import json
import re
from hashlib import sha256
from importlib.metadata import requires, version as installed
from pathlib import Path

import numpy as np
import pytest
from car_evaluation_model import load
from car_evaluation_model.card import pages
from car_evaluation_model.config.core import PACKAGE, read_config, read_version
from car_evaluation_model.errors import TrainingError
from car_evaluation_model.estimators import SupportVectors, softmax
from car_evaluation_model.evaluation import calibrate, cross_validate
from car_evaluation_model.pipeline import export, fit
from car_evaluation_model.processing.data_manager import LOCK, installed_versions, read_dataset
from car_evaluation_model.train_pipeline import recipe_of, release, train

CONFIG = read_config()
VERSIONS = tuple(CONFIG.releases)
FIRST = CONFIG.releases["1.0.0"]


def with_training(**changes):
    return CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update=changes)})


@pytest.mark.parametrize("version", VERSIONS)
def test_training_twice_gives_the_committed_bytes(version):
    """Training is reproducible to the byte: two runs equal each other and the released artefact."""
    released = load(version)
    slope = getattr(released.estimator, "slope", 1.0)
    first, second = train(CONFIG, version, slope), train(CONFIG, version, slope)
    assert first == second
    assert sha256(first).hexdigest() == released.sha256


@pytest.mark.parametrize("version", VERSIONS)
def test_export_decides_as_scikit_learn(version):
    """On all 1,728 inputs the shipped arithmetic gives scikit-learn's classes and decision values.

    The tolerance is that of rounding each learned number to 2**-28 and adding up to 607 of them,
    each weighted by a kernel value of at most (6/4 + 1)**4 = 39.
    """
    recipe = CONFIG.releases[version]
    data = read_dataset(CONFIG, recipe)
    pipeline = fit(CONFIG, recipe, data)
    estimator = export(recipe, pipeline)
    classes, logits = estimator.decide(data.codes)
    mine = estimator.decisions(data.codes) if isinstance(estimator, SupportVectors) else logits
    tolerance = 608 * 39 * 2.0**-29
    assert (classes == pipeline.predict(data.codes)).all()
    assert np.abs(mine - pipeline.decision_function(data.codes)).max() < tolerance
    assert (load(version).table.classes == pipeline.predict(data.codes)).all()


def test_boosted_trees_have_scikit_learns_probabilities():
    """For the family with native probabilities, ours are scikit-learn's, to six decimals."""
    recipe = CONFIG.releases["1.1.0"]
    data = read_dataset(CONFIG, recipe)
    pipeline = fit(CONFIG, recipe, data)
    ours = softmax(export(recipe, pipeline).decide(data.codes)[1])
    assert np.abs(ours - pipeline.predict_proba(data.codes)).max() < 1.01e-6


def test_quality_in_the_manifest_is_of_unseen_rows():
    """One repeat of the cross-validation, done again here, agrees with what the manifest claims."""
    once = with_training(repeats=1)
    unseen = cross_validate(once, FIRST, read_dataset(CONFIG, FIRST))
    claimed = load("1.0.0").manifest.metrics
    accuracy = np.mean([fold.right.mean() for fold in unseen.folds])
    assert abs(accuracy - claimed.accuracy) <= 2 * claimed.deviation + 0.002
    assert accuracy >= 0.99
    assert len(unseen.truth) == len(read_dataset(CONFIG, FIRST).classes)


def test_calibration_is_not_certain():
    """With hardly an error seen, the calibrated doubt is still at least that of Laplace's rule."""
    once = with_training(repeats=1)
    data = read_dataset(CONFIG, FIRST)
    unseen = cross_validate(once, FIRST, data)
    shares = softmax(unseen.logits(calibrate(unseen)))
    trust = shares[np.arange(len(shares)), unseen.truth].mean()
    assert 0.99 < trust < 1 - 1 / (len(data.classes) + 2)


def test_a_released_version_is_not_written_again():
    """Training it under the same number, even to better figures, is refused."""
    once = with_training(repeats=1, folds=3)
    with pytest.raises(TrainingError, match=r"1\.1\.0 is released and stays as it is"):
        release(once, "1.1.0")
    assert load("1.1.0").manifest.metrics.confusion != []


def test_gate_refuses_and_writes_nothing():
    """A model below the required accuracy is not written."""
    weak = FIRST.model_copy(update={"degree": 1, "C": 2.0**-7})
    config = with_training(repeats=1, folds=3).model_copy(update={"releases": {"0.0.1": weak}})
    with pytest.raises(TrainingError, match=r"accuracy 0\.\d+ is below the gate 0\.99"):
        release(config, "0.0.1")
    assert not (PACKAGE / "models" / "0.0.1").exists()


def test_other_scikit_learn_is_refused(tmp_path):
    """Training under another scikit-learn than the pinned one stops and names what is installed."""
    here = installed("scikit-learn")
    text = (PACKAGE / LOCK).read_text()
    (tmp_path / LOCK).write_text(text.replace(f"scikit-learn=={here}", "scikit-learn==0.24.2"))
    with pytest.raises(TrainingError, match=f"scikit-learn': '{here}'"):
        installed_versions(tmp_path)


def test_the_lock_is_the_repositorys():
    """The pinned packages are scikit-learn and all it needs, each as in requirements.lock.

    When one of them is pinned anew, `make train-model` has to show that the bytes are the same.
    """
    lock = (Path(__file__).parents[3] / "requirements.lock").read_text()
    blocks = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    needs = [re.split(r"[^\w-]", need)[0] for need in requires("scikit-learn") if ";" not in need]
    trains = [block for block in blocks if block.split("==")[0] in {"scikit-learn", *needs}]
    assert (PACKAGE / LOCK).read_text() == "".join(trains)
    assert load("1.0.0").manifest.trained_with.keys() == {"scikit-learn", *needs}


def test_unknown_version_is_refused():
    """A version without a recipe names those that have one."""
    with pytest.raises(TrainingError, match=r"no release 2\.0\.0 \(it has 1\.0\.0, 1\.1\.0\)"):
        recipe_of(CONFIG, "2.0.0")


def test_data_outside_the_schema_is_refused(tmp_path):
    """A line of training data with an unknown value stops training and names the line."""
    text = (PACKAGE / FIRST.data).read_text(encoding="utf-8").replace("vhigh", "vhihg", 1)
    (tmp_path / "data").mkdir()
    (tmp_path / FIRST.data).write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match="line 2"):
        read_dataset(CONFIG, FIRST, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_cards_are_current(version):
    """The committed model card and picture are what the manifest gives: `make train-model`."""
    folder = PACKAGE / "models" / version
    for name, content in pages(CONFIG, version).items():
        assert (folder / name).read_text(encoding="utf-8") == content


@pytest.mark.parametrize("version", VERSIONS)
def test_card_says_what_it_must(version):
    """Licence, author and spread are in the card; zero errors are never called certainty."""
    text = pages(CONFIG, version)["card.md"]
    metrics = load(version).manifest.metrics
    assert "CC BY 4.0" in text
    assert "Marko Bohanec" in text
    assert f"{metrics.accuracy:.4f} ± {metrics.deviation:.4f}" in text
    assert "100 %" not in text
    assert sum(map(sum, metrics.confusion)) == 3 * 1728


def test_golden_rows_cover_every_class():
    """The self-check at load asks five rows of each class."""
    for version in VERSIONS:
        predicted = [row.predicted for row in load(version).golden]
        assert [predicted.count(number) for number in range(4)] == [5] * 4


def test_released_version_has_a_recipe():
    """VERSION names one of the recipes, and the families of the two versions differ."""
    assert read_version() in VERSIONS
    assert len({recipe.family for recipe in CONFIG.releases.values()}) == len(VERSIONS)


def test_manifest_is_readable_by_people():
    """The manifest records what trained it and the digests of what it was made from."""
    manifest = json.loads((PACKAGE / "models/1.0.0/manifest.json").read_text())
    assert set(manifest["sha256"]) == {"artefact", "code", "data", "lock", "recipe"}
    assert manifest["trained_with"] == installed_versions()
