"""A path with a slash at its end is the same resource as without, and nobody is sent elsewhere."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from classifier.schemas import EXAMPLE

ATTRIBUTES = [
    {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
    for name, value in EXAMPLE.items()
]
POINTS = [[1, 2], [2, 3], [8, 8], [10, 11]]
TENSOR = {"name": "points", "datatype": "FP64", "shape": [4, 2], "data": POINTS}
NAMES = {
    "classifier": ("car-evaluation", "1.0.0", "/api/v1/openapi.json"),
    "kmeans": ("skl-kmeans", None, "/openapi.json"),
}
"""Model and version of each service, None for the service's own, and its description's path."""
BODIES: dict[str, Any] = {
    "/api/v1/predict": {"inputs": [EXAMPLE]},
    "/api/v1/explain": {"inputs": [EXAMPLE]},
    "/api/skl-kmeans": {"points": POINTS},
    "car-evaluation": {"inputs": ATTRIBUTES},
    "skl-kmeans": {"inputs": [TENSOR]},
}
"""The body for a route's path, and for the Open Inference Protocol by the model's name."""
CHANGING = ("/metrics", "/stats", "/docs")
"""Ends of routes whose answers tell of the requests before, or of the address asked for."""
VOLATILE = re.compile(r'"(?:request_)?id":"[^"]*"')


def requests(client: httpx.Client, package: str) -> Iterator[tuple[str, httpx.Request]]:
    """Yield the template and an answerable request of each route, pages and files included.

    Feedback is left out: it is about an answer that was given before, and counts once.
    """
    model, version, description = NAMES[package]
    paths = client.get(description).json()["paths"]
    version = version or client.get(f"/v2/models/{model}").json()["versions"][0]
    for template, operations in paths.items():
        path = template.replace("{model_name}", model).replace("{model_version}", version)
        for method, operation in operations.items():
            if "feedback" in operation["tags"]:
                continue
            body = BODIES.get(path, BODIES[model]) if method == "post" else None
            yield template, client.build_request(method, path, json=body)
    for path in (description, "/docs", "/docs/swagger-ui.css"):
        yield path, client.build_request("GET", path)


def with_slash(request: httpx.Request) -> httpx.Request:
    """Return the same request for the path with a slash at its end."""
    url = request.url.copy_with(path=request.url.path + "/")
    return httpx.Request(request.method, url, headers=request.headers, content=request.content)


def told(answer: httpx.Response, template: str) -> tuple[int, str, str]:
    """Return status, type and text of an answer, without what differs between two requests."""
    text = "" if template.endswith(CHANGING) else VOLATILE.sub("", answer.text)
    return answer.status_code, answer.headers["content-type"], text


@pytest.mark.parametrize("package", list(NAMES))
def test_every_route_answers_a_path_with_a_slash_itself(service, package):
    """With a slash at its end each route gives the answer that it gives without, and no redirect.

    A redirect would name the address where the service listens, which callers behind a gateway do
    not reach, and a POST through an HTTP/1.0 proxy would come back as a GET.
    """
    with httpx.Client(base_url=service(package).url, timeout=60) as client:
        known = list(requests(client, package))
        for template, request in known:
            plain, slashed = client.send(request), client.send(with_slash(request))

            assert plain.status_code == 200, (template, plain.text)
            assert told(slashed, template) == told(plain, template), template

    templates = {template for template, _ in known}
    assert len(templates) >= 20
    assert templates >= {"/livez", "/metrics", "/v2", "/actuator/health", "/docs"}


@pytest.mark.parametrize("package", list(NAMES))
def test_a_slash_makes_no_label_of_its_own(running, tmp_path, package):
    """Requests with the slash are counted under the labels of those without."""
    with (
        running(package, tmp_path / "log", {}) as one,
        httpx.Client(base_url=one.url, timeout=60) as client,
    ):

        def labels() -> set[str]:
            text = client.get("/metrics").text
            return set(re.findall(r"http_request_duration_seconds_count(\{.*\})", text))

        known = [request for _, request in requests(client, package) if request.url.path != "/"]
        for request in known:
            client.send(request)
        plain = labels()
        for request in known:
            client.send(with_slash(request))

        assert labels() == plain
    assert any('route="/v2/models/{model_name}/infer",status="200"' in each for each in plain)


@pytest.mark.parametrize("package", list(NAMES))
def test_the_docs_find_their_parts_from_either_address(service, package):
    """The addresses on the page at /docs and on the one at /docs/ lead to the same files."""
    with httpx.Client(base_url=service(package).url, timeout=60) as client:
        found = []
        for path in ("/docs", "/docs/"):
            page = client.get(path)
            (place,) = re.findall(r'data-place="([^"]*)"', page.text)
            (description,) = re.findall(r'data-openapi="([^"]*)"', page.text)
            parts = re.findall(r'(?:src|href)="((?!data:)[^"]*)"', page.text)
            base = urljoin(path, place)
            found.append({urljoin(base, description), *(urljoin(path, part) for part in parts)})
        statuses = {path: client.get(path).status_code for path in found[0]}

    assert found[0] == found[1]
    assert len(statuses) == 3
    assert set(statuses.values()) == {200}, statuses


@pytest.mark.parametrize("package", list(NAMES))
@pytest.mark.parametrize("path", ["/livez//", "//livez", "/v2/models//", "/livez%2F", "/livez/x/"])
def test_other_slashes_name_other_resources(service, package, path):
    """More than one slash, an encoded slash and a slash elsewhere are 404, and no redirect."""
    assert httpx.get(service(package).url + path).status_code == 404


def test_the_query_stays(classifier):
    """The query of a path with a slash counts as without."""
    url = classifier.url + "/api/v1/predict/?probabilities=true"

    assert "probabilities" in httpx.post(url, json={"inputs": [EXAMPLE]}, timeout=60).json()


@pytest.mark.parametrize("package", list(NAMES))
def test_a_limit_is_not_passed_by_a_slash(service, package):
    """A body past the limit is refused at the path with a slash too, with the same document."""
    path = "/api/v1/predict/" if package == "classifier" else "/api/skl-kmeans/"
    answer = httpx.post(service(package).url + path, content=b" " * (4 * 2**20 + 1), timeout=60)

    assert answer.status_code == 413
    assert answer.json()["type"].endswith("body-too-large")
