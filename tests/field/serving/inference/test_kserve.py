"""Reports of KServe's client and protocol, tried here.

kserve/kserve 402: a request is refused and nobody is told why. Its client has the reason only of an
answer that is `application/json`. kserve/kserve 4267: its client speaks V1 unless it is told.
"""

import pytest

LABELS = [1, 1, 1, 1, 2, 0, 0, 0, 0]


@pytest.mark.timeout(400)
def test_402_4267_kserve_as_it_comes(by_client, v2_python):
    """V1 and V2, JSON and binary, ready and refused: the client has answers and reasons."""
    found = by_client(v2_python, "by_kserve.py")

    assert found["v1"] == [1, 0]
    assert found["v1 points"] == LABELS
    (flower,) = found["v1 flowers"]
    assert flower.keys() == {"predictions", "labels", "probabilities"}
    assert flower["labels"] == "setosa"
    assert found["v2"]["predictions"] == [1, 0]
    assert found["v2"]["labels"] == ["acc", "unacc"]
    assert found["v1 ready"] is found["v2 ready"] is True
    assert "row 0" in found["v1 refused"]
    assert "doors" in found["v2 refused"]
    assert "No model 'other' here" in found["v2 unknown"]


def test_v1_tells_its_models(served):
    """The list of models, the one model, and another."""
    assert served.client.get("/car-evaluation/v1/models").json() == {"models": ["car-evaluation"]}
    one = served.client.get("/car-evaluation/v1/models/car-evaluation")
    assert one.json() == {"name": "car-evaluation", "ready": True}
    for other in (
        served.client.get("/car-evaluation/v1/models/other"),
        served.ask("/car-evaluation/v1/models/other:predict", json={"instances": []}),
    ):
        assert other.status_code == 404
        assert other.headers["content-type"] == "application/json"
        assert "car-evaluation" in other.json()["error"]
