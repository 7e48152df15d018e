"""Requirements on the retry budget, on a virtual clock."""

from failover import Budget, BudgetPolicy
from hypothesis import example, given, strategies as st

EVENTS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 40), st.integers(0, 40)), max_size=40)


@given(events=EVENTS)
@example(events=[(0.0, 1, 0), (1.0, 0, 21), (3.0, 0, 40), (3.0, 4, 40), (3.0, 0, 0)])
def test_amplification_is_bounded(events: list[tuple[float, int, int]]):
    """In any 10 s that end with a retry: retries <= 20 % of their requests + 10 a second.

    A retry stays right when the requests that earned it have left the window before it has.
    """
    budget, now = Budget(), 100.0
    requests: list[float] = []
    retries: list[float] = []
    for pause, arrived, wanted in events:
        now += pause
        for _ in range(arrived):
            budget.deposit(now)
        requests += [now] * arrived
        granted = sum(budget.withdraw(now) for _ in range(wanted))
        retries += [now] * granted
        if not granted:
            continue

        # Slots are whole seconds: what counts lies in the last 9 full seconds and this one.
        start = int(now) - 9
        earned = 0.2 * sum(moment >= start for moment in requests) + 100
        assert sum(moment >= start for moment in retries) <= earned


def test_the_floor_serves_a_quiet_service():
    """Without traffic, 10 a second for 10 seconds are there, and no more."""
    budget = Budget()

    assert sum(budget.withdraw(50.0) for _ in range(200)) == 100


def test_plenty_is_more_than_half():
    """Of the hundred retries of a quiet service, fewer than fifty are spent."""
    budget = Budget()
    while budget.plenty(50.0):
        assert budget.withdraw(50.0)

    assert budget.balance(50.0) == 50


def test_deposits_expire():
    """Yesterday's traffic does not pay for today's storm."""
    budget = Budget(BudgetPolicy(floor=0))
    for _ in range(100):
        budget.deposit(50.0)

    assert budget.balance(59.9) == 20
    assert budget.balance(60.0) == 0


def test_a_spent_retry_comes_back_after_the_window():
    """Retries count for ten seconds, like the requests that earned them."""
    budget = Budget()
    for _ in range(100):
        budget.withdraw(50.0)

    assert not budget.withdraw(59.0)
    assert budget.withdraw(60.0)
