"""The lock under which the workers of a gateway count, one at a time.

`lock.c` is the compiled form's: its extension module takes the place of this module. There the lock
is a number in the memory in which they count, and costs no call of the kernel; here it is one of
the memory's file. All workers of a gateway run the same form.
"""

import fcntl


class WorkersLock:
    """A lock of several processes; each of them has an object of its own."""

    __slots__ = ("_file",)

    def __init__(self, file: int, memory: memoryview, place: int, owner: int) -> None:  # noqa: ARG002 - the extension module's
        """Take the lock's places.

        Args:
            file: of the memory, opened by this process itself: a lock belongs to the opening.
            memory: that the processes share.
            place: in the memory, of a number of 64 bits that is 0 at first.
            owner: a number above 0 that no other process has.
        """
        self._file = file

    def acquire(self) -> bool:
        """Take the lock; False if another process has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let another process have the lock, which this one has."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def clear(self, owner: int) -> None:
        """Release the lock of a process that has ended, if it had it: the kernel has done that."""
