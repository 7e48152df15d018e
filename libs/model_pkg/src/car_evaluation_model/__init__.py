"""The car-evaluation model, packaged: `load()` for services, `make_prediction` for scripts."""

from car_evaluation_model.config.core import Field
from car_evaluation_model.errors import InvalidRowsError, ModelError, RowError
from car_evaluation_model.explain import RankExplanation, RankImprovement, explain
from car_evaluation_model.model import Model, Prediction, load
from car_evaluation_model.predict import make_prediction
from car_evaluation_model.processing.features import every_input, rank
from car_evaluation_model.processing.validation import encode

__all__ = [
    "Field",
    "InvalidRowsError",
    "Model",
    "ModelError",
    "Prediction",
    "RankExplanation",
    "RankImprovement",
    "RowError",
    "encode",
    "every_input",
    "explain",
    "load",
    "make_prediction",
    "rank",
]
