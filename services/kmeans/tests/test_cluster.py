"""What callers of /api/skl-kmeans get."""

import json
import time
import tracemalloc
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest
from hypothesis import given, strategies as st
from kmeans.app import VERSION
from kmeans.clustering import GOLDEN, Clustering, fit, prepare_thread, self_check
from kmeans.picture import COLOURS, draw
from kmeans.schemas import EXAMPLE, read_points
from kmeans.settings import ClusterConfig
from service_kit import Problem
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

pytestmark = pytest.mark.anyio
URL = "/api/skl-kmeans"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("clusters", [3, 4])
async def test_published_example_is_reproduced(client, live, clusters):
    """The article's points get the article's clusters, for 3 and, changed while running, for 4."""
    live.value = ClusterConfig(clusters=clusters)

    answer = await client.post(URL, json={"points": EXAMPLE}, headers={"X-Request-Id": "r-1"})

    assert answer.json() == {
        "results": GOLDEN[clusters],
        "clusters": clusters,
        "config_version": "v1",
        "request_id": "r-1",
    }


async def test_v2_says_which_configuration_it_followed(client, live):
    """An answer by V2 names the number of clusters and the configuration's version."""
    live.value = ClusterConfig(clusters=4)
    tensor = {"name": "points", "datatype": "FP64", "shape": [9, 2], "data": EXAMPLE}
    answer = await client.post("/v2/models/skl-kmeans/infer", json={"inputs": [tensor]})

    assert answer.json()["outputs"][0]["data"] == GOLDEN[4]
    assert answer.json()["parameters"] == {"clusters": 4, "config_version": "v1"}


def test_self_check_holds_here():
    """This machine's libraries reproduce the published clusters."""
    self_check()


async def test_detail_gives_centres_inertia_and_sizes(client):
    """With detail, centres are the means of their points and inertia the squared distances."""
    answer = (await client.post(URL, params={"detail": "true"}, json={"points": EXAMPLE})).json()

    points, labels = np.array(EXAMPLE, float), np.array(answer["results"])
    means = [points[labels == cluster].mean(axis=0) for cluster in range(3)]
    assert np.allclose(answer["centres"], means)
    assert answer["inertia"] == pytest.approx(((points - np.array(means)[labels]) ** 2).sum())
    assert answer["sizes"] == [4, 4, 1]


async def test_canonical_numbers_on_request(client):
    """With canonical, results, centres, sizes and colours go by the points' order; else not."""
    asked = {"points": EXAMPLE}
    query = {"detail": "true", "canonical": "true"}
    plain = (await client.post(URL, params={"detail": "true"}, json=asked)).json()
    answer = (await client.post(URL, params=query, json=asked)).json()
    headers = {"Accept": "image/svg+xml"}
    drawn = await client.post(URL, params=query, json=asked, headers=headers)
    picture = ET.fromstring(drawn.text)  # noqa: S314 - our own

    assert plain["results"] == GOLDEN[3]
    assert answer["results"] == [0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert answer["sizes"] == [4, 1, 4]
    assert answer["centres"] == [plain["centres"][number] for number in (1, 2, 0)]
    assert answer["inertia"] == plain["inertia"]
    colours = [dot.get("fill") for dot in picture.iter(SVG + "circle")]
    assert colours == [COLOURS[label] for label in answer["results"]]


@given(
    st.integers(1, 8).flatmap(
        lambda clusters: st.tuples(
            st.just(clusters), st.lists(st.integers(0, clusters - 1), min_size=1, max_size=40)
        )
    )
)
def test_canonical_numbers_rename_clusters_only(numbered):
    """Clusters appear as 0, 1, 2, ...; each point keeps its companions and its centre."""
    clusters, labels = numbered
    given_centres = np.random.default_rng(9).normal(size=(clusters, 2))
    before = Clustering(np.array(labels, np.int32), given_centres, 1.5)

    after = before.by_first_appearance()

    assert list(dict.fromkeys(after.labels.tolist())) == list(range(len(set(labels))))
    assert len(set(zip(labels, after.labels.tolist(), strict=True))) == len(set(labels))
    assert np.array_equal(after.centres[after.labels], before.centres[before.labels])
    assert sorted(after.centres.tolist()) == sorted(before.centres.tolist())
    assert (after.labels.dtype, after.inertia) == (np.int32, 1.5)


@pytest.mark.parametrize("dimensions", [1, 3, 50])
async def test_other_dimensions_are_clustered_as_scikit_learn_does(client, dimensions):
    """Points of any number of dimensions get what KMeans itself gives with the same settings."""
    random = Random(dimensions)  # noqa: S311 - the same points every time
    points = [[random.gauss(0, 1) for _ in range(dimensions)] for _ in range(60)]

    answer = await client.post(URL, json={"points": points})

    expected = KMeans(3, n_init=10, random_state=9).fit_predict(np.array(points))
    assert answer.json()["results"] == expected.tolist()


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # of fewer different points
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(24, 600), st.integers(1, 20)),
    clusters=st.integers(1, 24),
    decimals=st.sampled_from([0, 1, 16]),
    magnitude=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_fit_is_scikit_learns_to_the_last_bit(seed, shape, clusters, decimals, magnitude):
    """Our seeding, watching the clock and not checking twice change no digit, twins or not."""
    points = np.random.default_rng(seed).normal(size=shape).round(decimals) * magnitude
    config = ClusterConfig(clusters=clusters, n_init=3, random_state=seed)
    with ThreadPoolExecutor(1, initializer=prepare_thread) as worker:
        ours = worker.submit(fit, points, config, time.monotonic() + 3600).result()

    with threadpool_limits(1):
        bare = KMeans(clusters, n_init=3, random_state=seed).fit(points)
    assert ours.labels.tolist() == bare.labels_.tolist()
    assert ours.centres.tobytes() == bare.cluster_centers_.tobytes()
    assert ours.inertia == bare.inertia_


async def test_picture_shows_every_point_in_its_colour(client):
    """An SVG has a dot for each point, coloured by cluster, and a cross for each centre."""
    answer = await client.post(URL, json={"points": EXAMPLE}, headers={"Accept": "image/svg+xml"})

    assert answer.headers["content-type"] == "image/svg+xml"
    picture = ET.fromstring(answer.text)  # noqa: S314 - our own
    colours = [dot.get("fill") for dot in picture.iter(SVG + "circle")]
    groups = {(colour, cluster) for colour, cluster in zip(colours, GOLDEN[3], strict=True)}
    assert len(colours) == len(EXAMPLE)
    assert len(groups) == 3
    assert len(list(picture.iter(SVG + "path"))) == 3


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"points":[[1,2],[2,3],[8,8],[9,9]]}', "application/json"),
        (b'{"points":[[1,1],[1,1],[1,1]]}', "application/json"),
        (b'{"points":[[1,2],[3]]}', "application/json"),
        (b'{"points":', "application/json"),
        (b'{"points":[[1,2],[2,3],[8,8]]}', "text/csv"),
    ],
)
async def test_a_query_changes_nothing_but_what_it_asks_for(client, body, content_type):
    """With a query FastAPI answers, without one the short way does: the same bytes and status."""
    headers = {"Content-Type": content_type, "X-Request-Id": "r-1"}
    short = await client.post(URL, content=body, headers=headers)
    long = await client.post(URL, params={"detail": "false"}, content=body, headers=headers)

    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.headers == long.headers


async def test_picture_needs_the_plane(client):
    """A picture of points in space is 422, and says why."""
    points = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    answer = await client.post(URL, json={"points": points}, headers={"Accept": "image/svg+xml"})

    assert answer.status_code == 422
    assert "2 dimensions" in answer.json()["detail"]


coordinates = st.floats(-1e150, 1e150)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=20))
def test_picture_stays_in_its_frame(points):
    """Whatever the coordinates, every dot lies in the picture."""
    array = np.array(points)
    clustering = fit(array, ClusterConfig(clusters=1, n_init=1))

    picture = ET.fromstring(draw(array, clustering))  # noqa: S314 - our own

    for dot in picture.iter(SVG + "circle"):
        assert 39 <= float(dot.get("cx")) <= 601
        assert 39 <= float(dot.get("cy")) <= 441


@pytest.mark.parametrize(
    ("points", "row", "words"),
    [
        ([[1, 2], [3, 4], [5, "x"]], 2, "not a number"),
        ([[1, 2], [3], [5, 6]], 1, "1 numbers where row 0 has 2"),
        ([[1, 2], [3, None], [5, 6]], 1, "not a number"),
        ([[1, 2], [3, True], [5, 6]], 1, "not a number"),
        ([[1, 2], 7, [5, 6]], 1, "not a list"),
        ([[1, 1e200], [3, 4], [5, 6]], 0, "not a finite number"),
        ([[], [], []], 0, "0 numbers"),
    ],
)
async def test_bad_row_is_named(client, points, row, words):
    """A row that is ragged, no list, or has something else than finite numbers is 422 and named."""
    answer = await client.post(URL, json={"points": points})

    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["row"] == row
    assert words in error["message"]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_not_finite_is_named(client, word):
    """NaN, infinities and numbers beyond a double are 422, with their row."""
    body = f'{{"points":[[1,2],[3,{word}],[5,6]]}}'
    answer = await client.post(URL, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["row"] == 1


async def test_too_few_different_points_are_refused(client):
    """Fewer different points than clusters is 422 and says both numbers."""
    answer = await client.post(URL, json={"points": [[1, 1], [2, 2], [1, 1], [2, 2]]})

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("too-few-points")
    assert (answer.json()["distinct"], answer.json()["clusters"]) == (2, 3)


async def test_number_of_points_is_capped_by_configuration(client, live):
    """More points than the live limit are 413 and told the limit, good points or bad."""
    live.value = ClusterConfig(max_points=8)
    for points in (EXAMPLE, [0] * 9, [[]] * 9, [[1], [2, 3]] * 9, [[]] * 5000):
        answer = await client.post(URL, json={"points": points})

        assert answer.status_code == 413
        assert answer.json()["type"].endswith("too-many-rows")
        assert answer.json()["limit_rows"] == 8


@pytest.mark.parametrize(
    "row", [b"0", b"[]", b"{}", b"[0]", b'"ab"', b'["ab"]', b'{"a":1}', b"9.5"]
)
@pytest.mark.parametrize("end", [b"]}", b""])
def test_largest_bad_body_is_refused_in_bounded_memory(row, end):
    """Four megabytes of the smallest bad rows take less than a hundred, under the widest limit."""
    body = b'{"points":[' + b",".join([row] * (2**22 // (len(row) + 1) - 10)) + end
    tracemalloc.start()

    with pytest.raises(Problem) as refused:
        read_points(body, ClusterConfig(max_points=100_000))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status in {400, 413}
    assert peak < 100 * 2**20


def test_every_bad_row_is_counted():
    """All bad rows are counted, the first hundred are listed."""
    with pytest.raises(Problem) as refused:
        read_points(b'{"points":[' + b"7," * 9_999 + b"7]}", ClusterConfig())

    assert refused.value.extra["error_count"] == 10_000
    assert [error["row"] for error in refused.value.extra["errors"]] == list(range(100))


async def test_metrics_tell_where_time_goes(client):
    """Each answer is counted, by either way and by V2; a refused one is not."""
    tensor = {"name": "points", "datatype": "FP64", "shape": [3, 1], "data": [1, 2, 3]}
    await client.post(URL, json={"points": EXAMPLE})
    await client.post(URL, json={"points": EXAMPLE}, params={"detail": "true"})
    await client.post("/v2/models/skl-kmeans/infer", json={"inputs": [tensor]})
    await client.post(URL, json={"points": []})

    found = (await client.get("/metrics")).text

    for stage in ("decode", "compute", "encode"):
        labels = f'{{model_version="{VERSION}",stage="{stage}"}}'
        assert f"model_stage_seconds_count{labels} 3.0" in found
    assert f'method="POST",model_version="{VERSION}",route="{URL}",status="200"' in found


async def test_spent_deadline_is_not_computed(client):
    """A caller without time left gets 504 at once."""
    headers = {"X-Request-Timeout-Ms": "0"}
    answer = await client.post(URL, json={"points": EXAMPLE}, headers=headers)

    assert answer.status_code == 504


async def test_a_fit_whose_deadline_passes_is_left(client, live):
    """A fit of seconds is not finished for a caller who has given up: its worker is free again."""
    live.value = ClusterConfig(clusters=50, n_init=100)
    points = np.random.default_rng(9).normal(size=(10_000, 2)).round(3).tolist()
    headers = {"X-Request-Timeout-Ms": "100"}
    answer = await client.post(URL, json={"points": points}, headers=headers)
    live.value = ClusterConfig()
    asked = time.monotonic()
    after = await client.post(URL, json={"points": EXAMPLE})

    assert answer.status_code == 504
    assert after.json()["results"] == GOLDEN[3]
    assert time.monotonic() - asked < 3


def test_a_fit_stops_at_its_deadline():
    """A fit begun in time ends with TimeoutError once its deadline has passed."""
    points = np.random.default_rng(9).normal(size=(10_000, 2))

    with pytest.raises(TimeoutError):
        fit(points, ClusterConfig(clusters=50, n_init=100), time.monotonic() + 0.1)


@pytest.mark.parametrize("timeout_seconds", [0.5])
async def test_a_fit_without_a_deadline_is_bounded(client, live):
    """A fit whose caller named no deadline is left all the same, by either route, and told as 504.

    Its worker is free again: the next fit is answered.
    """
    live.value = ClusterConfig(clusters=50, n_init=100)
    points = np.random.default_rng(9).normal(size=(10_000, 2)).round(3).tolist()
    tensor = {"name": "points", "datatype": "FP64", "shape": [10_000, 2], "data": points}
    for path, document in (
        (URL, {"points": points}),
        ("/v2/models/skl-kmeans/infer", {"inputs": [tensor]}),
    ):
        answer = await client.post(path, json=document)

        assert answer.status_code == 504
        assert answer.json()["type"].endswith("deadline")
        assert "0.5 s, the limit that the service's REQUEST_TIMEOUT" in answer.json()["detail"]
    live.value = ClusterConfig()
    after = await client.post(URL, json={"points": EXAMPLE})
    assert after.json()["results"] == GOLDEN[3]


@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=3),
        max_size=12,
    )
)
def test_points_are_refused_or_can_be_fitted(rows):
    """What passes the check is finite, of one width, and has points enough for the clusters."""
    config = ClusterConfig(clusters=2)
    try:
        points = read_points(json.dumps({"points": rows}).encode(), config)
    except Problem:
        return
    assert points.tolist() == rows
    assert len(np.unique(points, axis=0)) >= 2
    assert np.isfinite(points).all()
