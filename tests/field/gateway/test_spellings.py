"""A route's protection is not passed by a path that a server behind it reads differently."""

import pytest
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import HANDLED, FieldCollector, Head, check_head
from gateway.http.problems import LocalReply
from gateway.routing.document import RoutesDocument
from gateway.routing.spelling import other_readings
from gateway.routing.table import Table
from hypothesis import given, strategies as st

KEY = "0" * 64
TABLE = RoutesDocument.model_validate(
    {
        "by_name": False,
        "routes": [
            {"path": "/app", "service": "shop"},
            {"path": "/app/admin", "service": "shop", "keys": [KEY]},
            {"path": "/spring", "service": "shop"},
            {"path": "/spring/admin/list", "service": "shop", "exact": True, "keys": [KEY]},
        ],
    }
).compile()


def head(target: str, method: str = "GET") -> Head:
    fields = FieldCollector(HANDLED, MAX_FIELDS)
    fields.in_head = True
    fields.on_header(b"Host", b"h")
    return check_head(
        method.encode(), target.encode(), fields, most_bytes=0, http10=False, keep_alive=True
    )


def answer(table: Table, target: str, method: str = "GET") -> str | int:
    """Return the name of the route of a request and the target it sends on, or the status."""
    try:
        route, _, sent, _ = table.match(head(target, method))
    except LocalReply as reply:
        return reply.status
    return f"{route.name} {sent.decode()}"


@pytest.mark.parametrize(
    "target",
    [
        "/app/admin;x=1/list",
        "/app//admin/list",
        "/app/x/..;/admin/list",
        "/app/.;/admin/list",
        "/app/%2e%2e;/app/admin/list",
        "//app/admin",
        "/spring/admin/list;a",
        "/spring//admin/list",
        "/spring/admin/list/",
        "/app/admin/..;/list",
        "/app/%3b/admin",
    ],
)
def test_a_spelling_that_java_reads_as_the_protected_path_is_refused(target: str):
    """Tomcat and Spring cut parameters and drop empty segments (istio 27409)."""
    assert answer(TABLE, target) == 400


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/app/cars;color=red/1", "/app"),
        ("/app/cars//1", "/app"),
        ("/app/admin;x=1", 400),
        ("/app/admin/list;a=1;b", "/app/admin"),
        ("/app/admin//list", "/app/admin"),
        ("/app/;jsessionid=1", "/app"),
        ("/app/cars/", "/app"),
        ("/app/admin/list/", "/app/admin"),
    ],
)
def test_parameters_and_empty_segments_pass_where_the_route_is_the_same(
    target: str, route: str | int
):
    """Byte for byte: matrix variables and session ids are the service's own."""
    assert answer(TABLE, target) == (route if route == 400 else f"{route} {target}")


def test_an_exact_route_with_a_last_slash_is_not_passed_without_it():
    """Express and FastAPI lead `/app/list` to `/app/list/`; another service's path is its own."""
    table = RoutesDocument.model_validate(
        {
            "by_name": False,
            "routes": [
                {"path": "/app", "service": "shop"},
                {"path": "/app/list/", "service": "shop", "exact": True, "keys": [KEY]},
                {"path": "/app/docs/", "service": "docs", "exact": True},
                {"path": "/app/both/", "service": "shop", "exact": True},
                {"path": "/app/both", "service": "shop", "exact": True, "keys": [KEY]},
                {"path": "/app/some/", "service": "shop", "exact": True, "keys": [KEY],
                 "when": {"headers": {"x": "1"}}},
            ],
        }
    ).compile()  # fmt: skip

    assert answer(table, "/app/list/") == "/app/list/ /app/list/"
    assert answer(table, "/app/list") == 400
    assert answer(table, "/app/docs") == "/app /app/docs"
    assert answer(table, "/app/both") == "/app/both /app/both"
    assert answer(table, "/app/some") == "/app /app/some"
    asking = head("/app/some")
    asking.lines += b"X: 1\r\n"
    with pytest.raises(LocalReply):
        table.match(asking)


WORDS = st.sampled_from(["app", "admin", "x", "spring", "list"])
SEGMENTS = st.lists(WORDS, min_size=1, max_size=4)
DISGUISES = st.sampled_from(["", ";", ";a=1", "/", "/.;/", "/z/..;", "%3b", "%3bq/"])


@given(segments=SEGMENTS, disguises=st.lists(DISGUISES, min_size=4, max_size=4))
def test_no_spelling_dodges_a_route(segments: list[str], disguises: list[str]):
    """However a path is disguised, it is refused or has the route of every way to read it."""
    target = "".join(f"/{one}{more}" for one, more in zip(segments, disguises, strict=False))
    request = head(target)

    found = answer(TABLE, target)

    readings = {answer(TABLE, one.decode()) for one in other_readings(request.path)}
    routes = {one if isinstance(one, int) else one.split()[0] for one in (found, *readings)}
    assert found in (400, 404) or len(routes - {400}) == 1


def test_the_longest_path_decides_which_methods_are_allowed():
    """A POST that the longer route does not allow does not fall to a shorter, open route."""
    table = RoutesDocument.model_validate(
        {
            "routes": [
                {"path": "/app", "service": "shop"},
                {"path": "/app/admin", "service": "shop", "methods": ["GET"]},
            ]
        }
    ).compile()

    assert answer(table, "/app/admin") == "/app/admin /app/admin"
    assert answer(table, "/app/admin", "POST") == 405
    assert answer(table, "/app/x", "POST") == "/app /app/x"


@pytest.mark.parametrize("target", ["/shop;a/x", "/shop/..;/bank/x", "//shop/x", "/;/shop/x"])
def test_a_service_named_in_the_path_has_one_name(target: str):
    """By name too: a path that another server reads as another service's is refused."""
    assert answer(RoutesDocument().compile(), target) == 400
    assert answer(RoutesDocument().compile(), "/shop/a;b//c") == "by-name /a;b//c"


PATHS = st.lists(st.sampled_from(["a", "ab", "b"]), max_size=4).map("/".join)


@given(
    routes=st.lists(st.tuples(PATHS, st.booleans()), max_size=8, unique=True),
    path=PATHS,
    slash=st.sampled_from(["", "/"]),
)
def test_the_longest_path_is_found_among_all(routes: list[tuple[str, bool]], path: str, slash: str):
    """By whole segments; an exact path as it is written."""
    entries = [
        {"name": f"/{one}{'!' * exact}", "path": f"/{one}", "service": "s", "exact": exact}
        for one, exact in routes
    ]
    table = RoutesDocument.model_validate({"by_name": False, "routes": entries}).compile()
    target = f"/{path}{slash}"
    matching = [
        f"/{one}"
        for one, exact in routes
        if target == f"/{one}" or (not exact and (not one or target.startswith(f"/{one}/")))
    ]

    found = answer(table, target)

    if isinstance(found, int):
        assert found == 400 or not matching
    else:
        assert found.split()[0].removesuffix("!") == max(matching, key=len)
