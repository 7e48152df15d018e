"""A declared model as a real process."""

import json
import signal

import httpx
import pytest

SECONDS = 90.0
OTHER = """
from iris import Iris, SETOSA
from model_service import GoldenRow, main

class Other(Iris):
    {changes}

main(Other)
"""


def test_the_example_serves_until_it_is_told_to_stop(program_of_example):
    """`python iris.py` answers by JSON and V2, has page, docs and metrics, drains, exits with 0."""
    with (
        program_of_example.serves() as process,
        httpx.Client(base_url=process.url, timeout=30) as client,
    ):
        description = client.get("/openapi.json").json()
        content = description["paths"]["/api/v1/predict"]["post"]["requestBody"]["content"]
        example = content["application/json"]["example"]
        answer = client.post("/api/v1/predict/", json=example)
        pages = [client.get(path).status_code for path in ("/", "/docs", "/metrics", "/livez")]
        states = client.get("/readyz").json()["checks"]
        process.popen.send_signal(signal.SIGTERM)
        code = process.popen.wait(SECONDS)

    assert answer.json()["labels"] == ["setosa"]
    assert pages == [200] * 4
    assert "announcement iris" in states
    assert code == 0
    order = ["listening", "stopping", "withdrawn", "stopped"]
    assert [one["event"] for one in process.events if one["event"] in order] == order


@pytest.mark.parametrize(
    ("changes", "event", "words"),
    [
        (
            'golden = (GoldenRow(SETOSA, {"labels": "virginica"}),)',
            "self_check_failed",
            "output 'labels' of golden row 0 is 'setosa', not 'virginica'",
        ),
        (
            "def predict(self, rows, config): return {}",
            "self_check_failed",
            "'predictions' is miss",
        ),
        ("def __init__(self): open('no-such-file')", "unusable_model", "no-such-file"),
    ],
    ids=["golden row", "output", "load"],
)
def test_a_model_that_is_not_right_is_never_announced(program_of_example, changes, event, words):
    """A wrong golden row, a missing output, a failing load: exit code 4, and a line that says why.

    Nothing was announced by then, for Nacos had not even been asked.
    """
    done = program_of_example.ends(OTHER.format(changes=changes))

    assert done.returncode == 4, done.stderr
    (line,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (line["event"], line["level"]) == (event, "critical")
    assert words in line["reason"]


def test_a_bad_declaration_ends_the_start(program_of_example):
    """A name that is no host name: one line that says so, before anything else happens."""
    done = program_of_example.ends(OTHER.format(changes='name = "No Host"'))

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("bad declaration: Other.name is 'No Host'")


def test_a_bad_environment_ends_the_start(program_of_example):
    """Bad variables, Nacos's too, are named in one line: exit code 2."""
    bad = {"DRAIN_SECONDS": "-1", "NACOS_SERVER_ADDR": "http://nacos"}
    done = program_of_example.ends(OTHER.format(changes="pass"), **bad)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(name in line for name in bad)
