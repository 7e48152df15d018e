"""Callers that call all the time, whatever happens meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from stack.waiting import wait_until

CALLERS = 2
"""Callers at a time of each call."""


@dataclass
class Callers:
    """Callers that note each answer's status, a broken call as 0."""

    statuses: list[int] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self, url: str, body: str) -> None:
        """Call again and again until told to end; each call on a connection kept open."""
        headers = {"content-type": "application/json"}
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._ended.wait(0.005):
                try:
                    self.statuses.append(http.post(url, content=body, headers=headers).status_code)
                except httpx.HTTPError:
                    self.statuses.append(0)

    def end(self) -> None:
        """Make every caller stop after its running call."""
        self._ended.set()

    def wait_for(self, more: int) -> None:
        """Return when so many more calls have ended."""
        target = len(self.statuses) + more
        wait_until(lambda: len(self.statuses) >= target, seconds=60, what=f"{more} more calls")


@contextmanager
def callers(base: str, calls: Sequence[tuple[str, str]]) -> Iterator[Callers]:
    """Call all the time, while the block runs.

    Args:
        base: the address of the gateway.
        calls: a path and a JSON body of each.
    """
    calling = Callers()
    threads = [
        threading.Thread(target=calling.run, args=(f"{base}{path}", body))
        for path, body in [*calls] * CALLERS
    ]
    for thread in threads:
        thread.start()
    try:
        calling.wait_for(20)
        yield calling
    finally:
        calling.end()
        for thread in threads:
            thread.join(60)
