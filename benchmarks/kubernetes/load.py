"""The load of a trial: a constant rate all the while, and more of it for a part."""

import itertools
import time

from benchmarks.failover.client import Client, Plan
from benchmarks.measure.load import Sample

LONGEST_SECONDS = 1800.0


class Load:
    """Requests to a Service, each with an id that no other request has."""

    def __init__(self, host: str, label: str) -> None:
        self._host = host
        self._label = f"{label}-{time.monotonic_ns()}"
        self._numbers = itertools.count()
        self._clients: list[Client] = []
        self._samples: list[Sample] = []

    def start(self, rate: float) -> None:
        """Offer requests at a rate a second, beside those that are offered already."""
        label = f"{self._label}-{next(self._numbers)}"
        self._clients.append(Client(Plan(80, rate, label, self._host, LONGEST_SECONDS)))
        self._clients[-1].start()

    def less(self) -> None:
        """Offer no more of what was started last."""
        self._samples += self._clients.pop().stop()

    def stop(self) -> list[Sample]:
        """Offer nothing more, and return the result of every request."""
        while self._clients:
            self.less()
        return self._samples
