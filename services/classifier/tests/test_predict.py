"""What callers of /api/v1 get."""

import pytest
from classifier.schemas import EXAMPLE

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
