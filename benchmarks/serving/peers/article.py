"""The source article's design: FastAPI, pydantic rows, a DataFrame, the pipeline."""

import logging
import os

import joblib
import pandas as pd
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel

CLASSES = ("unacc", "acc", "good", "vgood")
pipeline = joblib.load(os.environ["MODEL"])
app = FastAPI()
log = logging.getLogger(__name__)


class Car(BaseModel):
    """One row."""

    buying: str | None
    maint: str | None
    doors: str | None
    persons: str | None
    lug_boot: str | None
    safety: str | None


class Cars(BaseModel):
    """Many rows."""

    inputs: list[Car]


class Answer(BaseModel):
    """The answer to a request."""

    predictions: list[int] | None
    labels: list[str] | None
    version: str
    errors: list[str] | None


@app.post("/api/v1/predict")
async def predict(cars: Cars) -> Answer:
    """Classify in the handler, as the article does."""
    rows = pd.DataFrame(jsonable_encoder(cars.inputs))
    log.info("inputs: %s", cars.inputs)
    numbers = pipeline.predict(rows).tolist()
    labels = [CLASSES[number] for number in numbers]
    return Answer(predictions=numbers, labels=labels, version="1.0.0", errors=None)
