"""Callers that call all the time, whatever happens meanwhile."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from stack.waiting import wait_until

CALLERS = 2
"""Callers at a time of each call."""


@dataclass
class Callers:
    """Callers that note each answer's status, a broken call as 0, and each request's id.

    Of a call that failed they note its id and what it was told, too.
    """

    statuses: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self, name: str, url: str, body: str) -> None:
        """Call again and again until told to end; each call on a connection kept open.

        The id of a request is the caller's name and a number.
        """
        headers = {"content-type": "application/json"}
        numbers = itertools.count()
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._ended.wait(0.005):
                headers["x-request-id"] = f"{name}.{next(numbers)}"
                self.ids.append(headers["x-request-id"])
                try:
                    answer = http.post(url, content=body, headers=headers)
                except httpx.HTTPError as error:
                    self.statuses.append(0)
                    self.failures.append(f"{headers['x-request-id']}: {error!r}")
                    continue
                self.statuses.append(answer.status_code)
                if answer.status_code != 200:
                    self.failures.append(f"{headers['x-request-id']}: {answer.text}")

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
        threading.Thread(target=calling.run, args=(f"{number}{path}".replace("/", "."), url, body))
        for number, (path, body) in enumerate([*calls] * CALLERS)
        for url in (f"{base}{path}",)
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


def executions(log: Iterable[str]) -> Counter[str]:
    """Count the predictions of each request by its id, from the lines of the classifier's log.

    The classifier writes them with the document `AUDIT`.
    """
    lines = (json.loads(line) for line in log if '"prediction"' in line)
    return Counter(line["request_id"] for line in lines if line["event"] == "prediction")


AUDIT = "audit: {enabled: true, sample: 1.0, max_rows: 1}"
"""The document by which the classifier logs every prediction, with the id of its request."""
