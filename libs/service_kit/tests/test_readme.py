"""The service in the README works as it stands."""

import re
from pathlib import Path

import httpx

README = Path(__file__).parents[1] / "README.md"
INPUT = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.5, 4]}


def test_the_service_of_the_readme_serves_until_it_is_told_to_stop(start, tmp_path):
    """The service answers its route and V2 clients, has pages and metrics, and exits with 0."""
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = tmp_path / "doubler.py"
    program.write_text(source)
    process = start(program=program, announced=False)

    with httpx.Client(base_url=process.url, timeout=30) as client:

        def is_ready() -> bool:
            try:
                return client.get("/readyz").is_success
            except httpx.TransportError:
                return False

        process.wait_for(is_ready)
        doubled = client.post("/double", params={"x": "1.5"})
        inferred = client.post("/v2/models/doubler/infer", json={"inputs": [INPUT]})
        pages = [client.get(path).status_code for path in ("/", "/docs", "/metrics")]
        process.terminate()

    assert doubled.json() == 3
    assert inferred.json()["outputs"] == [
        {"name": "y", "datatype": "FP64", "shape": [2], "data": [3, 8]}
    ]
    assert pages == [200, 200, 200]
    assert process.end() == 0
