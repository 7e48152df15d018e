"""The answers of the example, which has no line of its own about HTTP or Nacos."""

from hashlib import md5

import pytest

pytestmark = pytest.mark.anyio
URL = "/api/v1/predict"
V2 = "/v2/models/iris"
VIRGINICA = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}


async def test_rows_are_answered_in_order(served, iris):
    """Each output has an element for each row; versions and the request's id are beside them."""
    rows = [iris.SETOSA, VIRGINICA]
    answer = await served.http.post(URL, json={"inputs": rows}, headers={"X-Request-Id": "r-1"})

    document = answer.json()
    shares = document.pop("probabilities")
    assert document == {
        "predictions": [0, 2],
        "labels": ["setosa", "virginica"],
        "version": "1.0.0",
        "config_version": "default",
        "request_id": "r-1",
    }
    assert [[len(row), round(sum(row), 9)] for row in shares] == [[3, 1]] * 2


async def test_errors_name_row_and_field(served, iris):
    """A bad row is 422; each error has row, field, value, what is allowed and the reason."""
    rows = [
        iris.SETOSA,
        iris.SETOSA | {"sepal_width": "3"},
        iris.SETOSA | {"petal_width": 31},
        iris.SETOSA | {"colour": "blue"},
        {name: 1 for name in iris.SETOSA if name != "sepal_length"},
        7,
    ]
    answer = await served.http.post(URL, json={"inputs": rows})

    limits = {"type": "number", "minimum": 0, "maximum": 30}
    names = list(iris.SETOSA)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "row 1, sepal_width: Input should be a valid number"
    assert [tuple(error.values()) for error in answer.json()["errors"]] == [
        (1, "sepal_width", "3", limits, "Input should be a valid number"),
        (2, "petal_width", 31, limits, "Input should be less than or equal to 30"),
        (3, "colour", "blue", names, "unknown field"),
        (4, "sepal_length", None, limits, "missing field"),
        (5, None, 7, names, "not an object"),
    ]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b'{"inputs":[]}', {}, 422),
        (b'{"inputs":7}', {}, 422),
        (b"[]", {}, 422),
        (b'{"inputs":[{"sepal_length":1e999}]}', {}, 400),
        (b"{}", {"Content-Type": "text/csv"}, 415),
        (b" " * 5_000_000, {}, 413),
        (b"{}", {"X-Request-Timeout-Ms": "0"}, 504),
    ],
)
async def test_what_is_no_request_is_refused(served, content, headers, status):
    """Bodies that are no JSON, no rows, too large or too late have a problem each."""
    kind = {"Content-Type": "application/json"}
    answer = await served.http.post(URL, content=content, headers=kind | headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_v2_is_derived_from_rows_and_outputs(served):
    """V2's metadata has a tensor for each field with its bounds, and the declared outputs."""
    metadata = (await served.http.get(V2)).json()

    assert metadata["versions"] == ["1.0.0"]
    assert metadata["inputs"][0] == {
        "name": "sepal_length",
        "datatype": "FP64",
        "shape": [-1],
        "parameters": {"minimum": 0, "maximum": 30},
    }
    assert [(out["name"], out["datatype"], out["shape"]) for out in metadata["outputs"]] == [
        ("predictions", "INT64", [-1]),
        ("labels", "BYTES", [-1]),
        ("probabilities", "FP64", [-1, 3]),
    ]


@pytest.mark.parametrize("count", [1, 20, 21, 200])
async def test_v2_answers_as_json_does(served, iris, count):
    """Few rows, or many, get by V2 what they get by JSON, and only the outputs asked for."""
    rows = [iris.SETOSA, VIRGINICA] * count
    plain = (await served.http.post(URL, json={"inputs": rows})).json()
    tensors = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": [len(rows)],
            "data": [row[name] for row in rows],
        }
        for name in iris.SETOSA
    ]
    asked = {"inputs": tensors, "outputs": [{"name": "probabilities"}, {"name": "labels"}]}
    answer = (await served.http.post(f"{V2}/infer", json=asked)).json()

    labels, shares = answer["outputs"]
    assert labels["data"] == plain["labels"]
    assert shares["shape"] == [len(rows), 3]
    assert shares["data"] == [each for row in plain["probabilities"] for each in row]
    assert answer["parameters"] == {"config_version": "default"}


async def test_v2_names_row_and_field_too(served, iris):
    """Tensors of different sizes, or without rows, or with a value out of bounds, are 422."""

    async def refused(**columns: list[float]) -> tuple[int, str]:
        tensors = [
            {"name": name, "datatype": "FP64", "shape": [len(data)], "data": data}
            for name, data in columns.items()
        ]
        answer = await served.http.post(f"{V2}/infer", json={"inputs": tensors})
        return answer.status_code, answer.json()["detail"]

    columns = {name: [1.0, 2.0] for name in iris.SETOSA}
    assert await refused(**columns | {"petal_width": [1.0, 99.0]}) == (
        422,
        "row 1, petal_width: Input should be less than or equal to 30",
    )
    assert await refused(**columns | {"petal_width": [1.0]}) == (
        422,
        "the inputs have different sizes: [1, 2]",
    )
    assert await refused(**{name: [] for name in columns}) == (422, "there are no rows")


async def test_examples_of_the_documentation_work(served):
    """The examples under "try it out" are answered: by JSON and by V2, for the named model."""
    description = (await served.http.get("/openapi.json")).json()
    predict = description["paths"][URL]["post"]
    infer = description["paths"]["/v2/models/{model_name}/infer"]["post"]
    named = infer["parameters"][0]["examples"]["served"]["value"]

    content = predict["requestBody"]["content"]["application/json"]
    plain = await served.http.post(URL, json=content["example"])
    content = infer["requestBody"]["content"]["application/json"]
    inferred = await served.http.post(f"/v2/models/{named}/infer", json=content["example"])

    assert predict["description"] == "Tells the species of an iris from four measurements in cm."
    assert plain.json()["labels"] == ["setosa"]
    assert inferred.json()["outputs"][1]["data"] == ["setosa"]


async def test_the_page_has_an_input_for_each_field(served, iris):
    """The welcome page tells what the model does; its form has the example, and the bounds."""
    page = (await served.http.get("/")).text

    assert "Tells the species of an iris" in page
    for name, value in iris.SETOSA.items():
        assert f'name="{name}" data-type="json"' in page
        assert f'min="0" max="30" value="{value}"' in page
    assert "{{" not in page


async def test_a_published_document_changes_answers_and_metadata(served):
    """The threshold published in Nacos is in the next answer; the entry there tells the version.

    A document that is no configuration is kept out, and /readyz says so.
    """

    async def registered(config: str) -> bool:
        entries = served.nacos.instances("iris")
        return [one.metadata["config"] for one in entries] == [config]

    async def asked() -> tuple[list[str], str]:
        answer = await served.http.post(URL, json={"inputs": [unsure]})
        return answer.json()["labels"], answer.json()["config_version"]

    unsure = {"sepal_length": 6.0, "sepal_width": 2.7, "petal_length": 5.1, "petal_width": 1.6}
    await served.announcement.announce()
    await served.until(lambda: registered("default"))
    (entry,) = served.nacos.instances("iris")
    assert entry.metadata["version"] == entry.metadata["model_version"] == "1.0.0"
    assert entry.metadata["gateway.idempotent"] == f"POST {URL}"
    labels, _ = await asked()
    assert labels != ["unknown"]

    document = "threshold: 1.0\n"
    version = md5(document.encode(), usedforsecurity=False).hexdigest()
    served.nacos.publish("iris", document)
    await served.until(lambda: registered(version))
    assert await asked() == (["unknown"], version)

    async def rejected() -> str:
        return str((await served.checks())["config iris"]["rejected"] or "")

    served.nacos.publish("iris", "threshold: 2.0\n")
    await served.until(rejected)
    assert "threshold" in await rejected()
    assert await asked() == (["unknown"], version)


async def test_the_number_of_rows_is_a_live_limit(served, iris):
    """More rows than the document allows are 413, which tells the limit, by JSON and by V2."""
    served.nacos.publish("iris", "max_rows: 2\n")
    body = {"inputs": [iris.SETOSA] * 3}
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [3], "data": [1, 1, 1]} for name in iris.SETOSA
    ]

    async def is_refused() -> bool:
        return (await served.http.post(URL, json=body)).status_code == 413

    await served.until(is_refused)
    answer = await served.http.post(URL, json=body)
    inferred = await served.http.post(f"{V2}/infer", json={"inputs": tensors})

    assert answer.json()["limit_rows"] == inferred.json()["limit_rows"] == 2
    assert inferred.status_code == 413


async def test_metrics_tell_stages_and_drift(served, iris):
    """Each answer is counted with the time of its stages, each row beside the reference."""
    await served.http.post(URL, json={"inputs": [iris.SETOSA] * 600})

    found = (await served.http.get("/metrics")).text

    assert 'model_stage_seconds_count{model_version="1.0.0",stage="compute"} 1.0' in found
    assert 'model_predictions_total{label="setosa",model_version="1.0.0"} 600.0' in found
    indexes = {
        line.split('"')[1]: float(line.split()[1])
        for line in found.splitlines()
        if line.startswith("model_psi{")
    }
    assert indexes.keys() == {*iris.SETOSA, "labels"}
    assert min(indexes.values()) > 0.25
