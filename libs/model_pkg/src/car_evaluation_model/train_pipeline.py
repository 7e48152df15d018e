"""`python -m car_evaluation_model.train_pipeline [VERSION ...]`: evaluate, gate, train, write.

A version that is released is not written again. Where code or lock have changed since, it is
trained again and has to come out as the same bytes; `reproduced.json` then says so.
"""

import argparse
import sys

import numpy as np

from car_evaluation_model.card import write as write_card
from car_evaluation_model.config.core import Config, Recipe, read_config
from car_evaluation_model.errors import ModelError, TrainingError
from car_evaluation_model.estimators import softmax
from car_evaluation_model.evaluation import (
    calibrate,
    cross_validate,
    learning_curve,
    measure,
    sloped,
)
from car_evaluation_model.model import Artefact, Distribution, Golden
from car_evaluation_model.pipeline import export, fit
from car_evaluation_model.processing.data_manager import (
    Metrics,
    installed_versions,
    is_released,
    read_content,
    read_dataset,
    reproduces,
    write_release,
    write_reproduced,
)
from car_evaluation_model.processing.features import counts

GOLDEN_PER_CLASS = 5


def recipe_of(config: Config, version: str) -> Recipe:
    """The recipe of a version, if this environment may train it.

    Raises:
        TrainingError: no such version, or other packages installed than those of training.lock.
    """
    if version not in config.releases:
        known = ", ".join(config.releases)
        raise TrainingError(f"config.yml has no release {version} (it has {known})")
    installed_versions()
    return config.releases[version]


def train(config: Config, version: str, slope: float) -> bytes:
    """Fit to all rows; the artefact's bytes, the same on every run.

    Raises:
        TrainingError: as `recipe_of`, or the export decides differently from scikit-learn somewhere
            in the domain, or its most probable class is not the one it predicts.
    """
    recipe = recipe_of(config, version)
    data = read_dataset(config, recipe)
    pipeline = fit(config, recipe, data)
    predicted = pipeline.predict(data.codes)
    estimator = sloped(export(recipe, pipeline), slope)
    decided, logits = estimator.decide(data.codes)
    shares = softmax(logits)
    if (decided != predicted).any() or (shares.argmax(axis=1) != predicted).any():
        raise TrainingError(f"{version}: the exported model and scikit-learn disagree")
    by_class = [np.flatnonzero(predicted == number) for number in range(len(config.classes))]
    evenly = [np.linspace(0, len(rows) - 1, GOLDEN_PER_CLASS).astype(int) for rows in by_class]
    golden = [
        Golden(
            codes=data.codes[row].tolist(),
            predicted=int(predicted[row]),
            probabilities=shares[row].tolist(),
        )
        for rows, places in zip(by_class, evenly, strict=True)
        for row in rows[places]
    ]
    training = Distribution(
        features=counts(data.codes, config.shape), classes=np.bincount(data.classes).tolist()
    )
    artefact = Artefact(
        format=1, version=version, training=training, golden=golden, estimator=estimator
    )
    return artefact.model_dump_json().encode() + b"\n"


def release(config: Config, version: str) -> Metrics:
    """Evaluate, gate, train and write one version; returns its quality.

    Raises:
        TrainingError: as `train`, or accuracy below `least_accuracy`; nothing is written then.
    """
    recipe = recipe_of(config, version)
    data = read_dataset(config, recipe)
    unseen = cross_validate(config, recipe, data)
    slope = calibrate(unseen)
    metrics = measure(unseen, slope, learning_curve(config, recipe, data))
    if metrics.accuracy < config.training.least_accuracy:
        raise TrainingError(
            f"{version}: cross-validated accuracy {metrics.accuracy} is below the gate "
            f"{config.training.least_accuracy}"
        )
    write_release(config, version, train(config, version, slope), metrics)
    return metrics


def verify(config: Config, version: str) -> str:
    """Prove that a release is as it was, and that this code and lock may serve it.

    Returns:
        what was found, for the command's user.

    Raises:
        ModelError: a file is not the released one, or training gives other bytes now.
    """
    _, content, manifest, found = read_content(version)
    unchanged = (found.code, found.lock) == (manifest.sha256.code, manifest.sha256.lock)
    if unchanged or reproduces(version, found):
        return f"{version}: released, and verified\n"
    estimator = Artefact.model_validate_json(content).estimator
    if train(config, version, getattr(estimator, "slope", 1.0)) != content:
        raise TrainingError(
            f"{version} is released, and code or lock give another model now: undo their change, "
            "or take the version out of config.yml and models/; its wheel stays on the index"
        )
    write_reproduced(version, found)
    return f"{version}: released, trained again: the same bytes\n"


def report(config: Config, version: str, metrics: Metrics) -> str:
    """What the command prints."""
    fits = config.training.folds * config.training.repeats
    recalls = zip(config.classes, metrics.recall, strict=True)
    return (
        f"{version}: cross-validated accuracy {metrics.accuracy:.4f} ± {metrics.deviation:.4f} "
        f"({fits} fits, worst {metrics.worst:.4f}), gate {config.training.least_accuracy}\n"
        f"  recall {', '.join(f'{name} {value:.3f}' for name, value in recalls)}\n"
        f"  log loss {metrics.log_loss:.4f}, Brier {metrics.brier:.4f}; accuracy when trained on "
        + ", ".join(f"{share} {value:.3f}" for share, value in metrics.learning_curve.items())
        + "\n"
    )


def main(arguments: list[str]) -> int:
    """Train the versions named, by default all, and verify the released; returns the exit code."""
    config = read_config()
    parser = argparse.ArgumentParser(prog="car_evaluation_model.train_pipeline")
    parser.add_argument("versions", nargs="*", metavar="VERSION", default=list(config.releases))
    named = parser.parse_args(arguments).versions
    released = [version for version in config.releases if is_released(version)]
    try:
        for version in released:
            sys.stdout.write(verify(config, version))
        for version in (version for version in named if version not in released):
            metrics = release(config, version)
            write_card(config, version)
            sys.stdout.write(report(config, version, metrics))
    except ModelError as error:
        sys.stderr.write(f"training refused: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
