"""A team that leaves Spring Cloud Gateway takes its routes along: `gateway-routes import`."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gateway.control.routes_command import MAX_BYTES, parser, run
from gateway.http.heads import HANDLED, RESPONSE_HANDLED
from gateway.routing.document import RoutesDocument
from gateway.routing.spring.filters import CLOSING, FILTERS, LEFT_OUT, NEEDLESS
from gateway.routing.spring.predicates import PREDICATES
from gateway.routing.spring.route import CLOSED
from hypothesis import example, given, settings, strategies as st
from hypothesis.strategies import SearchStrategy

HERE = Path(__file__).parent / "spring"


def translated(text: str, folder: Path, *more: str, kind: str = "yml") -> tuple[int, Any, str]:
    """Return the exit status, the document and the findings for the text of a file."""
    source = folder / f"application.{kind}"
    source.write_text(text, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    status = run(parser().parse_args(["import", str(source), *more]), out, err)
    return status, yaml.safe_load(out.getvalue()), err.getvalue()


def routes_of(*parts: Any, key: str = "filters", **more: Any) -> dict[str, Any]:
    """Return a configuration with one route, `r` at /a for the service s, with these parts."""
    route: dict[str, Any] = {"id": "r", "uri": "lb://s", "predicates": ["Path=/a/**"], **more}
    route[key] = [*route.get(key, ()), *parts]
    return {"spring": {"cloud": {"gateway": {"routes": [route]}}}}


def only(document: Any) -> dict[str, Any]:
    """Return the only route of a document without the keys that every route here has."""
    (route,) = document["routes"]
    return {key: value for key, value in route.items() if key not in ("name", "service")}


def loaded(document: Any) -> RoutesDocument:
    """Load a document as the gateway does."""
    return RoutesDocument.model_validate(document)


def test_a_teams_configuration_as_a_whole(tmp_path: Path):
    """The document, its comments and the findings are for the team to read: each word counts."""
    source = HERE / "application.yml"
    result = tmp_path / "gateway.yaml"

    done = subprocess.run(
        [Path(sys.executable).with_name("gateway-routes"), "import", source, "-o", result],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert result.read_text() == (HERE / "gateway.yaml").read_text()
    assert done.stderr == (HERE / "findings.txt").read_text()
    assert (done.returncode, done.stdout) == (1, "")
    loaded(yaml.safe_load(result.read_text())).compile()


@pytest.mark.parametrize(
    ("predicate", "keys"),
    [
        ("Path=/a/**", {"path": "/a"}),
        ("Path=/a/{*rest}", {"path": "/a"}),
        ("Path=/**", {"path": "/"}),
        ("Path=/a/b", {"path": "/a/b", "exact": True}),
        ("Path=/a/", {"path": "/a/", "exact": True}),
        ("Path=/", {"path": "/", "exact": True}),
        ("Path=/a/**, false", {"path": "/a"}),
        ({"name": "Path", "args": {"patterns": ["/a/**"]}}, {"path": "/a"}),
        ({"name": "Path", "args": {"patterns": "/a/**", "matchTrailingSlash": False}},
         {"path": "/a"}),
        ({"name": "Path", "args": {"_genkey_0": "/a/**"}}, {"path": "/a"}),
        ("Method=get,POST", {"path": "/", "methods": ["GET", "POST"]}),
        ({"name": "Method", "args": {"methods": "PUT"}}, {"path": "/", "methods": ["PUT"]}),
        ("Host=a.com", {"path": "/", "when": {"hosts": ["a.com"]}}),
        ("Host=**.a.com,b.org",
         {"path": "/", "when": {"hosts": ["*.a.com", "a.com", "b.org"]}}),
        ("Header=X-Id, \\d+", {"path": "/", "when": {"headers": {"X-Id": {"regex": "\\d+"}}}}),
        ("Header=X-Id", {"path": "/", "when": {"headers": {"X-Id": {"regex": ".*"}}}}),
        ("Query=version, 2", {"path": "/", "when": {"query": {"version": "2"}}}),
        ({"name": "Query", "args": {"param": "v", "regexp": "1|2"}},
         {"path": "/", "when": {"query": {"v": {"regex": "1|2"}}}}),
        ("Cookie=beta, 1", {"path": "/", "when": {"cookies": {"beta": "1"}}}),
    ],
)  # fmt: skip
def test_a_predicate_becomes_the_keys_of_a_route(predicate: Any, keys: Any, tmp_path: Path):
    """Both spellings of a predicate mean the same, and nothing about it is left out."""
    file = routes_of(predicate, key="predicates", predicates=[])

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert (status, findings) == (0, "")
    assert only(document) == keys


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (["StripPrefix=1"], {"strip_prefix": "/a"}),
        (["StripPrefix=0"], {}),
        ([{"name": "StripPrefix", "args": {"parts": 1}}], {"strip_prefix": "/a"}),
        (["PrefixPath=/api"], {"rewrite": "/api"}),
        (["StripPrefix=1", "PrefixPath=/v2"], {"strip_prefix": "/a", "rewrite": "/v2"}),
        (["RewritePath=/a/?(?<rest>.*), /$\\{rest}"], {"strip_prefix": "/a"}),
        (["RewritePath=/a/(?<rest>.*), /v1/$\\{rest}"],
         {"strip_prefix": "/a", "rewrite": "/v1"}),
        (["RewritePath=^/a(?<rest>/?.*), /b/c$\\{rest}"],
         {"strip_prefix": "/a", "rewrite": "/b/c"}),
        (["RewritePath=/(?<rest>.*), /v1/$\\{rest}"], {"rewrite": "/v1"}),
        (["RewritePath=/a/(.*), /$1"], {"strip_prefix": "/a"}),
        ([{"name": "RewritePath", "args": {"regexp": "/a/?(?<s>.*)", "replacement": "/$\\{s}"}}],
         {"strip_prefix": "/a"}),
        (["AddRequestHeader=X-A, b"], {"request_headers": {"add": {"X-A": "b"}}}),
        (["SetRequestHeader=X-A, b"], {"request_headers": {"set": {"X-A": "b"}}}),
        (["RemoveRequestHeader=Cookie"], {"request_headers": {"remove": ["Cookie"]}}),
        (["RemoveRequestHeader=X-A", "AddRequestHeader=x-a, b"],
         {"request_headers": {"set": {"x-a": "b"}}}),
        (["SetRequestHeader=X-A, b", "RemoveRequestHeader=x-a"],
         {"request_headers": {"remove": ["x-a"]}}),
        (["AddResponseHeader=X-A, b"], {"response_headers": {"add": {"X-A": "b"}}}),
        ([{"name": "SetResponseHeader", "args": {"name": "Vary", "value": "Cookie, Accept"}}],
         {"response_headers": {"set": {"Vary": "Cookie, Accept"}}}),
        (["RemoveResponseHeader=Server"], {"response_headers": {"remove": ["Server"]}}),
        (["PreserveHostHeader"], {"preserve_host": True}),
        (["Retry=3"], {"retries": 3}),
        ([{"name": "Retry", "args": {"retries": 1, "methods": ["GET", "PUT"]}}],
         {"retries": 1, "idempotent": ["GET", "PUT"]}),
        ([{"name": "RequestSize", "args": {"maxSize": "5MB"}}], {"max_body_bytes": 5242880}),
        ([{"name": "RequestSize", "args": {"max-size": 100}}], {"max_body_bytes": 100}),
        (["RedirectTo=302, https://new.example.com/shop"],
         {"redirect": {"to": "https://new.example.com/shop", "status": 302}}),
        (["RedirectTo=MOVED_PERMANENTLY, https://new.example.com"],
         {"redirect": {"to": "https://new.example.com", "status": 301}}),
    ],
)  # fmt: skip
def test_a_filter_becomes_the_keys_of_a_route(filters: Any, keys: Any, tmp_path: Path):
    """Both spellings of a filter mean the same, and nothing about it is left out."""
    status, document, findings = translated(yaml.safe_dump(routes_of(*filters)), tmp_path)

    assert (status, findings) == (0, "")
    assert only(document) == {"path": "/a"} | keys


@pytest.mark.parametrize(
    "predicate",
    [
        "Path=/a/{id}", "Path=/a/*", "Path=/a/v?/x", "Path=/a/*/b/**", "Path=/a/gr\u00f6\u00dfe",
        "Path=a/**", "Path=/a/../b", "Path=/a/b;c", "Path=",
        "Method=TRACE", "Method=", "Host=", "Host=www.*.com", "Host=a.com:8080",
        "Header=X-Id, [a-z&&[^b]]", "Header=X-Id, \\p{Alpha}", "Header=X-Id, a++b",
        "Header=X-Id, (?!a)b", "Header=X Y, 1", "Query=",
        "Cookie=a, (", "After=2030-01-01T00:00:00Z", "Before=2030-01-01T00:00:00Z",
        "Between=2030-01-01T00:00:00Z, 2031-01-01T00:00:00Z", "RemoteAddr=10.0.0.0/8",
        "XForwardedRemoteAddr=10.0.0.0/8", "Weight=g, 8", "ReadBody=x", "OurOwn=1", "", "=",
        {"name": "OurOwn"}, {}, "Header=X-Id, ${UNKNOWN}",
    ],
)  # fmt: skip
def test_a_route_without_one_of_its_predicates_is_closed(predicate: Any, tmp_path: Path):
    """A request that Spring would turn away does not pass because the import knows less."""
    file = routes_of(predicate or {"name": ""}, key="predicates", predicates=[])

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 1
    assert findings.startswith("left out: r: ")
    assert only(document)["keys"] == [CLOSED]
    loaded(document)


@pytest.mark.parametrize(
    "name",
    [
        "StripPrefix=2", "StripPrefix=x", "SetPath=/{segment}", "PrefixPath=/{tenant}",
        "PrefixPath=", "RewritePath=/b/(?<rest>.*), /$\\{rest}", "RewritePath=/a, /b",
        "RewritePath=/a/?(?<rest>.*), /x$\\{rest}", "RewritePath=/a/(?<x>.*), /$\\{y}",
        "RewritePath=/?(?<rest>.*), /v2/$\\{rest}", "RewritePath=(", "RewritePath=/a/(.*), /$2",
        "AddRequestHeader=X-A, {segment}", "AddRequestHeader=Host, x",
        "SetRequestHeader=Content-Length, 1", "AddRequestHeadersIfNotPresent=X-A:1",
        "AddRequestHeader=X-A", "RewritePath=/a/(?<rest>.*), /../$\\{rest}",
        "MapRequestHeader=X-A, X-B", "SetRequestHostHeader=a.com", "AddRequestParameter=a, b",
        "RemoveRequestParameter=a", "RequestRateLimiter", "TokenRelay=", "ModifyRequestBody",
        "SetStatus=401", "JwtAuth", "JsonToGrpc", "RedirectTo=302, /here", "RedirectTo=400, x",
    ],
)  # fmt: skip
def test_a_route_without_one_of_its_filters_is_closed(name: str, tmp_path: Path):
    """A filter that guards a service, or changes what it gets, is not lost without a word."""
    status, document, findings = translated(yaml.safe_dump(routes_of(name)), tmp_path)

    assert status == 1
    assert findings.startswith(f"left out: r: {name.rstrip('=')}")
    assert only(document)["keys"] == [CLOSED]
    loaded(document)


@pytest.mark.parametrize("side", ["Request", "Response"])
def test_a_field_that_the_gateway_writes_itself_is_left_out(side: str, tmp_path: Path):
    """Such as X-Forwarded-Prefix: the gateway refused the whole document for one of them."""
    for name in sorted(HANDLED if side == "Request" else RESPONSE_HANDLED):
        filters = [f"Set{side}Header={name.decode()}, 1", f"Remove{side}Header={name.decode()}"]
        for text in filters:
            status, document, findings = translated(yaml.safe_dump(routes_of(text)), tmp_path)

            assert status == 1
            assert findings.startswith(f"left out: r: {text}")
            loaded(document).compile()


def test_credentials_for_the_origin_null_are_left_out(tmp_path: Path):
    """As for every page: any page can be `null`."""
    file = routes_of(metadata={})
    rule = {"allowedOrigins": ["null", "https://a.com", "https://b.com:443"],
            "allowCredentials": True}  # fmt: skip
    file["spring"]["cloud"]["gateway"]["globalcors"] = {"cors-configurations": {"[/**]": rule}}

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 1
    assert "credentials for every page" in findings
    assert document["cors"]["origins"] == ["null", "https://a.com"]
    loaded(document).compile()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SecureHeaders", "response_headers"),
        ("LocalResponseCache=1m", "keeps no answers"),
        ("AddResponseHeader=X-A, {segment}", "fixed value"),
        ("SetResponseHeader=X-A, b, c", "comma"),
        ("DedupeResponseHeader=X-A", "let the service"),
        ({"name": "CircuitBreaker", "args": {"name": "c", "fallbackUri": "forward:/sorry"}},
         "fallback: {status: 503"),
    ],
)  # fmt: skip
def test_a_filter_that_guards_nothing_leaves_its_route_open(name: Any, words: str, tmp_path: Path):
    """A piece that only a client would miss is listed with what to write; the route is in force."""
    status, document, findings = translated(yaml.safe_dump(routes_of(name)), tmp_path)

    assert status == 1
    assert words in findings
    assert only(document) == {"path": "/a"}


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("DedupeResponseHeader=Access-Control-Allow-Origin Vary", {}, "cors"),
        ("SaveSession", {}, "not needed"),
        ("CacheRequestBody=x", {}, "replay_bytes"),
        ("CircuitBreaker=c", {}, "not needed"),
        ("Retry=9", {"retries": 5}, "5 retries"),
        ({"name": "RequestSize", "args": {"maxSize": "3GB"}}, {"max_body_bytes": 1 << 30}, "most"),
        ({"name": "RequestRateLimiter", "args": {"redis-rate-limiter": {"replenishRate": 10,
          "burstCapacity": 20}, "key-resolver": "#{@userKeyResolver}"}},
         {"rate_limit": {"per_second": 10, "burst": 20}}, "not each key"),
        ({"name": "RequestRateLimiter", "args": {"redis-rate-limiter.replenishRate": 1,
          "redis-rate-limiter.burstCapacity": 60, "redis-rate-limiter.requestedTokens": 60}},
         {"rate_limit": {"per_second": 1 / 60, "burst": 1}}, "not each key"),
    ],
)  # fmt: skip
def test_a_difference_is_a_note(name: Any, keys: Any, words: str, tmp_path: Path):
    """A piece that is carried over, but not quite, is told and does not change the exit status."""
    status, document, findings = translated(yaml.safe_dump(routes_of(name)), tmp_path)

    assert status == 0
    assert findings.startswith("note: ")
    assert words in findings
    assert only(document) == {"path": "/a"} | keys


def test_several_paths_are_several_routes(tmp_path: Path):
    """Each path has a name of its own, and the filters count for each."""
    file = routes_of("StripPrefix=1", predicates=["Path=/a/**,/b/c/**"])

    _, document, _ = translated(yaml.safe_dump(file), tmp_path)

    assert document["routes"] == [
        {"name": "r", "path": "/a", "service": "s", "strip_prefix": "/a"},
        {"name": "r-2", "path": "/b/c", "service": "s", "strip_prefix": "/b"},
    ]


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("lb://s", {"service": "s"}),
        ("lb:ws://s", {"service": "s", "upgrade": True}),
        ("lb://${SERVICE:s}", {"service": "s"}),
        ("http://10.0.0.1:80", {"service": "r", "keys": [CLOSED]}),
        ("forward:/x", {"service": "r", "keys": [CLOSED]}),
        ("no://op", {"service": "r", "keys": [CLOSED]}),
        ("lb://${SERVICE}", {"service": "r", "keys": [CLOSED]}),
        ("lb://", {"service": "r", "keys": [CLOSED]}),
        (None, {"service": "r", "keys": [CLOSED]}),
    ],
)
def test_the_address_names_a_service(uri: Any, keys: Any, tmp_path: Path):
    """An address outside Nacos keeps its path, closed, until the service is registered."""
    status, document, _ = translated(yaml.safe_dump(routes_of(uri=uri)), tmp_path)

    assert document["routes"] == [{"name": "r", "path": "/a"} | keys]
    assert status == ("keys" in keys)


@pytest.mark.parametrize(
    ("metadata", "client", "filters", "keys"),
    [
        ({"response-timeout": 200}, {}, [], {"timeout": 0.2, "per_try_timeout": 0.2}),
        ({"response-timeout": 2000}, {}, ["Retry=2"],
         {"retries": 2, "timeout": 6, "per_try_timeout": 2}),
        ({"response-timeout": -1}, {}, [], {"timeout": 3600, "per_try_timeout": 3600}),
        ({}, {"response-timeout": "5s"}, [], {}),
        ({}, {"response-timeout": "PT1M"}, ["Retry=1"],
         {"retries": 1, "timeout": 120, "per_try_timeout": 60}),
    ],
)  # fmt: skip
def test_times_are_an_attempts(metadata: Any, client: Any, filters: Any, keys: Any, tmp_path: Path):
    """Spring's time is that of one attempt; the document's `timeout` has all of them."""
    file = routes_of(*filters, metadata=metadata)
    file["spring"]["cloud"]["gateway"]["httpclient"] = client

    _, document, _ = translated(yaml.safe_dump(file), tmp_path)

    assert only(document) == {"path": "/a"} | keys
    whole = {"5s": 5, "PT1M": 60}.get(client.get("response-timeout"))
    assert document.get("defaults") == (
        {"timeout": whole, "per_try_timeout": whole} if whole else None
    )


@pytest.mark.parametrize(
    "prefix",
    [
        "spring.cloud.gateway", "spring.cloud.gateway.server.webflux", "spring.cloud.gateway.mvc",
        "spring.cloud.gateway.server.webmvc", "spring.cloud.gateway.server.mvc",
    ],
)  # fmt: skip
def test_every_version_of_spring_has_its_place_for_routes(prefix: str, tmp_path: Path):
    """The keys moved twice, and the servlet's gateway has its own."""
    route = {"id": "r", "uri": "lb://s", "predicates": ["Path=/a/**"]}

    status, document, _ = translated(yaml.safe_dump({prefix: {"routes": [route]}}), tmp_path)

    assert status == 0
    assert document["routes"] == [{"name": "r", "path": "/a", "service": "s"}]


def test_properties_say_the_same_as_yaml(tmp_path: Path):
    """Continued lines, escapes, lists by number and placeholders from the file itself."""
    text = r"""
# the shop
app.prefix = /shop
spring.cloud.gateway.routes[0].id=shop
spring.cloud.gateway.routes[0].uri : lb://shop-service
spring.cloud.gateway.routes[0].predicates[0]=Path=${app.prefix}/**,\
    /store/**
spring.cloud.gateway.routes[0].filters[0]=RewritePath=${app.prefix}/?(?<rest>.*), /$\\{rest}
spring.cloud.gateway.routes[1].id=m\u00fcnzen
spring.cloud.gateway.routes[1].uri=lb://coins
spring.cloud.gateway.routes[1].predicates[0].name=Path
spring.cloud.gateway.routes[1].predicates[0].args.patterns[0]=/coins/**
"""

    status, document, findings = translated(text, tmp_path, kind="properties")

    assert [route["path"] for route in document["routes"]] == ["/shop", "/store", "/coins"]
    assert document["routes"][2]["name"] == "m\u00fcnzen"
    assert "RewritePath" in findings  # /store does not begin with /shop
    assert status == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "yml",
            """
server.ssl.enabled: on
spring.cloud.gateway.routes: [{id: 010, uri: 'lb://s', predicates: [Path=/a/**]}]
""",
        ),
        (
            "properties",
            """
spring.cloud.gateway.routes[0].id 8
spring.cloud.gateway.routes[0].uri=lb://s
spring.cloud.gateway.routes[0].predicates[0]=Path=/a/**
""",
        ),
    ],
)
def test_a_file_means_what_it_means_to_spring(kind: str, text: str, tmp_path: Path):
    """Spring's YAML is of version 1.1, and a byte order mark is no part of its files."""
    status, document, _ = translated("\ufeff" + text, tmp_path, kind=kind)

    assert document["routes"] == [{"name": "8", "path": "/a", "service": "s"}]
    assert status == 0


def test_default_filters_are_of_every_route_and_come_first(tmp_path: Path):
    """Spring sorts both lists by place; a default filter is before a route's at the same place."""
    file = routes_of("PrefixPath=/second")
    file["spring"]["cloud"]["gateway"]["default-filters"] = [
        "StripPrefix=1",
        "AddRequestHeader=X-Edge, 1",
    ]

    _, document, _ = translated(yaml.safe_dump(file), tmp_path)

    assert only(document) == {
        "path": "/a",
        "strip_prefix": "/a",
        "rewrite": "/second",
        "request_headers": {"add": {"X-Edge": "1"}},
    }


def test_a_default_filter_that_is_left_out_closes_every_route_and_is_told_once(tmp_path: Path):
    """An authentication filter of all routes is not lost with the import."""
    gateway: dict[str, Any] = {
        "default-filters": ["JwtAuth"],
        "discovery": {"locator": {"enabled": True}},
        "routes": [
            {"id": name, "uri": "lb://s", "predicates": [f"Path=/{name}/**"]} for name in "ab"
        ],
    }

    _, document, findings = translated(yaml.safe_dump({"spring.cloud.gateway": gateway}), tmp_path)

    assert findings.count("JwtAuth") == 1
    assert [route["keys"] for route in document["routes"]] == [[CLOSED], [CLOSED]]
    assert document["by_name"] is False


@pytest.mark.parametrize(
    ("locator", "by_name", "status"),
    [
        (None, False, 0),
        ({"enabled": False}, False, 0),
        ({"enabled": True}, True, 0),
        ({"enabled": True, "lower-case-service-id": True}, True, 0),
        ({"enabled": True, "includeExpression": "metadata['edge'] == 'yes'"}, False, 1),
    ],
)
def test_services_are_reached_by_name_only_where_spring_does(
    locator: Any, by_name: bool, status: int, tmp_path: Path
):
    """Without the discovery locator, Spring has no such way; a rule for it closes it here."""
    file = {"spring.cloud.gateway": {"discovery": {"locator": locator}}}

    done, document, _ = translated(yaml.safe_dump(file), tmp_path)

    assert document["by_name"] is by_name
    assert done == status


def test_cors_for_all_and_for_some(tmp_path: Path):
    """The rule for /** is the document's, the others are their routes'."""
    file = routes_of(metadata={})
    file["spring"]["cloud"]["gateway"]["globalcors"] = {
        "cors-configurations": {
            "[/**]": {"allowedOrigins": "https://a.com, https://b.com", "allowed-methods": "*"},
            "[/a/**]": {
                "allowedOrigins": ["https://c.com"],
                "allowedHeaders": ["X-A"],
                "exposedHeaders": ["X-B"],
                "allowCredentials": True,
                "maxAge": 600,
            },
        }
    }

    status, document, _ = translated(yaml.safe_dump(file), tmp_path)

    assert status == 0
    assert document["cors"]["origins"] == ["https://a.com", "https://b.com"]
    assert len(document["cors"]["methods"]) == 7
    assert only(document)["cors"] == {
        "origins": ["https://c.com"],
        "methods": ["GET", "HEAD"],
        "headers": ["X-A"],
        "expose": ["X-B"],
        "credentials": True,
        "max_age": 600,
    }


@pytest.mark.parametrize("pattern", ["[/*]", "[/b/*]", "[/a/b/**]", "[b]"])
def test_a_cors_rule_is_not_for_more_than_its_paths(pattern: str, tmp_path: Path):
    """A rule for a part of a route, or for a pattern, is told and not put elsewhere."""
    file = routes_of()
    file["spring"]["cloud"]["gateway"]["globalcors"] = {
        "cors-configurations": {pattern: {"allowedOrigins": "https://a.com"}}
    }

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 1
    assert f"globalcors {pattern}" in findings
    assert "cors" not in document
    assert "cors" not in only(document)


def test_origin_patterns_are_left_out(tmp_path: Path):
    """An origin pattern is not taken for an origin, nor for all of them."""
    file = routes_of(metadata={"cors": {"allowedOriginPatterns": "https://*.a.com"}})

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 1
    assert "allowedOriginPatterns" in findings
    assert "cors" not in only(document)


def order(*routes: tuple[str, int, list[str]]) -> str:
    """Return a configuration with these routes: id, order, predicates."""
    return yaml.safe_dump(
        {
            "spring.cloud.gateway.routes": [
                {"id": name, "uri": f"lb://{name}", "order": place, "predicates": predicates}
                for name, place, predicates in routes
            ]
        }
    )


def test_a_route_that_spring_never_reaches_is_not_revived(tmp_path: Path):
    """The longest path would send it requests that Spring gives to the route before."""
    text = order(("inner", 1, ["Path=/a/b/**"]), ("outer", -1, ["Path=/a/**"]))

    status, document, findings = translated(text, tmp_path)

    assert [route["name"] for route in document["routes"]] == ["outer"]
    assert "left out: inner: Path=/a/b: Spring never gets here: outer comes before" in findings
    assert status == 1


def test_a_route_behind_a_condition_and_a_catch_all_is_not_revived(tmp_path: Path):
    """The first route that covers a path has a condition; the second one has all its requests."""
    text = order(("host", 0, ["Host=a.com"]), ("all", 0, ["Path=/**"]), ("a", 0, ["Path=/a/**"]))

    _, document, _ = translated(text, tmp_path)

    assert [route["name"] for route in document["routes"]] == ["host", "all"]


def test_a_route_that_is_switched_off_is_not_there(tmp_path: Path):
    """Its requests go to the route that Spring takes for them."""
    file = routes_of(enabled=False)

    status, document, findings = translated(yaml.safe_dump(file), tmp_path)

    assert (status, document["routes"]) == (0, [])
    assert "switched off" in findings


def test_an_order_that_decides_otherwise_is_told(tmp_path: Path):
    """A shorter path that Spring tries first, under a condition, loses to the longer one here."""
    text = order(("host", 0, ["Host=a.com"]), ("path", 0, ["Path=/a/**"]))

    status, document, findings = translated(text, tmp_path)

    assert [route["path"] for route in document["routes"]] == ["/", "/a"]
    assert "the longest path decides; in Spring host comes before" in findings
    assert status == 1


def test_longer_paths_first_is_no_matter_of_order(tmp_path: Path):
    """The usual order, from the longest path to the catch-all, has nothing to tell."""
    text = order(("b", 0, ["Path=/a/b/**"]), ("a", 0, ["Path=/a/**"]), ("all", 0, ["Path=/**"]))

    assert translated(text, tmp_path)[::2] == (0, "")


def test_profiles(tmp_path: Path):
    """A document of a profile counts when the profile is asked for, and is named when it is not."""
    text = order(("a", 0, ["Path=/a/**"])) + (
        "---\nspring.config.activate.on-profile: prod\n" + order(("b", 0, ["Path=/b/**"]))
    )

    status, document, findings = translated(text, tmp_path)
    _, active, _ = translated(text, tmp_path, "--profile", "prod")

    assert [route["name"] for route in document["routes"]] == ["a"]
    assert "profile prod" in findings
    assert status == 1
    assert [route["name"] for route in active["routes"]] == ["b"]


def test_the_group_of_the_services_is_named(tmp_path: Path):
    """Services of another group are not found until the gateway looks there."""
    file = routes_of()
    file["spring"]["cloud"]["nacos"] = {"discovery": {"group": "${GROUP:SHOP}"}}

    status, _, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 0
    assert "SHOP: the gateway has to look there too: NACOS_GROUP" in findings


def test_an_unknown_setting_and_security_are_named(tmp_path: Path):
    """A team reads that its security rules and the gateway's settings are not in the document."""
    file = routes_of()
    file["spring"]["cloud"]["gateway"]["metrics"] = {"enabled": True}
    file["spring"]["security"] = {"oauth2": {"client": "x"}}

    status, _, findings = translated(yaml.safe_dump(file), tmp_path)

    assert status == 1
    assert "metrics.enabled: true" in findings
    assert "Spring Security" in findings


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("application.yml", b"a: [", "line 1"),
        ("application.yml", b"a: 1\n---\nb: 1\nb: 2\n", "line 4"),
        ("application.yml", b"- a\n", "mapping"),
        ("application.yml", b"a: \xff", "UTF-8"),
        ("application.yml", b"[" * 100_000, "deep"),
        ("application.yml", b"#" * (MAX_BYTES + 1), "larger"),
        ("application.properties", b"a." * 100 + b"b=1", "parts"),
        ("application.properties", b"a=1\nb=\\u12", "line 2"),
        ("application.toml", b"", "ends in none of"),
        ("application.yml", b"spring.cloud.gateway.default-filters: '" + b"A," * 101 + b"'", "101"),
        (
            "application.properties",
            b"".join(b"spring.cloud.gateway.routes[%d].id=a\n" % i for i in range(1001)),
            "1001 routes",
        ),
        (
            "application.properties",
            b"".join(
                b"spring.cloud.gateway.routes[%d].predicates[0]=Path=%s\n"
                % (i, b",".join(b"/%d/%d" % (i, j) for j in range(100)))
                for i in range(11)
            ),
            "paths",
        ),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(
    name: str, content: bytes, words: str, tmp_path: Path
):
    """Nothing is written, the status is 2, and the message says what is wrong with the file."""
    source = tmp_path / name
    source.write_bytes(content)
    out, err = io.StringIO(), io.StringIO()

    status = run(parser().parse_args(["import", str(source)]), out, err)

    assert (status, out.getvalue()) == (2, "")
    assert words in err.getvalue()


def test_a_missing_file_and_wrong_use_are_status_2(tmp_path: Path):
    """A script tells them from a document with gaps."""
    command = Path(sys.executable).with_name("gateway-routes")
    for arguments in (["import", tmp_path / "none.yml"], ["export", "x"], []):
        done = subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def as_spring_sends(path: str, filters: list[str]) -> str:
    """Return the path that Spring sends for a request, as its filters are documented."""
    prefixed = False
    for one in filters:
        name, _, rest = one.partition("=")
        if name == "StripPrefix":
            path = "/" + "/".join(path.split("/")[1 + int(rest) :])
        elif name == "PrefixPath":
            path = path if prefixed else rest + path
            prefixed = True
        else:
            old, new = rest.split(", ")
            new = re.sub(r"\$\\?\{(\w+)\}", r"\\g<\1>", new)
            path = re.sub(old.replace("(?<", "(?P<"), new, path)
    return path


PATH_FILTERS = st.one_of(
    st.integers(0, 3).map("StripPrefix={}".format),
    st.sampled_from(["/a", "/v1", "/a/b"]).map("PrefixPath={}".format),
    st.builds(
        "RewritePath={}{}{}, {}{}$\\{{s}}".format,
        st.sampled_from(["", "^"]),
        st.sampled_from(["", "/a", "/b", "/a/b", "/v1", "/v"]),
        st.sampled_from(["/?(?<s>.*)", "/(?<s>.*)", "(?<s>/?.*)", "(?<s>.*)", "(?<s>/.*)"]),
        st.sampled_from(["", "/v2", "/a"]),
        st.sampled_from(["", "/"]),
    ),
)


@given(
    filters=st.lists(PATH_FILTERS, max_size=3),
    below=st.lists(st.sampled_from(["a", "b", "v1", "x"]), min_size=1, max_size=4),
)
@example(filters=["PrefixPath=/v1", "RewritePath=/v/(?<s>.*), /$\\{s}"], below=["x"])
@settings(max_examples=300, deadline=None)
def test_the_service_gets_the_path_that_spring_sends(
    filters: list[str], below: list[str], tmp_path_factory: pytest.TempPathFactory
):
    """An open route sends what Spring's filters make of the path, in whatever order they are."""
    file = routes_of(*filters, predicates=["Path=/a/b/**"])
    request = "/a/b/" + "/".join(below)

    _, document, _ = translated(yaml.safe_dump(file), tmp_path_factory.getbasetemp())
    (route,) = loaded(document).compile().routes

    assert route.matches(request.encode())
    if route.keys is None:
        assert route.rewrite(request.encode()).decode() == as_spring_sends(request, filters)


NAMES = st.sampled_from([*PREDICATES, *FILTERS, *NEEDLESS, *LEFT_OUT, *CLOSING, "Weight", "Own"])
WORDS = st.one_of(
    st.sampled_from(["/a", "/a/**", "/a/{id}", "/**", "/", "/a/?(?<rest>.*)", "/$\\{rest}"]),
    st.sampled_from(["GET", "X-A", "1", "2", "9" * 21, "5MB", "301", "true", "-1", "5s", "("]),
    st.sampled_from(["a.com", "**.a.com", "https://a.com", "\\d+", "${A}", "${A:/b/**}"]),
    st.text(max_size=12),
)
SHORT = st.builds("{}={},{}".format, NAMES, WORDS, WORDS) | NAMES
ARGUMENTS = st.sampled_from(["patterns", "name", "value", "regexp", "replacement", "parts", "url"])
MORE = st.sampled_from(["retries", "maxSize", "param", "redis-rate-limiter.replenishRate"])
FULL = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "args": st.dictionaries(
            ARGUMENTS | MORE | st.text(max_size=5),
            WORDS | st.integers() | st.lists(WORDS, max_size=2),
            max_size=3,
        )
    },
)
ANYTHING: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = st.lists(st.one_of(SHORT, FULL, ANYTHING), max_size=3)
ROUTE = st.fixed_dictionaries(
    {},
    optional={
        "id": WORDS,
        "uri": st.one_of(st.sampled_from(["lb://s", "lb:ws://s", "http://a:1", "no://op"]), WORDS),
        "predicates": PARTS,
        "filters": PARTS,
        "order": st.one_of(st.integers(-3, 3), WORDS),
        "enabled": st.booleans(),
        "metadata": st.fixed_dictionaries(
            {}, optional={"response-timeout": st.one_of(st.integers(), WORDS), "cors": ANYTHING}
        ),
    },
)
GATEWAY = st.fixed_dictionaries(
    {"routes": st.lists(st.one_of(ROUTE, ANYTHING), max_size=4)},
    optional={
        "default-filters": PARTS,
        "globalcors": st.one_of(
            ANYTHING,
            st.fixed_dictionaries(
                {"cors-configurations": st.dictionaries(
                    st.sampled_from(["[/**]", "[/a/**]", "[x", "*"]),
                    st.dictionaries(st.sampled_from(["allowedOrigins", "maxAge"]), WORDS))}
            ),
        ),
        "discovery": st.one_of(ANYTHING, st.just({"locator": {"enabled": True}})),
        "httpclient": st.dictionaries(st.sampled_from(["response-timeout", "pool"]), ANYTHING),
    },
)  # fmt: skip


@given(
    text=st.one_of(
        GATEWAY.map(lambda tree: yaml.safe_dump({"spring.cloud.gateway": tree})),
        ANYTHING.map(yaml.safe_dump),
        st.text(max_size=60),
    ),
    kind=st.sampled_from(["yml", "properties"]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_file_the_document_is_loaded_or_not_written(
    text: str, kind: str, tmp_path_factory: pytest.TempPathFactory
):
    """The command ends with 0, 1 or 2, and the gateway takes each document that it writes."""
    source = tmp_path_factory.getbasetemp() / f"any.{kind}"
    source.write_bytes(text.encode("utf-8", "surrogatepass"))
    out, err = io.StringIO(), io.StringIO()

    status = run(parser().parse_args(["import", str(source)]), out, err)

    assert status in (0, 1, 2)
    assert bool(out.getvalue()) == (status < 2)
    assert bool(err.getvalue()) or status == 0
    if out.getvalue():
        out.getvalue().encode()
        loaded(yaml.safe_load(out.getvalue())).compile()
