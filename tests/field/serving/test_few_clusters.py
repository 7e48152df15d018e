"""Reports of fewer clusters than were asked for, without a word to the caller, tried here.

scikit-learn 10059: `KMeans` gives fewer distinct clusters than `n_clusters`; since then it warns,
which in a service only the log sees. Distances are squared in 64-bit arithmetic: different points
that are close together, beside the distance of others or near zero, are the same to it.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from service_conformance.subject import Subject, running

POINTS = "/api/skl-kmeans"
CLOSE = {
    "beside a far one": ([[1e12, 0], [1, 0], [2, 0], [30, 0]], 2),
    "integers past 2^53": ([[2**53], [2**53 + 2], [2**53 + 4], [0]], 2),
    "near zero": ([[1e-200], [2e-200], [3e-200]], 1),
}
"""Points, and the number of clusters of three that have points."""


@pytest.fixture(scope="module")
def clusterer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The clusterer, as a process, which makes three clusters."""
    with running("kmeans.app:Clusterer", tmp_path_factory.mktemp("kmeans")) as one:
        yield one


def asked(clusterer: Subject, points: list[list[float]], **more: Any) -> httpx.Response:
    """Return the answer for points."""
    return httpx.post(clusterer.url + POINTS, json={"points": points}, timeout=60, **more)


@pytest.mark.parametrize("name", CLOSE)
def test_10059_the_answer_says_how_many_clusters_have_points_and_why(
    clusterer: Subject, name: str
) -> None:
    """In short and in detail, by V2, and in the title of a picture; the log has no warning."""
    points, count = CLOSE[name]
    tensor = {"name": "points", "datatype": "FP64", "shape": [len(points), len(points[0])]}
    inputs = [tensor | {"data": [each for point in points for each in point]}]
    infer = clusterer.url + "/v2/models/skl-kmeans/infer"
    v2 = httpx.post(infer, json={"inputs": inputs}, timeout=60).json()["parameters"]
    short = asked(clusterer, points).json()
    long = asked(clusterer, points, params={"detail": "true"}).json()

    assert len(set(short["results"])) == count
    assert long["sizes"].count(0) == 3 - count
    for told in (short, long, v2):
        assert (told["clusters"], told["clusters_found"]) == (3, count)
        assert told["note"].startswith(f"{count} of 3 clusters have points. The squares of dist")
    if len(points[0]) == 2:
        picture = asked(clusterer, points, headers={"Accept": "image/svg+xml"}).text
        assert short["note"] in picture
    assert "Number of distinct clusters" not in clusterer.text


def test_clusters_that_all_have_points_need_no_word(clusterer: Subject) -> None:
    """An answer has neither member where there is nothing to tell."""
    answer = asked(clusterer, [[1], [2], [3]]).json()

    assert answer.keys() == {"results", "clusters", "config_version", "request_id"}


def test_integers_that_are_equal_as_read_are_told_so(clusterer: Subject) -> None:
    """Three integers past 2^53 that are two as 64-bit floating point: 422, with that reason."""
    answer = asked(clusterer, [[2**53], [2**53 + 1], [2**53 + 2]])

    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "points: 2 different points cannot make 3 clusters;"
        " numbers are read as 64-bit floating point, and may be equal as such"
    )
