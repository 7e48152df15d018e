"""Reports of tables that a server wants in another shape than a tool writes, tried here.

mlflow/mlflow 3894 and 1671: rows of TensorFlow Serving, of `dataframe_split` and of each orient of
pandas are different bodies, and a server that takes one of them says of the others that they are
malformed.
"""

import json

import pandas as pd
import pytest

CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
CARS = pd.DataFrame([CAR, CAR | {"safety": "low"}])
FLOWERS = pd.DataFrame(
    [
        {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
        {"sepal_length": 6, "sepal_width": 2.9, "petal_length": 4.5, "petal_width": 1.5},
    ]
)
POINTS = pd.DataFrame(
    [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]],
    columns=["x", "y"],
)
LABELS = [1, 1, 1, 1, 2, 0, 0, 0, 0]
SERVICES = {
    "car-evaluation": (CARS, "/api/v1/predict", "predictions", [1, 0]),
    "iris": (FLOWERS, "/api/v1/predict", "labels", ["setosa", "versicolor"]),
    "skl-kmeans": (POINTS, "/api/skl-kmeans", "results", LABELS),
}
SHAPES = {
    **{
        orient: lambda frame, orient=orient: json.loads(frame.to_json(orient=orient))
        for orient in ("split", "records", "index", "columns", "table")
    },
    "list": lambda frame: frame.to_dict("list"),
    "dataframe_split": lambda frame: {"dataframe_split": json.loads(frame.to_json(orient="split"))},
    "dataframe_records": lambda frame: {"dataframe_records": frame.to_dict("records")},
    "instances": lambda frame: {"instances": frame.to_dict("records")},
    "inputs": lambda frame: {"inputs": frame.to_dict("list")},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SERVICES)
def test_3894_1671_a_table_in_any_shape(served, name, shape):
    """Each service's own route takes a table in each shape whose meaning is certain."""
    frame, path, output, expected = SERVICES[name]
    answer = served.ask(f"/{name}{path}", json=SHAPES[shape](frame))

    assert answer.status_code == 200, answer.text
    assert answer.json()[output] == expected


@pytest.mark.parametrize("name", SERVICES)
def test_mlflows_scoring_protocol(served, name):
    """`/invocations` answers predictions, `/ping` says that the model is ready."""
    frame, _, output, expected = SERVICES[name]
    answer = served.ask(f"/{name}/invocations", json={"dataframe_split": frame.to_dict("split")})

    (predictions,) = answer.json().values()
    if name == "iris":
        predictions = [prediction[output] for prediction in predictions]
    assert predictions == expected
    assert served.client.get(f"/{name}/ping").status_code == 200


def test_one_row_as_an_object(served):
    """A row alone is a row."""
    answer = served.ask("/car-evaluation/api/v1/predict", json=CAR)

    assert answer.json()["predictions"] == [1]


@pytest.mark.parametrize(
    "body",
    [
        CARS.to_numpy().tolist(),
        {"instances": CARS.to_numpy().tolist()},
        {"data": CARS.to_numpy().tolist()},
        {"data": CARS.to_dict("records")},
        {"rows": CARS.to_dict("records")},
        {"input_data": CARS.to_dict("split")},
    ],
)
def test_rows_in_doubt_are_shown_in_our_shape(served, body):
    """Where names are missing, or the member is not known, the refusal has the rows to send."""
    path = "/car-evaluation/api/v1/predict"
    refused = served.ask(path, json=body)

    assert refused.status_code == 422
    suggestion = refused.json()["suggestion"]
    assert suggestion == {"inputs": CARS.to_dict("records")}
    assert served.ask(path, json=suggestion).json()["predictions"] == [1, 0]


def test_points_in_doubt_are_shown_in_our_shape(served):
    """So it is with points."""
    refused = served.ask("/skl-kmeans/api/skl-kmeans", json={"data": POINTS.to_numpy().tolist()})

    assert refused.status_code == 422
    assert refused.json()["suggestion"] == {"points": [[1, 2], [2, 3], [3, 5]]}


@pytest.mark.parametrize(
    "points", [{"0": {"0": 1, "1": 2}, "1": {"0": 3, "1": 4}}, [["1", 2]], [[True, 2]], [1, 2]]
)
def test_what_can_be_read_two_ways_is_not_taken(served, points):
    """Numbers for columns and rows alike, and what is no number, are refused."""
    assert served.ask("/skl-kmeans/api/skl-kmeans", json=points).status_code == 422
