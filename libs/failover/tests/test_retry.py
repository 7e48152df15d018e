"""Requirements on the decision to try again."""

from dataclasses import replace

from failover import TABLE, Again, Outcome, RetryPolicy, Stop, Stopped, Then
from failover.retry import Facts, backoff, decide
from hypothesis import given, strategies as st

POLICY = RetryPolicy()
PLAIN = Facts(
    outcome=Outcome.BROKEN,
    repeatable=True,
    replayable=True,
    charged_attempts=1,
    repeated=1,
    untried=True,
    alone=False,
    left=10.0,
    answer_seconds=0.005,
)
DRAWS = st.floats(0, 1, exclude_max=True)
FACTS = st.builds(
    Facts,
    outcome=st.sampled_from(Outcome),
    repeatable=st.booleans(),
    replayable=st.booleans(),
    charged_attempts=st.integers(1, 5),
    repeated=st.integers(1, 5),
    untried=st.booleans(),
    alone=st.booleans(),
    left=st.floats(-1, 20),
    answer_seconds=st.floats(0.001, 1),
)


@given(facts=FACTS, draw=DRAWS)
def test_a_retry_is_never_against_the_table(facts: Facts, draw: float):
    """Whatever else is true, a NEVER in the table is never overruled."""
    rule = TABLE[facts.outcome]
    then = rule.repeatable if facts.repeatable else rule.otherwise

    if then is Then.NEVER:
        assert decide(facts, POLICY, draw) == Stop(Stopped.FORBIDDEN)


@given(facts=FACTS, draw=DRAWS)
def test_a_retry_keeps_within_attempts_and_deadline(facts: Facts, draw: float):
    """At most three attempts that count, and none that could not end in time."""
    decision = decide(facts, POLICY, draw)

    if isinstance(decision, Again):
        assert decision.fresh or facts.charged_attempts < POLICY.max_attempts
        assert 0 <= decision.delay < min(POLICY.cap, facts.left)
        assert facts.replayable or facts.outcome is Outcome.REFUSED


@given(facts=FACTS, draw=DRAWS)
def test_the_free_retry_is_for_the_keep_alive_race_only_and_once(facts: Facts, draw: float):
    """A second stale connection is charged like any other failure."""
    decision = decide(facts, POLICY, draw)

    if isinstance(decision, Again) and decision.fresh:
        assert facts.outcome is Outcome.STALE
        assert facts.repeated == 1


def test_a_refused_connection_costs_no_pause():
    """Nothing was sent, nobody is overloaded: the next instance is asked at once."""
    assert decide(replace(PLAIN, outcome=Outcome.REFUSED), POLICY, 0.99) == Again(0.0)


def test_other_retries_wait_a_random_moment():
    """Full jitter spreads the retries of many clients that failed together."""
    assert decide(PLAIN, POLICY, 0.0) == Again(0.0)
    assert decide(PLAIN, POLICY, 0.5) == Again(0.0125)


def test_the_only_instance_gets_one_more_chance_when_it_refuses():
    """It may be between two runs; a pause first, and once only."""
    alone = replace(PLAIN, outcome=Outcome.REFUSED, alone=True, untried=False)

    assert decide(alone, POLICY, 0.5) == Again(0.0125)
    assert decide(replace(alone, charged_attempts=2), POLICY, 0.5) == Stop(Stopped.NO_OTHER)


def test_an_instance_is_not_asked_twice():
    """When all were tried, the request ends."""
    assert decide(replace(PLAIN, untried=False), POLICY, 0.0) == Stop(Stopped.NO_OTHER)


def test_junk_is_retried_once():
    """An instance that does not speak HTTP may be one; two such are a misconfiguration."""
    junk = replace(PLAIN, outcome=Outcome.GARBLED)

    assert isinstance(decide(junk, POLICY, 0.0), Again)
    assert decide(replace(junk, repeated=2), POLICY, 0.0) == Stop(Stopped.FORBIDDEN)


def test_a_body_that_is_gone_is_not_sent_again():
    """A streamed upload can move on only as long as none of it was sent."""
    streamed = replace(PLAIN, replayable=False)

    assert decide(streamed, POLICY, 0.0) == Stop(Stopped.BODY_GONE)
    assert decide(replace(streamed, outcome=Outcome.REFUSED), POLICY, 0.0) == Again(0.0)


@given(attempts=st.integers(1, 60), draw=DRAWS)
def test_pauses_grow_to_a_cap(attempts: int, draw: float):
    """rand(0, min(250 ms, 25 ms * 2^(n-1)))."""
    longest = min(0.25, 0.025 * 2 ** (attempts - 1))

    assert 0 <= backoff(attempts, POLICY, draw) < longest
