"""A request is read top to bottom: what `make trace-gateway` traces, kept within bounds."""

import asyncio

from benchmarks.gateway.trace import warm_get

BOTH_WAYS = {
    ("gateway.downstream.connection", "gateway.proxy.exchange"),
    ("gateway.proxy.exchange", "gateway.upstream.connection"),
}
"""The exchange and the two connections between which it stands call each other."""


def test_only_an_exchange_and_its_connections_call_each_other() -> None:
    """No other two modules of the data path call each other both ways."""
    assert set(asyncio.run(warm_get()).two_way) <= BOTH_WAYS
