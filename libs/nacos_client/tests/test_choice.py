"""When HTTP is used alone: never too soon, never for long once gRPC answers."""

from dataclasses import replace

from hypothesis import given, strategies as st
from nacos_client._sdk.choice import (
    GAP_SECONDS,
    HTTP_SECONDS,
    LEAST_ATTEMPTS,
    MOST_MISSES,
    Answering,
    Seen,
    Transport,
    choose,
)

CLOSED = Seen(
    connected=False, servers=1, unanswered=LEAST_ATTEMPTS, http_seconds=HTTP_SECONDS, misses=0
)
seen = st.builds(
    Seen,
    connected=st.booleans(),
    servers=st.integers(1, 9),
    unanswered=st.integers(0, 20),
    http_seconds=st.none() | st.floats(0, 60),
    misses=st.integers(0, 5),
)
transports = st.sampled_from(Transport)


@given(transports, seen)
def test_grpc_is_used_whenever_it_is_there(now: Transport, facts: Seen) -> None:
    """And only then."""
    assert (choose(now, facts) is Transport.GRPC) is facts.connected


@given(transports, seen)
def test_a_server_that_is_down_is_not_http_only(now: Transport, facts: Seen) -> None:
    """Where HTTP does not answer either, nothing is used."""
    down = replace(facts, connected=False, http_seconds=None, misses=MOST_MISSES)
    assert choose(now, down) is Transport.NONE


@given(seen)
def test_a_server_that_starts_is_not_http_only(facts: Seen) -> None:
    """It says by gRPC that it is not ready, however long HTTP has been answering."""
    assert choose(Transport.NONE, replace(facts, unanswered=0)) is not Transport.HTTP


def test_http_is_used_once_it_has_answered_for_a_while_and_grpc_has_not() -> None:
    """Every server is tried before, and each at least once."""
    assert choose(Transport.NONE, CLOSED) is Transport.HTTP
    assert choose(Transport.GRPC, CLOSED) is Transport.HTTP
    for short in (
        replace(CLOSED, unanswered=LEAST_ATTEMPTS - 1),
        replace(CLOSED, http_seconds=HTTP_SECONDS - 0.1),
        replace(CLOSED, servers=LEAST_ATTEMPTS + 1),
    ):
        assert choose(Transport.NONE, short) is Transport.NONE


@given(seen)
def test_http_is_kept_through_one_missing_answer(facts: Seen) -> None:
    """As long as gRPC is not there; a busy server may be slow once."""
    patient = replace(facts, connected=False, misses=MOST_MISSES - 1)
    assert choose(Transport.HTTP, patient) is Transport.HTTP


@given(st.lists(st.floats(0.1, 2 * GAP_SECONDS), min_size=1, max_size=20))
def test_the_time_of_answers_begins_anew_after_a_gap(pauses: list[float]) -> None:
    """An answer of long ago says nothing of a server that has just come back."""
    answering, now, since = Answering(), 100.0, 100.0
    answering.heard(now)
    for pause in pauses:
        now += pause
        since = now if now - answering.until > GAP_SECONDS else since
        answering.heard(now)
        assert answering.seconds(now) == now - since
    assert answering.seconds(now + GAP_SECONDS + 1) is None
    answering.missed()
    assert answering.seconds(now) is None
