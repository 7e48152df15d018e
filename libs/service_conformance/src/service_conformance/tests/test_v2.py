"""The Open Inference Protocol as two public clients understand it, in an environment of theirs."""

import json
import subprocess
from pathlib import Path

import pytest

CLIENT = Path(__file__).parent / "v2_clients" / "client.py"
V2 = "/v2/models/{model_name}/infer"


@pytest.mark.timeout(400)
def test_public_clients_get_an_answer(v2_python, conforming):
    """Tritonclient and kserve get each output for the documented example, and a clear error."""
    (post,) = (each for each in conforming.posts if each.template == V2)
    arguments = [conforming.url, conforming.declared.name, json.dumps(post.example["inputs"])]
    done = subprocess.run(
        [v2_python, CLIENT, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    for client in ("triton", "kserve"):
        outputs = found[client]["outputs"]
        assert outputs.keys() >= {each["name"] for each in post.example.get("outputs", ())}
        assert found[client]["live"] is found[client]["model_ready"] is True
    assert found["triton"]["binary"] == found["triton"]["outputs"]
    assert found["triton"]["id"] == "t-1"
    assert found["triton"]["other_ready"] is False
    status, message = found["triton"]["refused"]
    assert status == "422"
    assert message
