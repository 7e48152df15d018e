"""URLs in a service's answers lead its client back through the gateway."""

from ipaddress import ip_network

import pytest
from gateway.http.location import Places
from hypothesis import given, strategies as st

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"


def redirecting(location: str):
    async def behaviour(instance, wire) -> None:
        while True:
            await instance.take(wire)
            own = location.replace("OWN", f"127.0.0.1:{instance.port}")
            wire.send(
                f"HTTP/1.1 302 Found\r\nLocation: {own}\r\nContent-Length: 0\r\n\r\n".encode()
            )

    return behaviour


ROUTES = (
    {"path": "/shop", "service": NAME, "strip_prefix": "/shop"},
    {"path": "/old", "service": NAME, "strip_prefix": "/old", "rewrite": "/ctx"},
    {"path": "/whole", "service": NAME},
    {"path": "/r", "service": NAME, "rewrite": "/inner"},
)


@pytest.mark.parametrize(
    ("target", "said", "led_to"),
    [
        (f"/{NAME}/api/x/", "http://OWN/api/x", f"http://shop.example/{NAME}/api/x"),
        (f"/{NAME}/x", "/login", f"/{NAME}/login"),
        (f"/{NAME}/x", "/login?next=/x#top", f"/{NAME}/login?next=/x#top"),
        (f"/{NAME}/x", f"/{NAME}/login", f"/{NAME}/login"),
        (f"/{NAME}/{NAME}/x", f"/{NAME}/login", f"/{NAME}/{NAME}/login"),
        (f"/{NAME}/x", "http://shop.example/login", f"http://shop.example/{NAME}/login"),
        (f"/{NAME}/x", f"http://shop.example/{NAME}/a", f"http://shop.example/{NAME}/a"),
        (f"/{NAME}/x", "https://id.example/login?to=/x", "https://id.example/login?to=/x"),
        (f"/{NAME}/x", "login", "login"),
        (f"/{NAME}/x", "//OWN/login", f"http://shop.example/{NAME}/login"),
        ("/shop/x", "/login", "/shop/login"),
        ("/shop/x", "http://OWN", "http://shop.example/shop/"),
        ("/old/x", "/ctx/login", "/old/login"),
        ("/old/x", "/ctx", "/old"),
        ("/old/x", "/elsewhere", "/elsewhere"),
        ("/whole/x", "http://OWN/whole/y", "http://shop.example/whole/y"),
        ("/r/x", "/inner/y", "/y"),
        ("/r/x", "/inner//evil.example/y/", "/evil.example/y/"),
        ("/r/x", "/inner///evil.example", "/evil.example"),
        ("/r/x", "/inner/\\evil.example", "/evil.example"),
    ],
)
async def test_a_location_is_what_the_client_calls(
    world, by_document, target: str, said: str, led_to: str
):
    """The instance's own address was passed on, and a Tomcat's `/login` lost its prefix."""
    gateway = await world.gateway(
        await world.instance(redirecting(said)), table=by_document(*ROUTES)
    )

    reply = await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())

    assert (reply.status, reply.one("location")) == (302, led_to)


@pytest.mark.parametrize(
    ("said", "led_to"),
    [("http://OWN/x", f"/{NAME}/x"), ("///evil.example", "///evil.example"), ("//", "//")],
)
async def test_a_client_that_names_no_host_is_led_to_a_path(world, said: str, led_to: str):
    """It got `http:///x`, which browsers read as a host of this name."""
    gateway = await world.gateway(await world.instance(redirecting(said)))

    reply = await gateway.ask(f"GET /{NAME}/x HTTP/1.1\r\nHost:\r\n\r\n".encode())

    assert reply.one("location") == led_to


@given(path=st.text("/ab.", max_size=8), prefix=st.sampled_from([b"", b"/s", b"/s/t"]))
def test_a_rewritten_url_is_rewritten_once(path: str, prefix: bytes):
    """What leads to the client's own address is not rewritten again by a gateway in front."""
    places = Places(b"http://h", b"h", prefix, b"", frozenset({b"10.0.0.1:80"}), b"/x")

    once = places.as_called(b"/" + path.encode().lstrip(b"/"))

    assert places.as_called(once) == once or not prefix


async def test_a_trusted_proxys_prefix_is_continued(world):
    """`X-Forwarded-Prefix` was replaced, so links of the service lost the outer part (3635)."""
    instance = await world.instance(redirecting("/login"))
    trusted = await world.gateway(instance, trusted=[ip_network("127.0.0.0/8")])
    stranger = await world.gateway(instance)
    head = f"GET /{NAME}/x HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /outer/\r\n\r\n".encode()

    continued, replaced = await trusted.ask(head), await stranger.ask(head)

    assert [one.one("x-forwarded-prefix") for one in instance.executed] == [
        f"/outer/{NAME}",
        f"/{NAME}",
    ]
    assert continued.one("location") == f"/outer/{NAME}/login"
    assert replaced.one("location") == f"/{NAME}/login"


@pytest.mark.parametrize(("preserve", "host"), [(True, "shop.example"), (False, None)])
async def test_a_route_can_preserve_the_host(
    world, by_document, *, preserve: bool, host: str | None
):
    """Services that make URLs, or serve several hosts, want what the client sent."""
    instance = await world.instance()
    table = by_document({"path": "/a", "service": NAME, "preserve_host": preserve})
    gateway = await world.gateway(instance, table=table)

    await gateway.ask(b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n")

    assert instance.executed[0].one("host") == (host or f"127.0.0.1:{instance.port}")


@pytest.mark.parametrize(
    ("metadata", "target", "got"),
    [
        ({"context-path": "/ctx"}, f"/{NAME}/cars?a=b", "/ctx/cars?a=b"),
        ({"context-path": "/ctx/"}, f"/{NAME}/ctx/cars", "/ctx/cars"),
        ({"context-path": "/ctx"}, f"/{NAME}/ctxx", "/ctx/ctxx"),
        ({"context-path": "/ctx"}, f"/{NAME}", "/ctx/"),
        ({"context-path": "no path"}, f"/{NAME}/cars", "/cars"),
        ({"context-path": "/.."}, f"/{NAME}/cars", "/cars"),
        ({"context-path": "/a/./b"}, f"/{NAME}/cars", "/cars"),
        ({"context-path": "/v1.0/..b"}, f"/{NAME}/cars", "/v1.0/..b/cars"),
        ({}, f"/{NAME}/cars", "/cars"),
    ],
)
async def test_a_context_path_is_where_a_provider_says(world, metadata, target, got):
    """By name, `/{service}/cars` is `/cars` of the service's context; the location comes back."""
    instance = await world.instance(redirecting("/ctx/login"))
    gateway = await world.gateway(instance, metadata=metadata)

    reply = await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())

    assert instance.executed[0].line == f"GET {got} HTTP/1.1"
    if metadata.get("context-path", "").startswith("/ctx"):
        assert reply.one("location") == f"/{NAME}/login"


@pytest.mark.parametrize(
    ("redirect", "target", "location"),
    [
        ({"to": "https://new.example/shop"}, "/a/b?c=d", "https://new.example/shop"),
        ({"to": "https://new.example/shop", "keep_path": True}, "/a/b/?c=d",
         "https://new.example/shop/b/?c=d"),
        ({"to": "/", "keep_path": True}, "/a//evil.example", "/evil.example"),
        ({"to": "/", "keep_path": True}, "/a", "/"),
        ({"to": "/", "keep_path": True}, "/a/?b=c", "/?b=c"),
        ({"to": "https://new.example/", "keep_path": True}, "/a", "https://new.example/"),
        ({"to": "/b", "status": 308, "keep_path": True}, "/a", "/b"),
    ],
)  # fmt: skip
async def test_a_route_can_redirect(world, by_document, redirect: dict, target: str, location: str):
    """Without a service; the rest of the path follows if it is told to."""
    gateway = await world.gateway(table=by_document({"path": "/a", "redirect": redirect}))

    reply = await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())

    assert (reply.status, reply.one("location")) == (redirect.get("status", 302), location)
    assert reply.body == b""
