"""What callers of /api/v1 get."""

import json
import logging

import pytest
from classifier.app import audit_sink
from classifier.schemas import EXAMPLE
from classifier.settings import Audit, ClassifierSettings, ServingConfig
from prometheus_client import REGISTRY
from pydantic import ValidationError

pytestmark = pytest.mark.anyio
URL = "/api/v1/predict"


async def test_example_is_acceptable(client):
    """The published example is class 1, `acc`; the answer names model version, sha and request."""
    answer = await client.post(URL, json={"inputs": [EXAMPLE]}, headers={"X-Request-Id": "r-1"})

    assert answer.status_code == 200
    document = answer.json()
    assert len(document.pop("model_sha256")) == 64
    assert document == {
        "predictions": [1],
        "labels": ["acc"],
        "version": "1.0.0",
        "errors": None,
        "request_id": "r-1",
    }
    assert answer.headers["X-Request-Id"] == "r-1"


async def test_probabilities_on_request(client):
    """`?probabilities=true` adds one probability a class, the largest at the answer."""
    answer = await client.post(URL, params={"probabilities": "true"}, json={"inputs": [EXAMPLE]})

    (shares,) = answer.json()["probabilities"]
    assert shares.index(max(shares)) == 1
    assert sum(shares) == pytest.approx(1, abs=1e-5)


async def test_numbers_are_taken_for_doors_and_persons(client):
    """Doors and persons may be numbers, or numerals; five and more mean the open-ended value.

    So they may by V2, whose texts have nothing but numerals.
    """
    rows = [
        EXAMPLE | {"doors": doors, "persons": persons}
        for doors, persons in [(4, 5), (4.0, 17), ("4", "more"), ("7", "9")]
    ]
    answer = await client.post(URL, json={"inputs": rows})
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [rows[-1][name]]}
        for name in EXAMPLE
    ]
    v2 = await client.post("/v2/models/car-evaluation/infer", json={"inputs": inputs})

    assert answer.json()["predictions"] == [1, 1, 1, 1]
    assert v2.json()["outputs"][0]["data"] == [1]


async def test_rows_are_counted(client, live):
    """No rows are 422, more than the live limit 413; the limit itself is answered."""
    live.value = ServingConfig(max_rows=3)

    async def status(rows: int) -> int:
        return (await client.post(URL, json={"inputs": [EXAMPLE] * rows})).status_code

    assert [await status(rows) for rows in (0, 1, 3, 4)] == [422, 200, 200, 413]


async def test_ten_thousand_rows_are_answered(client):
    """The largest batch is answered in order."""
    rows = [EXAMPLE, EXAMPLE | {"persons": "2"}] * 5_000
    answer = await client.post(URL, json={"inputs": rows})

    assert answer.json()["labels"] == ["acc", "unacc"] * 5_000


async def test_engine_changes_while_running(client, live):
    """Both engines give the same answer to every input; which one answers is a live setting."""
    rows = [EXAMPLE | {"buying": b, "safety": s} for b in ("low", "vhigh") for s in ("med", "high")]
    body = {"inputs": rows}
    query = {"probabilities": "true"}
    ids = {"X-Request-Id": "same"}
    table = await client.post(URL, json=body, params=query, headers=ids)
    live.value = ServingConfig(engine="estimator")

    estimator = await client.post(URL, json=body, params=query, headers=ids)

    assert estimator.content == table.content


async def test_audit_log_is_sampled_and_switchable(client, live, caplog):
    """Inputs are logged as events with the request's id, at the live rate, or not at all."""
    with caplog.at_level(logging.INFO, "classifier.audit"):
        await client.post(URL, json={"inputs": [EXAMPLE]})
        assert not caplog.records

        live.value = ServingConfig(audit=Audit(enabled=True, sample=0.5))
        for _ in range(10):
            await client.post(URL, json={"inputs": [EXAMPLE]})

    assert len(caplog.records) == 5
    event = caplog.records[0].__dict__
    assert event["inputs"] == [EXAMPLE]
    assert event["predictions"] == [1]
    assert event["model_version"] == "1.0.0"


async def test_metrics_tell_where_time_goes(client, live):
    """Each answer is counted with the model's version: its stages, its rows, its latency, its wait.

    By every way: the short one, the long one, the estimator's, and V2.
    """
    queued = REGISTRY.get_sample_value("model_queue_seconds_count") or 0
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
        for name, value in EXAMPLE.items()
    ]
    await client.post(URL, json={"inputs": [EXAMPLE]})
    await client.post(URL, json={"inputs": [EXAMPLE]}, params={"probabilities": "1"})
    await client.post("/v2/models/car-evaluation/infer", json={"inputs": tensors})
    live.value = ServingConfig(engine="estimator")
    await client.post(URL, json={"inputs": [EXAMPLE]})
    await client.post(URL, json={"inputs": []})

    found = (await client.get("/metrics")).text

    for stage in ("decode", "compute", "encode"):
        labels = f'{{model_version="1.0.0",stage="{stage}"}}'
        assert f"model_stage_seconds_count{labels} 4.0" in found
    assert 'model_input_values_total{feature="safety",value="high"} 4.0' in found
    assert 'model_predictions_total{label="acc",model_version="1.0.0"} 4.0' in found
    assert 'method="POST",model_version="1.0.0",route="/api/v1/predict",status="200"' in found
    assert REGISTRY.get_sample_value("model_queue_seconds_count") == queued + 1


async def test_health_names_versions(client):
    """/api/v1/health has name, API version and model version."""
    answer = await client.get("/api/v1/health")

    assert answer.json().keys() == {"name", "api_version", "model_version"}
    assert answer.json()["model_version"] == "1.0.0"


async def test_explanation_is_exact(client):
    """The smallest change of an explanation gives the class it promises."""
    answer = await client.post("/api/v1/explain", json={"inputs": [EXAMPLE]})

    (found,) = answer.json()["explanations"]
    assert found["label"] == "acc"
    assert {name: one["levels"] for name, one in found["concepts"].items()} == {
        "price": 4, "comfort": 3, "tech": 4,
    }  # fmt: skip
    best = found["improvements"][0]
    changed = EXAMPLE | {name: change["then"] for name, change in best["changes"].items()}
    again = await client.post(URL, json={"inputs": [changed]})
    assert again.json()["labels"] == [best["label"]]
    assert again.json()["predictions"][0] > 1


async def test_every_answer_names_the_model(client, model):
    """Predictions, explanations and V2's answers carry the digest of the model they are of."""
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
        for name, value in EXAMPLE.items()
    ]
    rows = {"inputs": [EXAMPLE]}
    predicted = (await client.post(URL, json=rows)).json()
    explained = (await client.post("/api/v1/explain", json=rows)).json()
    inferred = (
        await client.post("/v2/models/car-evaluation/infer", json={"inputs": tensors})
    ).json()

    assert predicted["model_sha256"] == explained["model_sha256"] == model.sha256
    assert inferred["parameters"] == {"model_sha256": model.sha256}


async def test_explanations_are_capped(client):
    """More than a hundred rows to explain are 413, good rows or bad, and told the limit."""
    for row in (EXAMPLE, {}, 0):
        answer = await client.post("/api/v1/explain", json={"inputs": [row] * 101})

        assert answer.status_code == 413
        assert answer.json()["type"].endswith("too-many-rows")
        assert answer.json()["limit_rows"] == 100


async def test_example_of_the_documentation_works(client):
    """What /docs offers under "try it out" is answered."""
    description = (await client.get("/api/v1/openapi.json")).json()
    for path in (URL, "/api/v1/explain"):
        body = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        answer = await client.post(path, json=body["example"])
        assert answer.status_code == 200


async def test_the_audit_goes_to_a_file_instead(client, live, tmp_path, caplog):
    """With AUDIT_FILE the events stand there, a JSON object in each line, and not in the log."""
    live.value = ServingConfig(audit=Audit(enabled=True))
    sink = audit_sink(ClassifierSettings(AUDIT_FILE=tmp_path / "audit.jsonl"))
    with caplog.at_level(logging.INFO, "classifier.audit"):
        answer = await client.post(URL, json={"inputs": [EXAMPLE]})
        sink.close()

    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert event["request_id"] == answer.json()["request_id"]
    assert (event["inputs"], event["predictions"]) == ([EXAMPLE], [1])
    assert not caplog.records
    assert audit_sink(ClassifierSettings()) is None


@pytest.mark.parametrize("address", ["ftp://host/x", "file:///etc/passwd", "host:80"])
def test_the_audit_is_posted_by_http_only(address):
    """Another kind of address is a bad variable, told at the start."""
    with pytest.raises(ValidationError, match="AUDIT_URL"):
        ClassifierSettings(AUDIT_URL=address)
