"""The seconds between a failed login and the next."""

from itertools import pairwise

from hypothesis import given, strategies as st
from nacos_client import Denied, NacosError, Refused, Unreachable
from nacos_client._sdk.auth import ABSENT_SECONDS, RELOGIN_GROWTH, RELOGIN_SECONDS, pause_after

errors = st.sampled_from([Denied("no"), Refused("no", 500), Unreachable("nobody there")])


def pauses(failures: list[NacosError]) -> list[float]:
    """The pause after each of several logins that fail one after the other."""
    found, before, pause = [], None, 0.0
    for error in failures:
        pause = pause_after(error, before, pause)
        before = error
        found.append(pause)
    return found


@given(st.lists(errors, max_size=30), st.integers(1, 30))
def test_a_server_that_returns_is_met_at_once(earlier: list[NacosError], absent: int) -> None:
    """However long no server answered, the next login is a second away.

    A service that starts before Nacos does would otherwise be announced up to 15 s after it.
    """
    failures = [*earlier, *[Unreachable("nobody there")] * absent]

    assert pauses(failures)[len(earlier) :] == [ABSENT_SECONDS] * absent


@given(st.lists(errors, max_size=30), st.integers(2, 30))
def test_a_wrong_password_is_tried_ever_more_rarely(earlier: list[NacosError], denied: int) -> None:
    """Each refusal in a row lengthens the pause, up to the longest; the first ones come quickly.

    A new server refuses every login until its first password is set.
    """
    found = pauses([*earlier, Unreachable("nobody there"), *[Denied("no")] * denied])[-denied:]

    assert found[0] == RELOGIN_SECONDS[0]
    longest = RELOGIN_SECONDS[1]
    assert all(later == min(RELOGIN_GROWTH * pause, longest) for pause, later in pairwise(found))
