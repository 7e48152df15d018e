"""Requirements on what a service's instances declare."""

from failover import Declared
from hypothesis import given, strategies as st

METHODS = st.sampled_from(["GET", "POST", "PATCH"])
PATHS = st.from_regex(r"(/[a-z0-9.]{1,4}){1,3}", fullmatch=True)


def labels(text: str) -> dict[str, str]:
    return {"gateway.idempotent": text}


def test_an_entry_is_a_method_and_a_path():
    """Commas or semicolons between them, spaces do not matter; nothing else is meant."""
    declared = Declared([labels(" POST   /predict ; GET /x,, ")])

    assert declared
    assert declared.allows("POST", "/predict")
    assert declared.allows("GET", "/x")
    for method, path in (("GET", "/predict"), ("POST", "/predict/"), ("POST", "/"), ("", "")):
        assert not declared.allows(method, path)


def test_a_star_is_one_segment():
    """Not several, not none, and dots are dots."""
    declared = Declared([labels("POST /v2/models/*/infer, GET /a.b/*")])

    assert declared.allows("POST", "/v2/models/car/infer")
    for path in ("/v2/models//infer", "/v2/models/a/b/infer", "/v2/models/infer"):
        assert not declared.allows("POST", path)
    assert declared.allows("GET", "/a.b/c")
    assert not declared.allows("GET", "/aXb/c")


@given(method=METHODS, path=PATHS, count=st.integers(1, 4), silent=st.integers(0, 3))
def test_all_instances_must_say_so(method: str, path: str, count: int, silent: int):
    """Any of them may be the one to repeat it; without any, nothing is declared."""
    said = [labels(f"{method} {path}")] * count

    assert Declared(said).allows(method, path)
    assert Declared([*said, *[{}] * silent]).allows(method, path) is (silent == 0)
    assert not Declared([])
