"""Requirements on what an attempt proves, and what that permits."""

import pytest
from failover import TABLE, Outcome, Then, classify_loss, classify_status
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


@given(status=st.integers(100, 599).filter(lambda status: status not in (502, 503, 504)))
def test_the_services_own_errors_are_answers(status: int):
    """500, 501, 429 and every 4xx are passed on, never retried, never held against the instance."""
    assert classify_status(status, retry_after=True, not_processed=True) is Outcome.ANSWERED
    assert TABLE[Outcome.ANSWERED].strikes == 0


@pytest.mark.parametrize(
    ("status", "retry_after", "not_processed", "expected"),
    [
        (503, True, False, Outcome.DECLINED),
        (503, False, True, Outcome.DECLINED),
        (503, False, False, Outcome.UNAVAILABLE),
        (502, True, True, Outcome.UNAVAILABLE),
        (504, True, True, Outcome.UNAVAILABLE),
    ],
)
def test_only_a_503_can_promise_that_the_request_did_not_run(
    status: int, retry_after: bool, not_processed: bool, expected: Outcome
):
    """502 and 504 come from something in between, which cannot know."""
    assert expected is classify_status(status, retry_after=retry_after, not_processed=not_processed)


@pytest.mark.parametrize(
    ("seen", "reused", "expected"),
    [
        (False, False, Outcome.BROKEN),
        (False, True, Outcome.STALE),
        (True, False, Outcome.GARBLED),
        (True, True, Outcome.GARBLED),
    ],
)
def test_a_lost_connection_is_judged_by_what_was_seen(seen: bool, reused: bool, expected: Outcome):
    """A byte of a response rules out the keep-alive race."""
    assert expected is classify_loss(seen=seen, reused=reused)
