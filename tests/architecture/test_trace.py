"""A request is read top to bottom: what `make trace-gateway` traces, kept within bounds."""

import asyncio

import pytest

from benchmarks.gateway.trace import Trace, warm_get

BOTH_WAYS = {
    ("gateway.downstream.connection", "gateway.proxy.exchange"),
    ("gateway.proxy.exchange", "gateway.upstream.connection"),
}
"""The exchange and the two connections between which it stands call each other."""
MAX_CROSSINGS = 40
"""Calls from one module to another in a warm GET."""


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Return the trace of a warm GET."""
    return asyncio.run(warm_get())


def test_only_an_exchange_and_its_connections_call_each_other(trace: Trace) -> None:
    """No other two modules of the data path call each other both ways."""
    assert set(trace.two_way) <= BOTH_WAYS


def test_a_reader_of_a_request_changes_the_module_seldom(trace: Trace) -> None:
    """A warm GET crosses from one module to another at most 40 times."""
    assert trace.crossings <= MAX_CROSSINGS
