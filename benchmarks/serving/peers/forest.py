"""The forest that every peer of the iris study loads, and its cost alone.

`forest.py fit OUT` writes it; `forest.py classes` reads rows from standard input and prints their
classes; `forest.py cost ROWS` prints the CPU microseconds of one row's answer and of so many.
"""

import json
import sys
import time

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

FIELDS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SECONDS = 3.0


def fitted() -> RandomForestClassifier:
    """Return the forest, which expects a DataFrame of the fields, as peers give it."""
    data = load_iris()
    frame = pd.DataFrame(data.data, columns=FIELDS)
    return RandomForestClassifier(n_estimators=10, random_state=9).fit(frame, data.target)


def cost(rows: int) -> float:
    """Return the CPU microseconds of the answer to so many rows."""
    data = load_iris()
    forest = RandomForestClassifier(n_estimators=10, random_state=9).fit(data.data, data.target)
    few = np.resize(data.data, (rows, len(FIELDS)))
    runs, start, end = 0, time.process_time(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        forest.predict_proba(few)
        runs += 1
    return (time.process_time() - start) / runs * 1e6


task, *rest = sys.argv[1:]
if task == "fit":
    joblib.dump(fitted(), rest[0])
elif task == "classes":
    asked = pd.DataFrame(json.load(sys.stdin), columns=FIELDS)
    print(json.dumps(fitted().predict(asked).tolist()))
else:
    print(json.dumps({"one_us": cost(1), "many_us": cost(int(rest[0]))}))
