"""The limits of routes: requests per second, and at a time, over all workers of all gateways.

The workers of a gateway count in one memory, the ledger, so that a limit is exact over them. Of
several gateways each has a part of every limit: the parts are whole numbers, differ by one at most
and add up to the limit. A route without a limit has no guard.

The counts belong to a route's name: a document that changes a limit, or leaves it as it is, finds
the requests that are under way and those of the last seconds counted.
"""

import fcntl
import logging
import mmap
import os
from hashlib import blake2b
from time import monotonic
from typing import Final

from gateway.routing.lock import WorkersLock

ROWS: Final = 8192
"""Names of routes that a ledger has room for, in the life of a gateway."""
LAST: Final = 1 + ROWS
"""The number of the row that further names share."""
DIVISION: Final = 0
COUNT: Final = 1
LOCK: Final = 2
"""The numbers of the first row: how limits are divided among gateways, the rows that follow, and
the lock of the compiled form."""
USED: Final = 1
AT: Final = 2
INSIDE: Final = 3
"""The numbers of a route's row, after its name's digest: the used part of the burst and the
monotonic time of that, then the requests under way: one number for each worker, which writes no
other."""
PLACES: Final = 2**20
"""More than the gateways that there can be, so that number and place are one number, which a worker
never reads half written."""
PATIENCE: Final = 0.02
"""Seconds to wait for another worker that counts: on a busy machine that one may have to wait for
its turn at a processor. One that stands still longer is not waited for: a limit may then be over by
one."""
STUCK: Final = 1.0
"""Seconds for which such a worker is not waited for again."""
NO_PART: Final = 1.0
"""Seconds after which a caller may try again, who met a gateway without a part of the limit: the
next gateway may have one."""

_log: Final = logging.getLogger(__name__)


def part_of(limit: int, gateways: int, place: int) -> int:
    """Return the part of a limit that one of several gateways has; the parts add up to the limit.

    Args:
        limit: a whole number of requests.
        gateways: their number.
        place: of this gateway among them, from 0.
    """
    return limit // gateways + (place < limit % gateways)


def rate_of(per_second: float, burst: int, gateways: int, place: int) -> float:
    """Return the requests per second that one of several gateways has; they add up to the limit.

    A gateway without a part of the burst could never let a request in, so the others have its rate.
    """
    return per_second / min(burst, gateways) if part_of(burst, gateways, place) else 0.0


class Ledger:
    """The memory in which the workers of a gateway count.

    Attributes:
        memory: a first row of its own, a row for each limited route, and one for further routes.
        columns: numbers of requests under way in a row.
        column: the one that this worker writes.
    """

    __slots__ = (
        "_file", "_lock", "_places", "_seen", "_stuck_until", "column", "columns", "memory",
    )  # fmt: skip

    def __init__(
        self, memory: memoryview, columns: int, *, column: int = 0, file: int = -1
    ) -> None:
        """Take the memory, as bytes.

        Args:
            memory: zeros at first.
            columns: see above.
            column: see above.
            file: the memory's, opened by this process itself, by which the workers lock each
                other out; -1 for a worker that is alone.
        """
        self.memory = memory.cast("d")
        self.columns = columns
        self.column = column
        self._file = file
        self._lock = WorkersLock(file, memory, LOCK, 1 + column) if file >= 0 else None
        self._places: dict[int, int] = {}
        self._seen = 0
        self._stuck_until = 0.0

    @property
    def gateways(self) -> tuple[int, int]:
        """Return the number of gateways among which limits are divided, and this one's place."""
        both = int(self.memory[DIVISION])
        return max(1, both // PLACES), both % PLACES

    def divide(self, gateways: int, place: int) -> None:
        """Divide the limits among gateways from now on, in all workers."""
        self.memory[DIVISION] = float(gateways * PLACES + place)

    def row(self, name: str) -> int:
        """Return the place in `memory` of a route's row, for all workers the same.

        Where there is no room for another name, all that come share the last row.
        """
        key = _digest(name)
        if key not in self._places:
            # A document is compiled beside the requests, which hold the other lock of this process.
            if self._file >= 0:
                fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                self._look(key)
            finally:
                if self._file >= 0:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)
        return self._places[key]

    def _look(self, key: int) -> None:
        """Learn the rows that other workers have added, and add this one if there is none."""
        width, memory = INSIDE + self.columns, self.memory
        rows = int(memory[COUNT])
        while self._seen < rows:
            self._seen += 1
            self._places[int(memory[self._seen * width])] = self._seen * width
        if key in self._places:
            return
        if rows == ROWS:
            _log.warning("limits_full", extra={"names": ROWS})
            self._places[key] = LAST * width
            return
        self._seen = rows + 1
        self._places[key] = self._seen * width
        memory[self._seen * width] = float(key)
        memory[COUNT] = float(self._seen)

    def forget(self, column: int) -> None:
        """Count a worker's requests out: it has ended."""
        if self._lock is not None:
            self._lock.clear(1 + column)
        width = INSIDE + self.columns
        for row in (*range(1, 1 + int(self.memory[COUNT])), LAST):
            self.memory[row * width + INSIDE + column] = 0.0

    def lock(self) -> bool:
        """Keep the other workers from counting until `unlock`; False if none need be, or can."""
        lock = self._lock
        return lock is not None and (lock.acquire() or self._wait(lock))

    def unlock(self) -> None:
        """Let the other workers count."""
        if self._lock is not None:
            self._lock.release()

    def _wait(self, lock: WorkersLock) -> bool:
        now = monotonic()
        if now < self._stuck_until:
            return False
        end = now + PATIENCE
        while monotonic() < end:
            os.sched_yield()
            if lock.acquire():
                return True
        self._stuck_until = monotonic() + STUCK
        return False


def _digest(name: str) -> int:
    """Return a positive number for a name, which a float holds exactly."""
    return 1 + int.from_bytes(blake2b(name.encode(), digest_size=6).digest())


def own_ledger() -> Ledger:
    """Make the ledger of a worker that is alone."""
    return Ledger(memoryview(bytearray(8 * (1 + LAST) * (INSIDE + 1))), 1)


def memory_file(columns: int) -> int:
    """Make the memory of a ledger for several processes; returns its file descriptor."""
    file = os.memfd_create("gateway-limits")
    os.ftruncate(file, 8 * (1 + LAST) * (INSIDE + columns))
    return file


def shared_ledger(file: int, columns: int, column: int) -> Ledger:
    """Open a ledger in the memory that `memory_file` made, perhaps in another process."""
    # A lock of a file belongs to its opening, and all who inherit the descriptor have the same.
    own = os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC)
    return Ledger(memoryview(mmap.mmap(own, 0)), columns, column=column, file=own)


class RateGuard:
    """A token bucket: `per_second` requests on average, `burst` at once, over all gateways."""

    __slots__ = ("_burst", "_divided", "_ledger", "_rate", "_row", "_turn", "burst", "per_second")

    def __init__(self, name: str, per_second: float, burst: int, ledger: Ledger) -> None:
        self.per_second = per_second
        self.burst = burst
        self._ledger = ledger
        self._row = ledger.row(name)
        self._turn = _digest(name)
        self._divided = -1.0
        self._burst = 0
        self._rate = 0.0

    @property
    def has_part(self) -> bool:
        """Return whether this gateway may let a request in at all."""
        self._divide()
        return self._burst > 0

    def take(self, now: float) -> float:
        """Count a request: 0.0 if it may go on, else the seconds until one may."""
        ledger, row = self._ledger, self._row
        memory = ledger.memory
        if memory[DIVISION] != self._divided:
            self._divide()
        if self._burst == 0:
            return NO_PART
        locked = ledger.lock()
        try:
            at: float = memory[row + AT]
            used: float = max(0.0, memory[row + USED] - max(0.0, now - at) * self._rate)
            over = used + 1 - self._burst
            memory[row + USED] = used if over > 0 else used + 1
            memory[row + AT] = max(now, at)
        finally:
            if locked:
                ledger.unlock()
        return over / self._rate if over > 0 else 0.0

    def _divide(self) -> None:
        self._divided = self._ledger.memory[DIVISION]
        gateways, place = self._ledger.gateways
        place = (place + self._turn) % gateways
        self._burst = part_of(self.burst, gateways, place)
        self._rate = rate_of(self.per_second, self.burst, gateways, place)


class ConcurrencyGuard:
    """A bound on the requests under way: at most `width` at a time, over all gateways."""

    __slots__ = ("_divided", "_first", "_ledger", "_own", "_part", "_turn", "width")

    def __init__(self, name: str, width: int, ledger: Ledger) -> None:
        self.width = width
        self._ledger = ledger
        self._first = ledger.row(name) + INSIDE
        self._own = self._first + ledger.column
        self._turn = _digest(name)
        self._divided = -1.0
        self._part = 0

    @property
    def inside(self) -> int:
        """Return the requests that are under way in all workers of this gateway."""
        return int(sum(self._ledger.memory[self._first : self._first + self._ledger.columns]))

    @property
    def has_part(self) -> bool:
        """Return whether this gateway may let a request in at all."""
        self._divide()
        return self._part > 0

    def enter(self) -> bool:
        """Count a request in; False if there is no room."""
        ledger = self._ledger
        memory = ledger.memory
        if memory[DIVISION] != self._divided:
            self._divide()
        locked = ledger.lock()
        try:
            if self.inside >= self._part:
                return False
            memory[self._own] += 1.0
        finally:
            if locked:
                ledger.unlock()
        return True

    def leave(self) -> None:
        """Count a request out."""
        self._ledger.memory[self._own] -= 1.0

    def _divide(self) -> None:
        self._divided = self._ledger.memory[DIVISION]
        gateways, place = self._ledger.gateways
        self._part = part_of(self.width, gateways, (place + self._turn) % gateways)
