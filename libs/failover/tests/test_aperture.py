"""Requirements on the aperture: how callers share instances out, and what a request still gets."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from failover import (
    Aperture,
    Balancer,
    EjectionPolicy,
    Instance,
    Member,
    NoInstance,
    Outcome,
    RetryPolicy,
    RetryState,
    Subset,
)
from hypothesis import given, strategies as st

COUNTS = st.integers(1, 120)
CALLERS = st.integers(1, 40)


def members_of(count: int, *, but: int | None = None) -> list[Member]:
    return [
        Member(Instance("10.0.0.1", port), EjectionPolicy(), limit=9, cost=0.01, now=0.0)
        for port in range(1, count + 1)
        if port != but
    ]


def names_of(callers: int, *, but: int | None = None) -> list[str]:
    return [f"10.1.0.{place}:8000" for place in range(callers) if place != but]


def preferred(
    callers: Sequence[str], members: Sequence[Member], size: int
) -> dict[str, frozenset[str]]:
    """Return the addresses that each caller prefers."""
    return {
        own: frozenset(
            member.address for member in Aperture.among(callers, own, size=size).divide(members)[0]
        )
        for own in callers
    }


@given(count=COUNTS, callers=CALLERS, size=COUNTS)
def test_each_instance_has_as_many_callers_as_any_other(count: int, callers: int, size: int):
    """And each caller as many instances, but for one: the load is even where callers are."""
    shares = preferred(names_of(callers), members_of(count), size)
    met = Counter(address for share in shares.values() for address in share)

    assert len(met) == count
    assert len(set(met.values())) == 1
    lengths = [len(share) for share in shares.values()]
    assert max(lengths) - min(lengths) <= 1


@given(count=COUNTS, callers=CALLERS, size=COUNTS)
def test_the_size_is_kept_about(count: int, callers: int, size: int):
    """From two thirds to four thirds; all of a service that is no larger; more if some had none."""
    for share in preferred(names_of(callers), members_of(count), size).values():
        if count <= size:
            assert len(share) == count
        elif callers * size < count:
            assert abs(len(share) - count / callers) < 1
        else:
            assert size * 2 / 3 - 1 <= len(share) <= size * 4 / 3 + 1


@given(count=COUNTS, callers=CALLERS, size=COUNTS, shuffled=st.randoms(use_true_random=False))
def test_the_order_in_which_others_are_listed_does_not_matter(count, callers, size, shuffled):
    """Nor do addresses that are listed twice, or the own one that is not listed yet."""
    names, members = names_of(callers), members_of(count)
    expected = preferred(names, members, size)
    shuffled.shuffle(members)
    mixed = [*names, *names]
    shuffled.shuffle(mixed)

    for own in names:
        others = [name for name in mixed if name != own]
        near, far = Aperture.among(others, own, size=size).divide(members)
        assert frozenset(member.address for member in near) == expected[own]
        assert Counter([*near, *far]) == Counter(members)


def layers(count: int, callers: int, size: int) -> int:
    """Return how many callers prefer each instance."""
    shares = preferred(names_of(callers), members_of(count), size)
    return sum(map(len, shares.values())) // count


@given(count=st.integers(2, 120), callers=CALLERS, size=COUNTS, left=st.integers(0, 119))
def test_an_instance_that_leaves_costs_each_caller_two_new_connections(count, callers, size, left):
    """At most, whoever the instance was; a part more for each layer that is added."""
    before = preferred(names_of(callers), members_of(count), size)
    after = preferred(names_of(callers), members_of(count, but=1 + left % count), size)

    part = -(-count // callers)
    added = max(0, layers(count - 1, callers, size) - layers(count, callers, size))
    assert all(len(after[name] - before[name]) <= 2 + added * part for name in after)


@given(count=COUNTS, callers=st.integers(2, 40), size=COUNTS, left=st.integers(0, 39))
def test_a_caller_that_leaves_moves_the_borders_by_two_parts(count, callers, size, left):
    """At most, where a part is the instances divided by the callers that are left."""
    before = preferred(names_of(callers), members_of(count), size)
    after = preferred(names_of(callers, but=left % callers), members_of(count), size)

    part = -(-count // (callers - 1))
    added = max(0, layers(count, callers - 1, size) - layers(count, callers, size))
    assert all(len(after[name] - before[name]) <= (2 + added) * part for name in after)


def instances(ports: Iterable[int], **fields: object) -> list[Instance]:
    return [Instance("10.0.0.1", port, **fields) for port in ports]  # type: ignore[arg-type]


def narrowed(*found: Instance, size: int = 5, callers: int = 4, **options: object) -> Balancer:
    balancer = Balancer(cluster="A", **options)  # type: ignore[arg-type]
    balancer.sync(found, 0.0)
    balancer.narrow(Aperture(size, 0, callers))
    return balancer


def request(**options: object) -> RetryState:
    return RetryState(repeatable=True, deadline=1000.0, **options)  # type: ignore[arg-type]


def met(balancer: Balancer, *, now: float = 1.0, **options: object) -> set[str]:
    """Return the addresses of a few hundred requests that are answered."""
    found = set()
    for number in range(400):
        one = request(**options)
        member = balancer.pick(one, now, number / 400)
        assert isinstance(member, Member)
        found.add(member.address)
        balancer.record(one, Outcome.ANSWERED, now, 0.5, took=0.0)
    return found


def addresses(members: Iterable[Member]) -> set[str]:
    return {member.address for member in members}


def test_requests_meet_the_aperture_alone():
    """Five of twenty, and all twenty once the aperture is taken away."""
    balancer = narrowed(*instances(range(1, 21)))

    assert met(balancer) == addresses(balancer.preferred)
    assert len(balancer.preferred) == 5
    balancer.narrow(None)
    assert len(met(balancer)) == 20


def test_the_own_cluster_comes_first_and_is_divided_by_itself():
    """Of twelve near and twelve far instances a gateway of four meets three near ones."""
    near = instances(range(1, 13), cluster="A")
    balancer = narrowed(*near, *instances(range(13, 25), cluster="B"), size=3)

    assert len(met(balancer)) == 3
    assert met(balancer) <= {instance.address for instance in near}


def test_an_ejected_instance_is_replaced_in_the_aperture():
    """As many instances as before get the requests, and the ejected one none."""
    balancer = narrowed(*instances(range(1, 21)))
    before, victim = addresses(balancer.preferred), balancer.preferred[0]
    one = request()
    balancer.start_attempt(one, victim, 1.0)
    balancer.record(one, Outcome.REFUSED, 1.0, 0.9)

    after = met(balancer, now=1.1)

    assert victim.address not in after
    assert len(after) >= 4
    assert len(after - before) <= 2


def test_a_retry_goes_on_beyond_the_aperture():
    """A request visits every instance of the service before there is none."""
    balancer = narrowed(*instances(range(1, 9), cluster="A"), *instances([9, 10], cluster="B"))
    one, visited = request(policy=RetryPolicy(max_attempts=99)), []
    while isinstance(member := balancer.pick(one, 1.0, 0.5), Member):
        visited.append(member)
        balancer.record(one, Outcome.BROKEN, 1.0, 0.5)

    assert member is NoInstance.TRIED
    assert addresses(visited) == set(balancer.members)
    assert addresses(visited[:5]) < {i.address for i in instances(range(1, 9))}


def test_requests_go_beyond_an_aperture_without_room():
    """Nothing waits while another instance of the service has room."""
    balancer = narrowed(*instances(range(1, 21)), max_in_flight=1)
    inside = addresses(balancer.preferred)

    taken = [balancer.pick(request(), 1.0, 0.5) for _ in range(20)]

    assert addresses(m for m in taken[:5] if isinstance(m, Member)) == inside
    assert addresses(m for m in taken if isinstance(m, Member)) == set(balancer.members)
    assert balancer.pick(request(), 1.0, 0.5) is NoInstance.FULL


def test_a_hedge_stays_in_the_aperture_while_it_can():
    """The second attempt needs no new connection either; beyond, if the aperture has no other."""
    balancer = narrowed(*instances(range(1, 21)))
    balancer.budget.deposit(0.0)
    for tried, inside in ((balancer.preferred[:1], True), (balancer.preferred, False)):
        one = request()
        balancer.start_attempt(one, tried[0], 1.0)
        one.tried = tuple(tried)
        hedge = balancer.hedge(one, 1.0, 0.5)
        assert hedge is not None
        assert hedge.current is not None
        assert (hedge.current in balancer.preferred) is inside


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_split_is_divided_too(version: str):
    """Of the instances with a request's labels, those of the aperture: ten of forty, not all."""
    found = [
        Instance("10.0.0.1", port, metadata={"version": "12"[port % 2]}) for port in range(1, 81)
    ]
    balancer = narrowed(*found, size=10)
    labels = Subset((("version", version),))

    ports = {int(address.rpartition(":")[2]) for address in met(balancer, subset=labels)}

    assert len(ports) == 10
    assert {"12"[port % 2] for port in ports} == {version}
