"""A process's own limits, as its environment sets them and as its answers tell them."""

from random import Random

import httpx
import orjson

FULL = 10_000
DIMENSIONS = 40


def points() -> bytes:
    """Return a body of as many points as one request may have, and of nearly 4 MiB."""
    random = Random(9)  # noqa: S311 - the same points every time
    rows = [[round(random.gauss(0, 1), 5) for _ in range(DIMENSIONS)] for _ in range(FULL)]
    return orjson.dumps({"points": rows})


def test_the_environment_limits_a_fit(running, tmp_path):
    """A fit past REQUEST_TIMEOUT_SECONDS is 504, which names the limit and the setting."""
    environment = {"REQUEST_TIMEOUT_SECONDS": "0.1", "FIT_WORKERS": "1", "FIT_QUEUE": "0"}
    with running("kmeans", tmp_path / "log", environment) as one:
        answer = httpx.post(one.url + "/api/skl-kmeans", content=points(), timeout=60)

    assert answer.status_code == 504, answer.text
    told = answer.json()
    assert told["limit_seconds"] == 0.1
    assert "0.1 s, the limit that the service's REQUEST_TIMEOUT_SECONDS sets" in told["detail"]
