"""Quality on unseen rows, measured on what is shipped: the exported arithmetic.

The data is the whole domain, so accuracy on the rows trained on says nothing and is never computed.
All figures come from repeated stratified cross-validation; a learning curve says how few rows do.

Probabilities of `support_vectors` are a calibration: each pair of classes gets the probability
sigmoid(slope * decision), and a class's odds are the product over its pairs. The one number `slope`
is chosen by cross-entropy on the unseen rows, against targets smoothed by Laplace's rule: with no
error in n answers, the next is still taken to be wrong with probability 1 / (n + 2).
Probabilities of `boosted_trees` are the model's own.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedShuffleSplit

from car_evaluation_model.config.core import Config, Recipe
from car_evaluation_model.estimators import Estimator, Floats, SupportVectors, softmax
from car_evaluation_model.pipeline import export, fit
from car_evaluation_model.processing.data_manager import Dataset, Metrics
from car_evaluation_model.processing.features import Codes

SLOPES = 2.0 ** np.arange(-2, 6.5, 0.5)
CURVE = (0.1, 0.25, 0.5)  # shares of the rows trained on
CURVE_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit, and the rows it had not seen."""

    estimator: Estimator
    unseen: Dataset

    @property
    def right(self) -> Codes:
        """1 where the answer is true, else 0; (r,)."""
        answers = self.estimator.decide(self.unseen.codes)[0]
        return np.equal(answers, self.unseen.classes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Unseen:
    """All folds of all repeats: every row is answered once per repeat."""

    folds: tuple[Fold, ...]
    rows: int

    @property
    def truth(self) -> Codes:
        """True classes, (repeats * rows,)."""
        return np.concatenate([fold.unseen.classes for fold in self.folds])

    @property
    def predicted(self) -> Codes:
        """Answers, (repeats * rows,)."""
        return np.concatenate([fold.estimator.decide(fold.unseen.codes)[0] for fold in self.folds])

    def logits(self, slope: float) -> Floats:
        """Log-odds, (repeats * rows, classes)."""
        parts = [sloped(f.estimator, slope).decide(f.unseen.codes)[1] for f in self.folds]
        return np.concatenate(parts)

    def cross_entropy(self, slope: float, doubt: float = 0.0) -> float:
        """Against targets that give the true class 1 - doubt, and the others the doubt."""
        logits = self.logits(slope)
        target = np.full(logits.shape, doubt / (logits.shape[1] - 1))
        target[np.arange(len(logits)), self.truth] = 1 - doubt
        total = np.logaddexp.reduce(logits, axis=1)
        return float((total - (target * logits).sum(axis=1)).mean())


def fitted(config: Config, recipe: Recipe, data: Dataset) -> Estimator:
    """Fit to these rows and export."""
    return export(recipe, fit(config, recipe, data))


def sloped(estimator: Estimator, slope: float) -> Estimator:
    """The estimator with this slope; boosted trees have probabilities of their own and no slope."""
    if isinstance(estimator, SupportVectors):
        return estimator.model_copy(update={"slope": slope})
    return estimator


def cross_validate(config: Config, recipe: Recipe, data: Dataset) -> Unseen:
    """Fit on each fold's complement."""
    training = config.training
    splits = RepeatedStratifiedKFold(
        n_splits=training.folds, n_repeats=training.repeats, random_state=training.random_state
    ).split(data.codes, data.classes)
    folds = (Fold(fitted(config, recipe, data.at(seen)), data.at(test)) for seen, test in splits)
    return Unseen(tuple(folds), len(data.classes))


def calibrate(unseen: Unseen) -> float:
    """The slope, as the module's docstring defines it."""
    doubt = 1 / (unseen.rows + 2)
    return float(min(SLOPES, key=lambda slope: unseen.cross_entropy(slope, doubt)))


def learning_curve(config: Config, recipe: Recipe, data: Dataset) -> dict[str, float]:
    """Share of the rows trained on -> accuracy on the others, mean of `CURVE_REPEATS` draws."""
    curve = {}
    for share in CURVE:
        splits = StratifiedShuffleSplit(
            CURVE_REPEATS, train_size=share, random_state=config.training.random_state
        ).split(data.codes, data.classes)
        folds = (
            Fold(fitted(config, recipe, data.at(seen)), data.at(test)) for seen, test in splits
        )
        curve[f"{share:.0%}"] = round(float(np.mean([fold.right.mean() for fold in folds])), 4)
    return curve


def measure(unseen: Unseen, slope: float, curve: dict[str, float]) -> Metrics:
    """What a release's manifest and model card say about quality."""
    shares = softmax(unseen.logits(slope))
    truth, size = unseen.truth, shares.shape[1]
    cells = np.bincount(truth * size + unseen.predicted, minlength=size * size)
    confusion = cells.reshape(size, size)
    recall = confusion.diagonal() / confusion.sum(axis=1)
    per_fit = np.array([fold.right.mean() for fold in unseen.folds])
    return Metrics(
        accuracy=round(float(per_fit.mean()), 4),
        deviation=round(float(per_fit.std()), 4),
        worst=round(float(per_fit.min()), 4),
        balanced_accuracy=round(float(recall.mean()), 4),
        recall=recall.round(4).tolist(),
        log_loss=round(unseen.cross_entropy(slope), 4),
        brier=round(float(((shares - np.eye(size)[truth]) ** 2).sum(axis=1).mean()), 4),
        confusion=confusion.tolist(),
        learning_curve=curve,
    )
