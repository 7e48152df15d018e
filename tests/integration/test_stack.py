"""The stack does what a newcomer is promised: two models through one gateway, live from Nacos."""

import csv
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from car_evaluation_model import make_prediction
from stack import ROOT
from stack.local import LocalStack, StackError
from stack.plan import Part, Plan
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]

CLUSTER = "/skl-kmeans/api/skl-kmeans"
PREDICT = "/car-evaluation/api/v1/predict"
POINTS = [[1, 2], [2, 3], [3, 5], [4, 6], [8, 8], [10, 11], [12, 12], [12, 15], [10, 12]]
CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
DATA = ROOT / "libs" / "model_pkg" / "src" / "car_evaluation_model" / "data" / "car.csv"


@pytest.fixture(scope="module")
def gateway(local_stack: LocalStack) -> Iterator[httpx.Client]:
    """A caller of the gateway."""
    url = f"http://127.0.0.1:{local_stack.plan.gateway.port}"
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


def kmeans_parts(stack: LocalStack) -> list[Part]:
    return [part for part in stack.plan.models if part.package == "kmeans"]


def get(part: Part, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{part.admin_port}{path}", timeout=10, trust_env=False)


def clusters_of(gateway: httpx.Client) -> Any:
    return gateway.post(CLUSTER, json={"points": POINTS}).json()["clusters"]


def wait_for_clusters(stack: LocalStack, count: int) -> None:
    """Return when both instances cluster into `count`."""
    urls = [f"http://127.0.0.1:{part.port}/api/skl-kmeans" for part in kmeans_parts(stack)]
    wait_until(
        lambda: all(
            httpx.post(url, json={"points": POINTS}, trust_env=False).json()["clusters"] == count
            for url in urls
        ),
        seconds=20,
        what=f"both instances make {count} clusters",
    )


def test_the_documented_points_make_the_documented_clusters(gateway: httpx.Client) -> None:
    """Nine points, three clusters, the published labels."""
    answer = gateway.post(CLUSTER, json={"points": POINTS})

    assert answer.status_code == 200
    assert answer.json()["results"] == [1, 1, 1, 1, 2, 0, 0, 0, 0]
    assert answer.json()["clusters"] == 3


def test_a_published_document_changes_the_answer_without_a_restart(
    local_stack: LocalStack, gateway: httpx.Client
) -> None:
    """`clusters: 4` in Nacos gives four clusters from the same processes; deleted, three."""
    before = local_stack.processes()
    local_stack.nacos.access.publish("skl-kmeans", "clusters: 4")
    wait_for_clusters(local_stack, 4)
    answer = gateway.post(CLUSTER, json={"points": POINTS})
    local_stack.nacos.access.withdraw("skl-kmeans")
    wait_for_clusters(local_stack, 3)

    assert answer.json()["results"] == [0, 0, 2, 2, 3, 1, 1, 1, 1]
    assert local_stack.processes() == before


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("clusters: 0", "clusters"),
        ("clusters: abc", "clusters"),
        ("{clusters: [", "yaml"),
        ("clustres: 4", "clustres"),
    ],
)
def test_a_bad_document_is_kept_out(
    local_stack: LocalStack, gateway: httpx.Client, document: str, reason: str
) -> None:
    """The last good value stays; /readyz says why, a metric and the log say that."""
    local_stack.nacos.access.publish("skl-kmeans", "clusters: 4")
    wait_for_clusters(local_stack, 4)
    local_stack.nacos.access.publish("skl-kmeans", document)
    try:
        for part in kmeans_parts(local_stack):

            def rejection(part: Part = part) -> str:
                return str(get(part, "/readyz").json()["checks"]["config skl-kmeans"]["rejected"])

            wait_until(
                lambda: reason in rejection(),
                seconds=20,
                what=f"{part.name} says why it refuses {document!r}",
            )
            assert 'config_rejected{part="config skl-kmeans"} 1.0' in get(part, "/metrics").text
            assert reason in local_stack.log_of(part.name).read_text()
        assert clusters_of(gateway) == 4
    finally:
        local_stack.nacos.access.withdraw("skl-kmeans")
        wait_for_clusters(local_stack, 3)


def test_the_documented_car_is_acceptable(gateway: httpx.Client) -> None:
    """The example car is class 1, `acc`."""
    answer = gateway.post(PREDICT, json={"inputs": [CAR]}).json()

    assert (answer["predictions"], answer["labels"], answer["errors"]) == ([1], ["acc"], None)


def test_every_known_car_gets_the_packaged_models_answer(gateway: httpx.Client) -> None:
    """All 1,728 rows of the data set through the gateway agree with the package itself."""
    with DATA.open() as file:
        rows = [{field: row[field] for field in CAR} for row in csv.DictReader(file)]
    answered: list[int] = []
    for start in range(0, len(rows), 108):
        answer = gateway.post(PREDICT, json={"inputs": rows[start : start + 108]})
        assert answer.status_code == 200, answer.text
        answered += answer.json()["predictions"]

    own = make_prediction(rows)
    assert len(answered) == 1728
    assert answered == own["predictions"]
    assert answer.json()["version"] == own["version"]


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        pytest.param(CLUSTER, '{"points":', "JSON", id="broken JSON"),
        pytest.param(CLUSTER, "{}", "points", id="no points"),
        pytest.param(CLUSTER, '{"points":[[1,"a"],[1,2],[3,4]]}', "points", id="a word"),
        pytest.param(CLUSTER, '{"points":[[1,NaN],[1,2],[3,4]]}', "points", id="NaN"),
        pytest.param(CLUSTER, '{"points":[[1,1e999],[1,2],[3,4]]}', "points", id="infinity"),
        pytest.param(CLUSTER, '{"points":[[1,2],[1,2,3],[3,4]]}', "points", id="ragged"),
        pytest.param(CLUSTER, '{"points":[[1,2],[1,2],[1,2],[3,4]]}', "points", id="too few"),
        pytest.param(PREDICT, "[", "JSON", id="broken JSON for a car"),
        pytest.param(PREDICT, '{"inputs":[]}', "inputs", id="no car"),
        pytest.param(PREDICT, '{"inputs":[{"buying":"cheap"}]}', "buying", id="unknown category"),
        pytest.param(PREDICT, '{"inputs":[{"buying":"med"}]}', "safety", id="missing field"),
        pytest.param(PREDICT, '{"inputs":[{"buying":[1]}]}', "buying", id="wrong type"),
        pytest.param(PREDICT, f'{{"inputs":"{"x" * 10_500_000}"}}', "10485760", id="10 MB"),
    ],
)
def test_bad_input_gets_a_problem_that_names_the_field(
    gateway: httpx.Client, path: str, body: str, names: str
) -> None:
    """A bad body is answered 4xx with problem+json, and the service goes on."""
    answer = gateway.post(path, content=body, headers={"content-type": "application/json"})

    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert names in answer.text
    assert "Traceback" not in answer.text
    assert gateway.post(PREDICT, json={"inputs": [CAR]}).status_code == 200
    assert gateway.post(CLUSTER, json={"points": POINTS}).status_code == 200


def test_both_instances_serve(local_stack: LocalStack, gateway: httpx.Client) -> None:
    """Calls reach both instances of a service, and Nacos tells what each of them is.

    An instance that was slow once, as on a busy machine, may wait for its next call for a minute.
    """
    shown = local_stack.nacos.access.instances("skl-kmeans")

    assert {each["port"] for each in shown} == {part.port for part in kmeans_parts(local_stack)}
    assert {each["metadata"]["preserved.register.source"] for each in shown} == {"PYTHON"}

    def both_served() -> bool:
        gateway.post(CLUSTER, json={"points": POINTS}).raise_for_status()
        return all(
            'route="/api/skl-kmeans",status="200"' in get(part, "/metrics").text
            for part in kmeans_parts(local_stack)
        )

    wait_until(both_served, seconds=120, what="both instances have served")


def test_the_gateway_is_compiled(
    local_stack: LocalStack, program: Callable[[str, str], str]
) -> None:
    """Where there is a C compiler the stack runs the compiled form, and the gateway says so."""
    program("gcc", "gcc")
    info = get(local_stack.plan.gateway, "/actuator/info").json()

    assert info["build"]["form"] == "compiled"


def test_up_again_is_harmless(local_stack: LocalStack) -> None:
    """A second `up` leaves every process as it was."""
    before = local_stack.processes()
    local_stack.up()

    assert local_stack.processes() == before


def test_a_taken_port_is_named(local_stack: LocalStack, tmp_path: Any) -> None:
    """Another stack on the same ports is refused by the ports' names; nothing is started."""
    other = LocalStack(Plan(local_stack.plan.offset), tmp_path)
    with pytest.raises(StackError, match=f"port {local_stack.plan.gateway.port} "):
        other.up()

    assert other.processes() == {}
