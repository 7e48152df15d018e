"""Requirements on what an attempt proves, and what that permits."""

import pytest
from failover import TABLE, Outcome, Then, judge_loss, judge_response
from hypothesis import given, strategies as st


def test_every_outcome_has_a_rule():
    """No outcome is left to chance."""
    assert set(TABLE) == set(Outcome)


def test_a_request_that_must_not_run_twice_is_repeated_only_when_it_provably_did_not_run():
    """Undeclared POSTs: refused connections and explicit 'not processed' answers, nothing else."""
    allowed = {outcome for outcome, rule in TABLE.items() if rule.otherwise is not Then.NEVER}

    assert {Outcome.REFUSED, Outcome.DECLINED} == allowed


def test_declaring_a_request_repeatable_never_forbids_anything():
    """The left column of the table is at least as permissive as the right one."""
    for rule in TABLE.values():
        assert rule.otherwise is Then.NEVER or rule.repeatable is rule.otherwise


def test_nothing_is_repeated_once_the_client_has_seen_the_head_or_left():
    """A committed response cannot be taken back."""
    for outcome in (Outcome.ANSWERED, Outcome.CUT, Outcome.ABANDONED):
        assert TABLE[outcome].repeatable is Then.NEVER


def judged(status: int, *, retry_after: str | None = None, not_processed: str | None = None):
    return judge_response(
        status, retry_after=retry_after, not_processed=not_processed, retry=None, wall=0.0
    )


@given(status=st.integers(100, 599).filter(lambda status: status not in (502, 503, 504)))
def test_the_services_own_errors_are_answers(status: int):
    """500, 501, 429 and every 4xx are passed on, never retried, never held against the instance."""
    assert judged(status, retry_after="3", not_processed="1").outcome is Outcome.ANSWERED
    assert TABLE[Outcome.ANSWERED].strikes == 0


@pytest.mark.parametrize(
    ("status", "retry_after", "not_processed", "expected"),
    [
        (503, "3", None, Outcome.DECLINED),
        (503, None, "1", Outcome.DECLINED),
        (503, None, None, Outcome.UNAVAILABLE),
        (503, "soon", None, Outcome.UNAVAILABLE),
        (503, None, "0", Outcome.UNAVAILABLE),
        (502, "3", "1", Outcome.UNAVAILABLE),
        (504, "3", "1", Outcome.UNAVAILABLE),
    ],
)
def test_only_a_503_can_promise_that_the_request_did_not_run(
    status: int, retry_after: str | None, not_processed: str | None, expected: Outcome
):
    """502 and 504 come from something in between, which cannot know."""
    assert expected is judged(status, retry_after=retry_after, not_processed=not_processed).outcome


def test_a_response_says_how_long_to_pause_and_whether_to_try_again():
    """`Retry-After` is read as seconds; only the word `never` forbids another attempt."""
    judgement = judge_response(503, retry_after="7", not_processed=None, retry="never", wall=0.0)

    assert (judgement.retry_after, judgement.retry_forbidden) == (7.0, True)
    other = judge_response(503, retry_after=None, not_processed=None, retry="no", wall=0.0)
    assert (other.retry_after, other.retry_forbidden) == (None, False)


@pytest.mark.parametrize(
    ("response_begun", "reused", "expected"),
    [
        (False, False, Outcome.BROKEN),
        (False, True, Outcome.STALE),
        (True, False, Outcome.GARBLED),
        (True, True, Outcome.GARBLED),
    ],
)
def test_a_lost_connection_is_judged_by_what_was_seen(
    response_begun: bool, reused: bool, expected: Outcome
):
    """A byte of a response rules out the keep-alive race."""
    assert expected is judge_loss(response_begun=response_begun, reused=reused)
