"""Requirements on what a service's instances declare."""

from failover import IDEMPOTENT_METHODS, Declared, may_run_twice
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


WORDS = st.none() | st.booleans()


@given(method=st.sampled_from([*sorted(IDEMPOTENT_METHODS), "POST", "PATCH"]), path=PATHS,
       caller=WORDS, operator=WORDS, owner=st.booleans())  # fmt: skip
def test_the_first_party_that_says_anything_decides(
    method: str, path: str, caller: bool | None, operator: bool | None, owner: bool
):
    """The caller's word, then the method, then the route's word, then the service's owner."""
    declared = Declared([labels(f"{method} {path}" if owner else "")])
    said = [caller, True if method in IDEMPOTENT_METHODS else None, operator, owner]
    first = next(word for word in said if word is not None)

    assert may_run_twice(method, path, declared, caller=caller, operator=operator) is first
