"""HEAD was 405 where GET answers: https://github.com/fastapi/fastapi/issues/1773.

Load balancers, link checkers and `curl -I` ask so whether something is there.
"""

from service_conformance.subject import JSON

PATHS = ("/", "/docs", "/docs/swagger-ui.css", "/livez", "/readyz", "/metrics", "/v2")


def test_head_is_get_without_its_body(client, model):
    """Status, type and length are those of GET, also of what is not there."""
    for path in (*PATHS, f"/v2/models/{model.name}", "/v2/models/other", "/no-such-path"):
        shown, asked = client.get(path), client.head(path)

        assert asked.status_code == shown.status_code, path
        assert asked.headers["content-type"] == shown.headers["content-type"], path
        assert int(asked.headers["content-length"]) > 0, path
        assert asked.content == b"", path
        assert "x-request-id" in asked.headers, path


def test_the_connection_goes_on_after_head(client, model):
    """The next request of the same connection is answered."""
    client.head("/docs")
    again = client.post(model.path, content=model.body, headers=JSON)

    assert again.status_code == 200


def test_head_of_a_route_without_get_is_405(client, model):
    """What answers POST alone says so."""
    answer = client.head(model.path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_head_is_counted_as_head_of_its_route(client):
    """Metrics name the method that was sent and the route's template."""
    client.head("/v2")

    line = 'http_request_duration_seconds_count{method="HEAD",model_version='
    counted = [each for each in client.get("/metrics").text.splitlines() if line in each]
    assert any('route="/v2"' in each for each in counted)
