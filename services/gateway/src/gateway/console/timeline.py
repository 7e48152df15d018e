"""The timeline: what has changed lately, of all workers, in bounded memory. No I/O, no clock.

Each worker tells the same change, some a moment later than others: it is one event. Some things
are told as they happen (an instance came), others are a state that is compared with the last one
(an instance is ejected, a document is in force, a worker is there).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

MAX_EVENTS = 500
MAX_SUBJECTS = 5
"""Instances that an event of many names; of the others it has the number."""
TOGETHER_SECONDS = 5.0
"""Seconds in which like changes of one service are one event."""
MAX_REMEMBERED = 20_000
"""Instances whose last change is remembered, so that no worker tells it a second time."""


class EventKind(Enum):
    """What has changed."""

    CAME = "came"
    LEFT = "left"
    EJECTED = "ejected"
    RETURNED = "returned"
    APPLIED = "applied"
    REFUSED = "refused"
    WORKER_CAME = "worker-came"
    WORKER_LEFT = "worker-left"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Event:
    """A change.

    Attributes:
        number: of the event; a later one has a higher number.
        at: Unix time in seconds.
        kind: what has changed.
        service: of the instances.
        subjects: instances, the version of a document or the id of a process; the first of many.
        count: how many there are.
        detail: the reason, or what else there is to say.
        by: who did it, of an operator's orders.
    """

    number: int
    at: float
    kind: EventKind
    service: str = ""
    subjects: tuple[str, ...] = ()
    count: int = 1
    detail: str = ""
    by: str = ""


@dataclass(slots=True)
class Timeline:
    """The last events.

    Attributes:
        events: the newest last.
    """

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    _moved: dict[tuple[str, str], tuple[bool, float]] = field(default_factory=dict)
    _out: dict[tuple[str, str], str] = field(default_factory=dict)
    _document: tuple[str, str] | None = None
    _refused: tuple[str, str] | None = None
    _workers: frozenset[int] | None = None
    _number: int = 0

    def add(
        self,
        kind: EventKind,
        at: float,
        subject: str,
        *,
        service: str = "",
        detail: str = "",
        by: str = "",
    ) -> None:
        """Add an event, or its subject to a like one of a moment before."""
        last = self.events[-1] if self.events else None
        if (
            last is not None
            and service
            and (last.kind, last.service, last.detail, last.by) == (kind, service, detail, by)
            and at - last.at <= TOGETHER_SECONDS
            and not by
        ):
            subjects = (*last.subjects, subject)[:MAX_SUBJECTS]
            self.events[-1] = replace(last, subjects=subjects, count=last.count + 1)
            return
        self._number += 1
        self.events.append(Event(self._number, at, kind, service, (subject,), 1, detail, by))

    def note(self, told: Iterable[Mapping[str, Any]], now: float) -> None:
        """Take what the workers tell.

        Args:
            told: the news of each worker that answers.
            now: Unix time in seconds.
        """
        news = list(told)
        if not news:
            return
        self._note_workers(frozenset(one["pid"] for one in news), now)
        self._note_moves(news)
        self._note_out(news, now)
        self._note_document(news)

    def _note_moves(self, news: Iterable[Mapping[str, Any]]) -> None:
        moves = sorted(tuple(move) for one in news for move in one["moves"])
        for at, service, address, came in moves:
            key = service, address
            before, until = self._moved.pop(key, (not came, 0.0))
            self._moved[key] = (came, at) if at > until else (before, until)
            if at <= until or came == before:  # told before, or by another worker
                continue
            if not came:
                self._out.pop(key, None)
            self.add(EventKind.CAME if came else EventKind.LEFT, at, address, service=service)
        while len(self._moved) > MAX_REMEMBERED:
            self._moved.pop(next(iter(self._moved)))

    def _note_out(self, news: Iterable[Mapping[str, Any]], now: float) -> None:
        """Compare the ejected instances of all workers with the last ones."""
        out: dict[tuple[str, str], str] = {}
        for one in news:
            for service, address, cause in one["out"]:
                out.setdefault((service, address), cause)
        for key, cause in out.items():
            if key not in self._out:
                self.add(EventKind.EJECTED, now, key[1], service=key[0], detail=cause)
        for key in self._out.keys() - out.keys():
            self.add(EventKind.RETURNED, now, key[1], service=key[0])
        self._out = out

    def _note_document(self, news: Iterable[Mapping[str, Any]]) -> None:
        """Tell the newest document that is in force, and the newest one that was refused."""
        documents = [one["document"] for one in news]
        newest = max(documents, key=lambda one: float(one["at"]))
        now_in_force = newest["version"], newest["source"]
        if now_in_force != self._document:
            self._document = now_in_force
            self.add(EventKind.APPLIED, newest["at"], newest["version"], detail=newest["source"])
        refused = [one["rejected"] for one in documents if one["rejected"] is not None]
        if not refused:
            self._refused = None
            return
        version, reason, at = max(refused, key=lambda one: float(one[2]))
        if (version, reason) != self._refused:
            self._refused = version, reason
            self.add(EventKind.REFUSED, at, version, detail=reason)

    def _note_workers(self, workers: frozenset[int], now: float) -> None:
        """Compare the processes with the last ones; the first ones are no event."""
        before, self._workers = self._workers, workers
        if before is None:
            return
        for pid in sorted(workers - before):
            self.add(EventKind.WORKER_CAME, now, str(pid))
        for pid in sorted(before - workers):
            self.add(EventKind.WORKER_LEFT, now, str(pid))
