"""The limits of routes: exact over workers, divided among gateways without a rest."""

import asyncio
import subprocess
import sys

import pytest
from failover import Instance
from gateway.control.gateways import GatewayNumber
from gateway.routing.document import RoutesDocument
from gateway.routing.limits import (
    ROWS,
    ConcurrencyGuard,
    RateGuard,
    memory_file,
    own_ledger,
    part_of,
    rate_of,
    shared_ledger,
)
from gateway.upstream.neighbours import Neighbours, follow_neighbours
from hypothesis import given, strategies as st
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos

LIMITS = st.integers(1, 1_000_000)
GATEWAYS = st.integers(1, 200)


@given(LIMITS, GATEWAYS)
def test_the_parts_of_a_limit_add_up_to_it(limit, gateways):
    """However many gateways there are, and no part is more than one request over another."""
    parts = [part_of(limit, gateways, place) for place in range(gateways)]

    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


@given(st.floats(0.001, 1_000_000), LIMITS, GATEWAYS)
def test_the_parts_of_a_rate_add_up_to_it(per_second, burst, gateways):
    """Whoever has a part of the burst has an even part of the rate; who has none has none."""
    rates = [rate_of(per_second, burst, gateways, place) for place in range(gateways)]

    assert sum(rates) == pytest.approx(per_second)
    for place, rate in enumerate(rates):
        assert (rate > 0) is (part_of(burst, gateways, place) > 0)


@given(st.sets(st.tuples(st.integers(1, 254), st.integers(1, 65_535)), min_size=1, max_size=20))
def test_gateways_that_see_one_list_take_different_places(places):
    """Each counts all, itself included where Nacos does not list it yet, and no place is twice."""
    listed = [Instance(f"10.0.0.{host}", port) for host, port in places]
    found = [Neighbours.among(one.address, listed).place for one in listed]

    assert {number for number, _ in found} == {len(listed)}
    assert sorted(place for _, place in found) == list(range(len(listed)))
    for one in listed:
        others = [each for each in listed if each is not one]
        assert Neighbours.among(one.address, others) == Neighbours.among(one.address, listed)


def test_who_is_not_healthy_has_no_part():
    """A gateway that Nacos calls unhealthy or disabled serves nobody, so the others have it all."""
    listed = [
        Instance("10.0.0.1", 1, healthy=False),
        Instance("10.0.0.2", 1, enabled=False),
        Instance("10.0.0.3", 1),
    ]

    assert Neighbours.among("10.0.0.4:1", listed).place == (2, 1)


@pytest.mark.anyio
async def test_a_gateway_that_starts_while_nacos_is_silent_counts_itself_once(tmp_path):
    """The copy on disk, of an earlier life, lists the gateway itself beside another one."""
    settings = NacosSettings(server_addr="127.0.0.1:1", cache_dir=tmp_path, advertise_ip="10.0.0.2")
    before, silent = FakeNacos(), FakeNacos()
    for host in (1, 2):
        before.put_instance("gateway", Instance(f"10.0.0.{host}", 8000))
    async with before.client(settings) as nacos:
        await nacos.discover("gateway").known()
    silent.stop()
    ledger, told = own_ledger(), asyncio.Event()
    number = GatewayNumber(ledger)

    def tell(neighbours: Neighbours) -> None:
        number.divide(neighbours)
        told.set()

    async with silent.client(settings) as nacos, asyncio.timeout(10):
        await follow_neighbours(nacos, "gateway", 8000, tell)
        await told.wait()

    assert ledger.gateways == (2, 1)


def test_a_rate_is_kept_and_a_burst_allowed():
    """10 a second, 3 at once: over 10 s, 103 of any number."""
    rate = RateGuard("route", 10, 3, own_ledger())
    granted = [rate.take(100 + step / 100) == 0 for step in range(1000)]

    assert granted[:4] == [True, True, True, False]
    assert 100 <= sum(granted) <= 103


@given(st.integers(1, 50), st.integers(1, 8))
def test_gateways_together_grant_no_more_than_one_would(burst, gateways):
    """As many at once as the limit says, over all of them, and each of them a part that is fair."""
    granted = []
    for place in range(gateways):
        ledger = own_ledger()
        ledger.divide(gateways, place)
        rate, width = RateGuard("r", 0.001, burst, ledger), ConcurrencyGuard("r", burst, ledger)
        granted.append(
            (
                sum(rate.take(1000.0) == 0 for _ in range(burst + 1)),
                sum(width.enter() for _ in range(burst + 1)),
            )
        )

    for kind in zip(*granted, strict=True):
        assert sum(kind) == burst
        assert max(kind) - min(kind) <= 1


def test_a_gateway_without_a_part_says_so():
    """One request at a time over two gateways: one of them lets nobody in, and knows why."""
    parts = []
    for place in range(2):
        ledger = own_ledger()
        ledger.divide(2, place)
        width, rate = ConcurrencyGuard("r", 1, ledger), RateGuard("r", 5.0, 1, ledger)
        parts.append((width.has_part, width.enter(), rate.has_part, rate.take(9.0) == 0))

    assert sorted(parts) == [(False,) * 4, (True,) * 4]


def test_a_number_of_gateways_that_changes_counts_at_once():
    """Who is inside stays; nobody comes until there is room in the smaller part, or it grows."""
    ledger = own_ledger()
    width = ConcurrencyGuard("r", 4, ledger)
    assert [width.enter() for _ in range(5)] == [True] * 4 + [False]

    ledger.divide(2, 0)
    for _ in range(2):
        width.leave()
    assert not width.enter()
    width.leave()
    assert width.enter()
    ledger.divide(1, 0)
    assert [width.enter() for _ in range(3)] == [True, True, False]


WORKER = """
import sys
from gateway.routing.limits import ConcurrencyGuard, RateGuard, shared_ledger

file, columns, column, times = map(int, sys.argv[1:])
ledger = shared_ledger(file, columns, column)
width, rate = ConcurrencyGuard("r", 500, ledger), RateGuard("r", 1e-9, 700, ledger)
print("ready", flush=True)
sys.stdin.readline()
most = entered = granted = 0
for turn in range(times):
    granted += rate.take(1000.0) == 0
    if width.enter():
        entered += 1
        most = max(most, width.inside)
        if turn % 3 == 0:  # two of three stay inside
            width.leave()
            entered -= 1
print(entered, granted, most)
"""


def test_workers_that_count_at_the_same_time_count_exactly():
    """Four processes as fast as they can: never more than the limit, and not one less."""
    columns, times = 4, 1500
    file = memory_file(columns)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, (file, columns, column, times))],
            pass_fds=(file,), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for column in range(columns)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    told = [tuple(map(int, worker.communicate(timeout=60)[0].split())) for worker in workers]

    assert sum(entered for entered, _, _ in told) == 500
    assert sum(granted for _, granted, _ in told) == 700
    assert max(most for _, _, most in told) <= 500


def shared(columns: int = 2):
    """The ledgers of workers that have one memory, as each opens it for itself."""
    file = memory_file(columns)
    return [shared_ledger(file, columns, column) for column in range(columns)]


def test_what_a_worker_that_ended_had_inside_is_free_again():
    """Its places come back, those of the others stay."""
    one, other = shared()
    mine, theirs = (ConcurrencyGuard("r", 3, ledger) for ledger in (one, other))
    assert [mine.enter(), theirs.enter(), theirs.enter(), mine.enter()] == [True] * 3 + [False]

    one.forget(other.column)

    assert mine.inside == 1
    assert [mine.enter() for _ in range(3)] == [True, True, False]


def test_a_worker_that_stands_still_while_it_counts_stops_nobody():
    """It holds the lock for good: the others wait a moment once, and then go on counting."""
    stuck, other = shared()
    rate = RateGuard("r", 1e-9, 50, other)

    assert stuck.lock()

    assert [rate.take(1000.0) == 0 for _ in range(51)] == [True] * 50 + [False]


def test_a_worker_that_is_killed_while_it_counts_holds_nothing():
    """Once it is counted out, the others have the lock at once."""
    file = memory_file(2)
    script = (
        WORKER.partition("width,")[0]
        + "ledger.lock()\nprint('has it', flush=True)\nsys.stdin.read()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, (file, 2, 0, 0))],
        pass_fds=(file,), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    other = shared_ledger(file, 2, 1)
    assert worker.stdout.readline() == "has it\n"
    assert not other.lock()

    worker.kill()
    worker.communicate()
    other.forget(0)

    assert shared_ledger(file, 2, 1).lock()


def test_workers_agree_on_the_rows_of_routes():
    """Whichever of them names a route first, and whatever else each of them knows."""
    one, other = shared()
    names = [f"route {number}" for number in range(20)]
    rows = {name: one.row(name) for name in names[:12]}
    rows |= {name: other.row(name) for name in names[8:]}

    assert {name: one.row(name) for name in names} == rows
    assert len(set(rows.values())) == len(names)


def test_there_is_room_for_a_bounded_number_of_names():
    """Those beyond share one row, so their limits are kept, and narrower than they ask for."""
    ledger = own_ledger()
    rows = {ledger.row(str(number)) for number in range(ROWS)}
    one, other = (ConcurrencyGuard(name, 2, ledger) for name in ("one", "other"))

    assert len(rows) == ROWS
    assert [one.enter(), other.enter(), one.enter()] == [True, True, False]


def test_a_document_that_changes_a_limit_finds_what_was_counted():
    """A route keeps its counts by its name, also when it is away for a document."""
    ledger = own_ledger()

    def route(**limits):
        entry = {"name": "r", "path": "/r", "service": "shop", **limits}
        (found,) = RoutesDocument.model_validate({"routes": [entry]}).compile(ledger).routes
        return found

    before = route(concurrency=2, rate_limit={"per_second": 0.001, "burst": 2})
    assert before.concurrency.enter()
    assert before.rate.take(1000.0) == 0
    RoutesDocument().compile(ledger)
    after = route(concurrency=3, rate_limit={"per_second": 0.001, "burst": 3})

    assert after.concurrency.inside == 1
    assert [after.concurrency.enter() for _ in range(3)] == [True, True, False]
    assert [after.rate.take(1000.0) == 0 for _ in range(3)] == [True, True, False]
    before.concurrency.leave()
    assert after.concurrency.inside == 2
