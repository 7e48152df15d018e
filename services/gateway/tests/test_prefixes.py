"""The prefixes of a service: where its own paths are reached at the gateway."""

import pytest
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import HANDLED, FieldCollector, check_head
from gateway.routing.prefixes import Prefix, prefixes

SERVICE = "cars"
EVERYWHERE = Prefix("/cars")


def head_of(target: str):
    fields = FieldCollector(HANDLED, MAX_FIELDS)
    fields.in_head = True
    fields.on_header(b"Host", b"h")
    return check_head(
        b"GET", target.encode(), fields, most_bytes=0, http10=False, keep_alive=True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"path": "/a", "strip_prefix": "/a"}, [Prefix("/a", "r"), EVERYWHERE]),
        (
            {"path": "/", "when": {"headers": {"x": "1"}}, "keys": ["0" * 64]},
            [EVERYWHERE],
        ),
        (
            {"path": "/a", "strip_prefix": "/a", "keys": ["0" * 64]},
            [Prefix("/a", "r", keyed=True), EVERYWHERE],
        ),
        ({"path": "/cars/y", "service": "other"}, [EVERYWHERE]),
        ({"path": "/cars", "service": "other"}, []),
        ({"path": "/"}, [Prefix("", "r")]),
        ({"path": "/a/b", "strip_prefix": "/a"}, [EVERYWHERE, Prefix("/a", "r", "/a/b")]),
        ({"path": "/api"}, [EVERYWHERE, Prefix("", "r", "/api")]),
        ({"path": "/a", "strip_prefix": "/a", "exact": True}, [EVERYWHERE]),
        ({"path": "/a", "strip_prefix": "/a", "rewrite": "/b"}, [EVERYWHERE]),
        ({"path": "/a", "strip_prefix": "/a", "when": {"headers": {"x": "1"}}}, [EVERYWHERE]),
        ({"path": "/a", "service": "other", "strip_prefix": "/a"}, [EVERYWHERE]),
    ],
)
def test_a_route_has_a_prefix_if_one_stands_for_the_services_root(by_document, route, expected):
    """Those by which all of the service is reached come first, then those of a part.

    A path of the service behind a prefix is that path when the service gets it.
    """
    table = by_document({"name": "r", "service": SERVICE, **route})

    found = prefixes(table, [SERVICE])[SERVICE]

    assert found == expected
    for one in found:
        path = one.below.removeprefix(one.path) + "/x"
        _, service, sent, _ = table.match(head_of(one.path + path))
        assert (service, sent.decode()) == (SERVICE, path)


@pytest.mark.parametrize("by_name", [False, ["other"]])
def test_a_service_that_is_closed_by_name_has_no_prefix_of_its_name(by_document, by_name):
    """What `by_name` closes is not told; nor is a service that no path can name."""
    assert prefixes(by_document(by_name=by_name), [SERVICE]) == {SERVICE: []}
    assert prefixes(by_document(), ["GROUP@@cars", SERVICE]) == {
        "GROUP@@cars": [],
        SERVICE: [EVERYWHERE],
    }


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ({}, []),
        ({"redirect": {"to": "/elsewhere"}, "service": None, "strip_prefix": None}, []),
        ({"rewrite": "/b"}, []),
        ({"when": {"headers": {"x": "1"}}}, [Prefix("/a", "second")]),
        ({"exact": True}, [Prefix("/a", "second")]),
    ],
)
def test_only_the_first_route_of_a_path_has_its_prefix(by_document, first, expected):
    """A second one answers no request that is told by its path alone."""
    stripped = {"path": "/a", "strip_prefix": "/a"}
    routes = [
        {"name": "first", "service": "other", **stripped, **first},
        {"name": "second", "service": SERVICE, **stripped},
    ]
    told = [{name: value for name, value in one.items() if value is not None} for one in routes]

    found = prefixes(by_document(*told), [SERVICE])[SERVICE]

    assert found == [*expected, EVERYWHERE]
