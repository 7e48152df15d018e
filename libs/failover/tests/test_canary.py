"""Requirements on canaries: only requests that ask for one meet it."""

from collections import Counter

import pytest
from failover import (
    Again,
    Balancer,
    Cause,
    EjectionPolicy,
    Instance,
    Member,
    NoInstance,
    Outcome,
    RetryState,
    Stop,
    Stopped,
    Subset,
)
from hypothesis import given, strategies as st

CANARY = {"gateway.canary": "true", "model_version": "2"}
WANTS_CANARY = Subset(labels=(("model_version", "2"),))
REST = Subset(without=(WANTS_CANARY.labels,))


def balancer_of(*instances: Instance, **options: object) -> Balancer:
    balancer = Balancer(**options)  # type: ignore[arg-type]
    balancer.sync(instances, 0.0)
    return balancer


def normal(port: int, **fields: object) -> Instance:
    return Instance("10.0.0.1", port, metadata={"model_version": "1"}, **fields)  # type: ignore[arg-type]


def canary(port: int, **fields: object) -> Instance:
    return Instance("10.0.0.2", port, weight=0.0, metadata=CANARY, **fields)  # type: ignore[arg-type]


def request(subset: Subset = Subset()) -> RetryState:  # noqa: B008 - a frozen value
    return RetryState(repeatable=True, deadline=1000.0, subset=subset)


def met(balancer: Balancer, subset: Subset, draws: int = 40, now: float = 0.0) -> set[str]:
    """Return the addresses that requests of a subset meet, one after the other."""
    found = set()
    for number in range(draws):
        one = request(subset)
        member = balancer.pick(one, now, number / draws)
        assert isinstance(member, Member)
        found.add(member.address)
        balancer.record(one, Outcome.ANSWERED, now, 0.5)
    return found


@pytest.mark.parametrize("subset", [Subset(), REST, Subset(labels=(("model_version", "1"),))])
def test_who_does_not_ask_for_a_canary_never_meets_one(subset: Subset):
    """Neither by chance, nor as the rest of a split, nor by labels that the canary lacks."""
    balancer = balancer_of(normal(1), normal(2), canary(3))

    assert met(balancer, subset) == {"10.0.0.1:1", "10.0.0.1:2"}


def test_who_asks_for_a_canary_meets_it_though_it_has_no_weight():
    """Two of them share evenly: without a weight in Nacos each counts as normal."""
    balancer = balancer_of(normal(1), canary(3), canary(4))

    assert met(balancer, WANTS_CANARY) == {"10.0.0.2:3", "10.0.0.2:4"}


def test_an_instance_without_weight_that_is_no_canary_is_out_of_traffic():
    """Weight 0 alone means what it always did."""
    balancer = balancer_of(normal(1), normal(2, weight=0.0))

    assert met(balancer, Subset()) == met(balancer, REST) == {"10.0.0.1:1"}


def test_a_canary_in_trouble_leaves_its_share_to_the_others():
    """Refused, the attempt goes on at a normal instance; ejected, the share goes there at once."""
    balancer = balancer_of(normal(1), canary(3))
    one = request(WANTS_CANARY)
    first = balancer.pick(one, 0.0, 0.5)
    assert isinstance(first, Member)
    assert first.address == "10.0.0.2:3"
    balancer.record(one, Outcome.REFUSED, 0.0, 0.5)

    assert isinstance(balancer.decide(one, Outcome.REFUSED, 0.0, 0.5), Again)
    second = balancer.pick(one, 0.0, 0.5)
    assert isinstance(second, Member)
    assert second.address == "10.0.0.1:1"
    assert met(balancer, WANTS_CANARY) == {"10.0.0.1:1"}


def test_no_request_that_did_not_ask_probes_an_ejected_canary():
    """Its probe is one of its own requests, which brings it back."""
    balancer = balancer_of(normal(1), canary(3))
    member = balancer.members["10.0.0.2:3"]
    member.ejection.eject(Cause.REFUSED, 0.0, 0.5, None)
    balancer.drain("10.0.0.2:3", drained=False)
    later = member.ejection.until + 100.0

    assert met(balancer, Subset(), now=later) == {"10.0.0.1:1"}
    assert met(balancer, WANTS_CANARY, now=later) == {"10.0.0.2:3"}
    assert member.ejection.cause is None


def test_a_failed_request_does_not_go_on_at_a_canary():
    """One normal instance beside a canary is alone: there is no other to try."""
    balancer = balancer_of(normal(1), canary(3))
    one = request()
    assert isinstance(balancer.pick(one, 0.0, 0.5), Member)
    assert not one.may_be_followed
    balancer.record(one, Outcome.BROKEN, 0.0, 0.5)

    assert balancer.decide(one, Outcome.BROKEN, 0.0, 0.5) == Stop(Stopped.NO_OTHER)
    assert balancer.pick(one, 0.0, 0.5) is NoInstance.TRIED


def test_a_slow_request_is_not_hedged_by_a_canary():
    """A second attempt beside the first meets whom the first could meet."""
    balancer = balancer_of(normal(1), canary(3))
    one = request()
    balancer.pick(one, 0.0, 0.5)

    assert balancer.hedge(one, 1.0, 0.5) is None


def test_the_last_normal_instance_is_not_judged_out_because_canaries_stay():
    """Failures eject at most half of the instances that default traffic has, and not the last."""
    balancer = balancer_of(normal(1), canary(3), canary(4), ejection=EjectionPolicy(consecutive=1))
    for _ in range(9):
        one = request()
        balancer.pick(one, 0.0, 0.5)
        balancer.record(one, Outcome.BROKEN, 0.0, 0.5)

    assert balancer.members["10.0.0.1:1"].ejection.cause is None


def test_where_there_are_canaries_only_they_serve():
    """A service never lacks an instance because of a label."""
    balancer = balancer_of(canary(3), canary(4))

    assert met(balancer, Subset()) == {"10.0.0.2:3", "10.0.0.2:4"}
    balancer.sync([canary(3), normal(1)], 1.0)
    assert met(balancer, Subset()) == {"10.0.0.1:1"}


@given(
    normals=st.integers(1, 6),
    canaries=st.integers(0, 6),
    share=st.sampled_from([0.1, 0.5]),
    draw=st.randoms(use_true_random=False),
)
def test_a_share_is_exact_whatever_the_numbers_of_instances(
    normals: int, canaries: int, share: float, draw
):
    """Of 200 requests, those that ask for the canary reach it, and no other does."""
    balancer = balancer_of(
        *(normal(port) for port in range(1, normals + 1)),
        *(canary(port) for port in range(1, canaries + 1)),
    )
    seen: Counter[tuple[bool, bool]] = Counter()
    for _ in range(200):
        asks = draw.random() < share
        one = request(WANTS_CANARY if asks else REST)
        member = balancer.pick(one, 0.0, draw.random())
        assert isinstance(member, Member)
        seen[asks, member.instance.canary] += 1
        balancer.record(one, Outcome.ANSWERED, 0.0, 0.5)

    assert seen[False, True] == 0
    assert seen[True, False] == 0 or canaries == 0
