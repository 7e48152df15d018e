"""The scikit-learn side of a release: a recipe's pipeline, and its fitted numbers as plain data."""

from itertools import combinations
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from car_evaluation_model.config.core import BoostedTreesRecipe, Config, Recipe, SupportVectorRecipe
from car_evaluation_model.estimators import UNIT, BoostedTrees, SupportVectors
from car_evaluation_model.processing.data_manager import Dataset


def build(recipe: Recipe, shape: tuple[int, ...], seed: int) -> Pipeline:
    """The unfitted pipeline of a recipe over value codes (n, 6); `shape` counts their values."""
    if isinstance(recipe, SupportVectorRecipe):
        encoder = OneHotEncoder(
            categories=[list(range(size)) for size in shape], sparse_output=False
        )
        svc = SVC(
            kernel="poly",
            degree=recipe.degree,
            gamma=recipe.gamma,
            coef0=recipe.coef0,
            C=recipe.C,
            decision_function_shape="ovo",
        )
        return Pipeline([("encoder", encoder), ("estimator", svc)])
    trees = HistGradientBoostingClassifier(
        max_iter=recipe.iterations,
        learning_rate=recipe.learning_rate,
        max_leaf_nodes=recipe.leaves,
        early_stopping=False,
        random_state=seed,
    )
    return Pipeline([("estimator", trees)])


def fit(config: Config, recipe: Recipe, data: Dataset) -> Pipeline:
    """The recipe's pipeline fitted to these rows, in one thread: every sum is made in one order."""
    with threadpool_limits(1):
        return build(recipe, config.shape, config.training.random_state).fit(
            data.codes, data.classes
        )


def export(recipe: Recipe, pipeline: Pipeline) -> SupportVectors | BoostedTrees:
    """The fitted pipeline as data that decides the same; see `estimators` for the arithmetic."""
    if isinstance(recipe, SupportVectorRecipe):
        return _export_svc(recipe, pipeline["encoder"], pipeline["estimator"])
    return _export_trees(recipe, pipeline["estimator"])


def _export_svc(recipe: SupportVectorRecipe, encoder: OneHotEncoder, svc: SVC) -> SupportVectors:
    owner = np.repeat(np.arange(len(svc.classes_)), svc.n_support_)
    columns = []
    for first, second in combinations(range(len(svc.classes_)), 2):
        # libsvm keeps, per vector of class c, one coefficient against each other class, c left out.
        column = np.where(owner == first, svc.dual_coef_[second - 1], 0.0)
        columns.append(np.where(owner == second, svc.dual_coef_[first], column))
    return SupportVectors(
        family=recipe.family,
        classes=len(svc.classes_),
        degree=recipe.degree,
        gamma=recipe.gamma,
        coef0=recipe.coef0,
        vectors=encoder.inverse_transform(svc.support_vectors_).tolist(),
        duals=_units(np.stack(columns, axis=1)),
        intercepts=_units(svc.intercept_),
        slope=1.0,
    )


def _export_trees(
    recipe: BoostedTreesRecipe, model: HistGradientBoostingClassifier
) -> BoostedTrees:
    # scikit-learn has no public view of these trees; training is pinned to one version of it.
    trees = [tree.nodes for iteration in model._predictors for tree in iteration]  # noqa: SLF001
    nodes = np.concatenate(trees)
    sizes = np.array([len(tree) for tree in trees])
    starts = np.cumsum(sizes) - sizes
    offsets = np.repeat(starts, sizes)
    leaf = nodes["is_leaf"].astype(bool)
    return BoostedTrees(
        family=recipe.family,
        classes=len(model.classes_),
        starts=starts.tolist(),
        features=np.where(leaf, -1, nodes["feature_idx"]).tolist(),
        thresholds=np.where(leaf, 0, np.floor(nodes["num_threshold"])).astype(int).tolist(),
        lefts=np.where(leaf, 0, nodes["left"] + offsets).tolist(),
        rights=np.where(leaf, 0, nodes["right"] + offsets).tolist(),
        values=_units(np.where(leaf, nodes["value"], 0.0)),
        baseline=_units(model._baseline_prediction.ravel()),  # noqa: SLF001
    )


def _units(numbers: Any) -> Any:
    return np.rint(np.asarray(numbers) / UNIT).astype(np.int64).tolist()
