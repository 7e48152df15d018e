"""True classes that are told later give live accuracy; what cannot be counted is refused."""

import pytest
from classifier.engine import Engine
from classifier.schemas import EXAMPLE
from classifier.settings import ServingConfig
from hypothesis import given, strategies as st
from model_service.feedback import MAX_KEPT_ROWS, Feedback
from service_kit import Problem, logs

pytestmark = pytest.mark.anyio

PREDICT, FEEDBACK = "/api/v1/predict", "/api/v1/feedback"
CLASSES = ("no", "yes")


def counts(feedback: Feedback) -> dict[tuple[str, str], float]:
    """Return the counted rows that are not none, by true class and result."""
    (family,) = feedback.collect()
    return {
        (each.labels["label"], each.labels["result"]): each.value
        for each in family.samples
        if each.value
    }


def keep(feedback: Feedback, request_id: str, answers: list[int]) -> None:
    """Keep the answers to a request of this id."""
    token = logs.request_id.set(request_id)
    feedback.keep(answers)
    logs.request_id.reset(token)


async def test_the_true_classes_are_counted_once(client, live, engine: Engine) -> None:
    """Of three rows two are told, one of which was answered right; told again they are unknown."""
    live.value = ServingConfig(feedback_rows=10)
    answer = (await client.post(PREDICT, json={"inputs": [EXAMPLE] * 3})).json()
    told = {"request_id": answer["request_id"], "labels": ["acc", None, "good"]}
    first = await client.post(FEEDBACK, json=told)
    again = await client.post(FEEDBACK, json=told)

    assert (first.status_code, first.json()) == (200, {"rows": 2, "right": 1})
    assert counts(engine.feedback) == {("acc", "right"): 1, ("good", "wrong"): 1}
    assert again.status_code == 404
    assert again.json()["type"].endswith(":unknown-request")


async def test_the_accuracy_is_a_metric(client, live) -> None:
    """Every class is counted from zero on, so that the first row told is an increase."""
    live.value = ServingConfig(feedback_rows=10)
    text = (await client.get("/metrics")).text
    series = 'model_feedback_total{label="unacc",model_version="1.0.0",result="wrong"} 0.0'

    assert series in text


async def test_nothing_is_kept_unless_asked_for(client, live) -> None:
    """Without `feedback_rows` no answer is kept; taken back, those that were kept are forgotten."""
    first = (await client.post(PREDICT, json={"inputs": [EXAMPLE]})).json()["request_id"]
    live.value = ServingConfig(feedback_rows=10)
    second = (await client.post(PREDICT, json={"inputs": [EXAMPLE]})).json()["request_id"]
    live.value = ServingConfig()
    await client.post(PREDICT, json={"inputs": [EXAMPLE]})

    for each in (first, second):
        answer = await client.post(FEEDBACK, json={"request_id": each, "labels": ["acc"]})
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "names"),
    [
        ({"labels": ["acc"]}, 422, "2 rows"),
        ({"labels": []}, 422, "labels"),
        ({"labels": ["fine", "acc"]}, 422, "labels.0"),
        ({"labels": [1, 2]}, 422, "labels.0"),
        ({"labels": "acc"}, 422, "labels"),
        ({"labels": [None] * 10_001}, 422, "labels"),
        ({"request_id": "a b"}, 422, "request_id"),
        ({"request_id": None}, 422, "request_id"),
        ({"class": "acc"}, 422, "class"),
    ],
)
async def test_what_cannot_be_counted_is_refused(client, live, change, status, names) -> None:
    """A problem names the field, nothing is counted, and the answer can still be told."""
    live.value = ServingConfig(feedback_rows=10)
    answer = (await client.post(PREDICT, json={"inputs": [EXAMPLE] * 2})).json()
    good = {"request_id": answer["request_id"], "labels": ["acc", "acc"]}
    refused = await client.post(FEEDBACK, json=good | change)

    assert refused.status_code == status
    assert names in refused.json()["detail"]
    assert (await client.post(FEEDBACK, json=good)).json() == {"rows": 2, "right": 2}


@pytest.mark.parametrize(("body", "status"), [("[", 400), ("[1]", 422), ("{" * 3000, 413)])
async def test_a_body_of_another_kind_is_refused(client, body: str, status: int) -> None:
    """Broken JSON, no object, and far too many parts get a problem each."""
    headers = {"content-type": "application/json"}
    answer = await client.post(FEEDBACK, content=body, headers=headers)

    assert answer.status_code == status
    assert (
        await client.post(FEEDBACK, content="{}", headers={"content-type": "text/plain"})
    ).status_code == 415


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), max_size=12), st.integers(0, 12)
)
def test_memory_is_bounded_and_the_newest_are_kept(requests: list[list[int]], most: int) -> None:
    """However requests come, what can be told are the last of them that fit into the rows."""
    feedback = Feedback(CLASSES, "1", lambda: most)
    for number, answers in enumerate(requests):
        keep(feedback, str(number), answers)
    told = []
    for number, answers in reversed(list(enumerate(requests))):
        try:
            told.append(feedback.tell(str(number), [CLASSES[each] for each in answers])[0])
        except Problem:
            break

    assert sum(told) <= most
    sizes = [len(answers) for answers in reversed(requests)]
    assert told == sizes[: len(told)]
    assert len(told) == len(sizes) or sum(sizes[: len(told) + 1]) > most


def test_an_id_that_comes_twice_means_the_last_answer() -> None:
    """A caller that uses an id again tells about the answer it got last."""
    feedback = Feedback(CLASSES, "1", lambda: MAX_KEPT_ROWS)
    keep(feedback, "same", [0, 0])
    keep(feedback, "same", [1])

    assert feedback.tell("same", ["yes"]) == (1, 1)
