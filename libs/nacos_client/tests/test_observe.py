"""What an audit concludes from what Nacos shows."""

from dataclasses import replace

import pytest
from failover import Instance
from nacos_client.announce import Shown, observe
from nacos_client.ports import Listing

WANTED = Instance("10.0.0.1", 8001, metadata={"version": "1"})
OTHER = Instance("10.0.0.1", 8002)


@pytest.mark.parametrize(
    ("listed", "shown", "detail"),
    [
        ((WANTED, OTHER), Shown.AS_WANTED, ""),
        ((OTHER,), Shown.ABSENT, "not in Nacos"),
        ((), Shown.ABSENT, "not in Nacos"),
        ((replace(WANTED, weight=2.0),), Shown.DIFFERENT, "Nacos shows another weight"),
        ((replace(WANTED, metadata={}),), Shown.DIFFERENT, "Nacos shows another metadata"),
        ((replace(WANTED, cluster="B"),), Shown.DIFFERENT, "Nacos shows another cluster"),
        ((replace(WANTED, healthy=False),), Shown.AS_WANTED, ""),
    ],
)
def test_a_wanted_instance(listed: tuple[Instance, ...], shown: Shown, detail: str) -> None:
    """It is as wanted, missing, or different in what the instance decides itself."""
    state = observe(WANTED, WANTED.address, Listing(listed))
    assert (state.shown, state.detail) == (shown, detail)


@pytest.mark.parametrize("wanted", [None, replace(WANTED, enabled=False)])
def test_an_unwanted_instance(wanted: Instance | None) -> None:
    """Held back or disabled, it is as wanted when callers are told nothing of it."""
    assert observe(wanted, WANTED.address, Listing((OTHER,))).shown is Shown.AS_WANTED
    assert observe(wanted, WANTED.address, Listing((WANTED,))).shown is Shown.DIFFERENT
