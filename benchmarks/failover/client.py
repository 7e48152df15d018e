"""The load of a trial, from a process of its own, which nothing in this process can hold up."""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
from dataclasses import dataclass

import uvloop

from benchmarks.gateway.calls import DECLARED, SERVICE, UNDECLARED
from benchmarks.measure.load import OpenLoop, Request, Sample, post

DECLARED_OF_FIVE = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """A constant rate of requests to one address; every fifth is an undeclared POST."""

    port: int
    rate: float
    label: str
    host: str = "127.0.0.1"
    longest_seconds: float = 300.0

    def request(self, number: int) -> Request:
        """Make the request of a number; its id is unique over all trials."""
        kind = DECLARED if number % 5 < DECLARED_OF_FIVE else UNDECLARED
        return post(f"/{SERVICE}{kind}", f"{self.label}-{number}", kind=kind)


class Client:
    """Offers the load from `start` to `stop`."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_offer, args=(plan, theirs), daemon=True)

    def start(self) -> None:
        """Return when the first requests are on their way."""
        self._process.start()
        self._pipe.recv()

    def stop(self) -> list[Sample]:
        """Wait for the last responses and return the result of every request."""
        self._pipe.send("stop")
        samples: list[Sample] = self._pipe.recv()
        self._process.join()
        return samples


def _offer(plan: Plan, pipe: multiprocessing.connection.Connection) -> None:
    async def offer() -> list[Sample]:
        load = OpenLoop(plan.host, plan.port, plan.rate, plan.longest_seconds, plan.request)
        asyncio.get_running_loop().add_reader(pipe.fileno(), load.stop)
        pipe.send("started")
        samples = await load.run()
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        return samples

    samples = uvloop.run(offer())
    os.set_blocking(pipe.fileno(), True)  # the loop had made the pipe non-blocking
    pipe.send(samples)
