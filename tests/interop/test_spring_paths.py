"""A real Tomcat behind the gateway: Java reads some spellings of a path as another path.

Envoy had the flaw too, found by users of Tomcat: https://github.com/istio/istio/issues/27409.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from random import Random
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.nacos, pytest.mark.timeout(240)]

KEY = {"X-Api-Key": "long and random"}
DIGEST = hashlib.sha256(KEY["X-Api-Key"].encode()).hexdigest()
DOCUMENT = f"""
by_name: false
routes:
  - {{path: /app, service: java-echo}}
  - {{path: /app/admin, service: java-echo, keys: [{DIGEST}]}}
  - {{path: /shop, service: java-echo}}
  - {{path: /shop/admin/list, service: java-echo, exact: true, keys: [{DIGEST}]}}
"""
"""What an operator writes who opens an application and closes a part of it."""
SPELLINGS = (
    "/app/admin/list",
    "/app/admin;x=1/list",
    "/app/admin/list;x=1",
    "/app//admin/list",
    "/app/x/..;/admin/list",
    "/app/x/..;y=1/admin/list",
    "/app/.;/admin/list",
    "/app/%2e%2e;/app/admin/list",
    "/app/%61dmin/list",
    "/app/x/../admin/list",
    "/app/x/%2e%2e/admin/list",
    "/shop/admin/list",
    "/shop/admin/list;a",
    "/shop/admin/list;a=1;b=2",
    "/shop/admin;a/list",
    "/shop//admin/list",
    "/shop/x/..;/admin/list",
)
"""Paths that lead to the one servlet."""
PARTS = (
    *("admin", "admin", "admin;a", "%61dmin", "admin%3ba", "x", "", ";", ".", ".;", "%2e", "%2e;a"),
    *("..", "..;", "..;a=1", "%2e%2e;", ".%2e;", "..%3b", "x;a", "app", "shop", "%2fadmin", "%2F"),
)
"""Segments that servers read in different ways, and some that they do not."""
ENDS = (("app", ""), ("app", ";a"), ("shop", ""), ("shop", ";a"))
"""First segment of a path, and what follows its last."""
CLOSED = (400, 401)


@dataclass(frozen=True)
class Answer:
    """An answer, read without following anything."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reading(self) -> dict[str, Any]:
        """How Java read the request."""
        return dict(json.loads(self.body))


def get(url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a path as it is written: other clients resolve dots, and follow redirects."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=15)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, fields, answer.read())
    finally:
        connection.close()


def wait_reached(url: str, path: str) -> None:
    """Return when the gateway passes on what is asked for."""
    wait_until(
        lambda: get(url, path, KEY).status == 200,
        seconds=20,
        what=f"the gateway has the routes and knows the instance: {path}",
    )


@pytest.fixture
def tomcat_behind_routes(
    service: Callable[..., Any], spring: Callable[..., Any], nacos: NacosAccess
) -> tuple[str, str]:
    """Return the address of a Tomcat, and that of a gateway with `DOCUMENT` in front of it."""
    nacos.publish("gateway", DOCUMENT)
    tomcat = spring(nacos)
    gateway = service("gateway", nacos)
    wait_reached(gateway.url, "/app/admin/list")
    return tomcat.url, gateway.url


def test_no_spelling_of_a_path_passes_a_key(tomcat_behind_routes: tuple[str, str]) -> None:
    """Whatever Tomcat reads as the closed path needs the key, or is refused as it stands.

    Tomcat itself is asked first: it finds the servlet by every one of the spellings.
    """
    tomcat, gateway = tomcat_behind_routes
    for spelling in SPELLINGS:
        directly = get(tomcat, spelling)

        assert (directly.status, directly.reading["handler"]) == (200, "admin"), spelling
        assert directly.reading["servletPath"] in {"/app/admin", "/shop/admin"}
        assert directly.reading["pathInfo"] == "/list"

    passed = {
        spelling: answer.status
        for spelling in SPELLINGS
        if (answer := get(gateway, spelling)).status not in CLOSED
    }
    assert passed == {}

    for plain in ("/app/admin/list", "/shop/admin/list"):
        assert get(gateway, plain).status == 401
        assert get(gateway, plain, {"X-Api-Key": "another"}).status == 401
        assert get(gateway, plain, KEY).reading["handler"] == "admin"


def test_no_path_of_such_parts_passes_a_key(tomcat_behind_routes: tuple[str, str]) -> None:
    """Of all paths made of a few such parts, none that Tomcat reads as closed passes without a key.

    They are drawn at random, and hundreds of them lead to the servlet.
    """
    tomcat, gateway = tomcat_behind_routes
    random = Random(27409)  # noqa: S311 - the same paths every time
    drawn = {"/" + "/".join(random.choices(PARTS, k=random.randint(1, 4))) for _ in range(3000)}
    closed = []
    for path in sorted(f"/{app}{rest}/list{end}" for rest in drawn for app, end in ENDS):
        directly = get(tomcat, path)
        if directly.status == 200 and directly.reading["pathInfo"] == "/list":
            closed.append(path)

    assert len(closed) > 200
    assert [path for path in closed if get(gateway, path).status == 200] == []


def test_java_gets_what_the_client_sent(tomcat_behind_routes: tuple[str, str]) -> None:
    """A matrix variable of an open path reaches Java, and so do the client's host and address."""
    _, gateway = tomcat_behind_routes
    host = urlsplit(gateway).netloc

    cars = get(gateway, "/app/cars;color=red/list?x=1").reading

    assert cars["handler"] == "cars"
    assert cars["matrix"] == {"color": "red"}
    assert cars["requestUri"] == "/app/cars;color=red/list"
    assert cars["servletPath"] == "/app/cars/list"
    assert (cars["scheme"], cars["remoteAddr"]) == ("http", "127.0.0.1")
    assert cars["forwarded"] == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": host,
        "x-forwarded-port": host.rpartition(":")[2],
    }


def test_what_a_stranger_says_of_the_client_does_not_reach_java(
    tomcat_behind_routes: tuple[str, str],
) -> None:
    """X-Forwarded-* of a client that is no trusted proxy are replaced, however they are spelled."""
    _, gateway = tomcat_behind_routes
    lies = {
        "X-Forwarded-For": "10.1.1.1",
        "x-forwarded-HOST": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Ssl": "on",
    }

    cars = get(gateway, "/app/cars;color=red/list", lies).reading

    assert not {"10.1.1.1", "evil.example", "/evil", "on"} & set(cars["forwarded"].values())


def test_a_redirect_of_java_leads_back_through_the_gateway(
    service: Callable[..., Any], spring: Callable[..., Any], nacos: NacosAccess
) -> None:
    """A redirect to `/login` leads a caller by name to `/{service}/login`, which is answered.

    Tomcat knows nothing of the service's name in the caller's path: asked directly, it names its
    own `/login`.
    """
    tomcat, gateway = spring(nacos), service("gateway", nacos)
    wait_reached(gateway.url, "/java-echo/login")
    directly = get(tomcat.url, "/login-needed")
    assert directly.status == 302
    assert urljoin(f"{tomcat.url}/login-needed", directly.headers["location"]) == (
        f"{tomcat.url}/login"
    )

    through = get(gateway.url, "/java-echo/login-needed")

    assert through.status == 302
    asked = f"{gateway.url}/java-echo/login-needed"
    assert urljoin(asked, through.headers["location"]) == f"{gateway.url}/java-echo/login"


def test_an_application_below_a_context_path_is_called_by_name(
    service: Callable[..., Any], spring: Callable[..., Any], nacos: NacosAccess
) -> None:
    """`/{service}/cars` is `/ctx/cars` of an application whose metadata say `context-path: /ctx`.

    Asked directly, the application has no `/cars`.
    """
    tomcat, gateway = spring(nacos, context="/ctx"), service("gateway", nacos)
    wait_until(
        lambda: "proxy-status" not in get(gateway.url, "/java-echo/cars").headers,
        seconds=20,
        what="the gateway knows the instance, so that the answer is not its own",
    )
    origin = tomcat.url.removesuffix("/ctx")
    assert get(origin, "/cars").status == 404
    assert get(origin, "/ctx/cars").reading["contextPath"] == "/ctx"

    through = get(gateway.url, "/java-echo/cars")

    assert through.status == 200, through.body
    assert through.reading["requestUri"] == "/ctx/cars"
