"""Fits the one pipeline that every peer loads: `python fit.py CAR.csv RECIPE.json OUT`."""

import json
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC

source, recipe, output = map(Path, sys.argv[1:])
given = json.loads(recipe.read_text())
cars = pd.read_csv(source, dtype=str)
encoder = OneHotEncoder(
    categories=[field["values"] for field in given["features"]], sparse_output=False
)
svc = SVC(
    kernel="poly",
    degree=given["degree"],
    gamma=given["gamma"],
    coef0=given["coef0"],
    C=given["C"],
)
target = cars.pop("class").map(given["classes"].index)
pipeline = Pipeline([("encoder", encoder), ("estimator", svc)]).fit(cars, target)
joblib.dump(pipeline, output)
