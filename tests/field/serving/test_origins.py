"""An origin with a slash at its end: https://github.com/pydantic/pydantic/issues/7186.

Settings of type URL end with a slash, and so does an address that is copied from a browser, while
browsers send none. `BACKEND_CORS_ORIGINS=https://cars.example/` ended the start; the clusterer and
new services knew no origins.
"""

from service_conformance.subject import JSON


def test_a_page_may_read_answers_and_problems(client, model, page):
    """The page's own origin is in every answer, a problem included."""
    told = [
        client.post(model.path, content=body, headers={**JSON, "Origin": page})
        for body in (model.body, "{}", "no JSON")
    ]

    assert [answer.status_code for answer in told] == [200, 422, 400]
    assert {answer.headers.get("access-control-allow-origin") for answer in told} == {page}


def test_a_page_may_send_json(client, model, page):
    """The browser's question before a POST of JSON is answered with yes, another page's is not."""

    def asked(origin: str) -> int:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        return client.options(model.path, headers=headers).status_code

    assert (asked(page), asked("https://other.example")) == (200, 400)
