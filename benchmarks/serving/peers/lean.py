"""FastAPI without a DataFrame: typed rows, a dict to places, numpy, the same SVC, a thread."""

import os
from typing import Literal

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

CLASSES = ("unacc", "acc", "good", "vgood")
pipeline = joblib.load(os.environ["MODEL"])
svc = pipeline["estimator"]
VALUES = [column.tolist() for column in pipeline["encoder"].categories_]
NAMES = pipeline.feature_names_in_.tolist()
STARTS = np.cumsum([0] + [len(values) for values in VALUES[:-1]])
PLACES = [
    {value: int(start) + code for code, value in enumerate(values)}
    for values, start in zip(VALUES, STARTS, strict=True)
]
WIDTH = sum(map(len, VALUES))
app = FastAPI()


class Car(BaseModel):
    """One row."""

    buying: Literal["vhigh", "high", "med", "low"]
    maint: Literal["vhigh", "high", "med", "low"]
    doors: Literal["2", "3", "4", "5more"]
    persons: Literal["2", "4", "more"]
    lug_boot: Literal["small", "med", "big"]
    safety: Literal["low", "med", "high"]


class Cars(BaseModel):
    """Many rows."""

    inputs: list[Car]


class Answer(BaseModel):
    """The answer to a request."""

    predictions: list[int]
    labels: list[str]
    version: str
    errors: None


@app.post("/api/v1/predict")
def predict(cars: Cars) -> Answer:
    """Classify in the thread pool."""
    hot = np.zeros((len(cars.inputs), WIDTH))
    for line, car in zip(hot, cars.inputs, strict=True):
        line[[place[getattr(car, name)] for name, place in zip(NAMES, PLACES, strict=True)]] = 1
    numbers = svc.predict(hot).tolist()
    labels = [CLASSES[number] for number in numbers]
    return Answer(predictions=numbers, labels=labels, version="1.0.0", errors=None)
