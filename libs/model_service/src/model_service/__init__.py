"""A model as a service in Nacos, declared in a page of code.

class Iris(RowModel):
    name, version, port = "iris", "1.0.0", 8002
    ...


if __name__ == "__main__":
    main(Iris)
"""

from model_service.batcher import Batching, MicroBatcher
from model_service.errors import DeclarationError, ModelServiceError, WrongAnswerError
from model_service.outputs import Answers, Out
from model_service.page import welcome_page
from model_service.predictor import Predictor
from model_service.process import Running, deferred, main, settings_of, started
from model_service.row_model import GoldenRow, RowModel
from model_service.rows import BodyReader, Rows
from model_service.service import InForce, Live, ModelService, Parts, instance_metadata

__all__ = [
    "Answers",
    "Batching",
    "BodyReader",
    "DeclarationError",
    "GoldenRow",
    "InForce",
    "Live",
    "MicroBatcher",
    "ModelService",
    "ModelServiceError",
    "Out",
    "Parts",
    "Predictor",
    "RowModel",
    "Rows",
    "Running",
    "WrongAnswerError",
    "deferred",
    "instance_metadata",
    "main",
    "settings_of",
    "started",
    "welcome_page",
]
