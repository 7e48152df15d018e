"""A transport that sends what is written in one turn of the event loop together.

Where each write goes to the kernel at once, the reader on another core wakes up, answers, and
sleeps again between two writes of the same turn. Held until the turn's end, the writes of all
connections leave one after another, and two writes of one connection leave as one. Nothing waits
for another turn: what is held leaves before the loop looks for events again.
"""

import asyncio
from typing import Any, Final

MOST_HELD: Final = 64 * 1024
"""Bytes that are held at most; so the transport's own limits hold true within as many bytes."""
JOINED: Final = 16 * 1024
"""Bytes up to which pieces are copied into one; larger ones are handed over as they are."""


class Turn:
    """The end of the loop's turn, at which transports send what they hold, the first writer first.

    One callback of the loop serves all of them, which costs a request less than one for each write.
    """

    __slots__ = ("_writers",)

    def __init__(self) -> None:
        self._writers: list[TurnTransport] = []

    def await_end(self, writer: "TurnTransport") -> None:
        """Have a transport send at the end of this turn."""
        if not self._writers:
            self._call_soon()
        self._writers.append(writer)

    def _call_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        writers, sent = self._writers, 0
        try:
            for writer in writers:  # the list grows if a transport, told to pause, has others write
                sent += 1
                writer.flush()
        finally:
            self._writers = writers[sent:]
            if self._writers:  # the error of one transport is not the others'
                self._call_soon()


class TurnTransport:
    """A transport whose writes leave at the end of the loop's turn, in their order.

    Attributes:
        raw: the transport of the loop.
        held: bytes that wait for the turn's end.
    """

    __slots__ = ("_pieces", "_turn", "held", "raw")

    def __init__(self, transport: asyncio.Transport, turn: Turn) -> None:
        """Take a transport, and the end of turns of its loop."""
        self.raw = transport
        self._turn = turn
        self._pieces: list[bytes] = []
        self.held = 0

    def write(self, data: bytes) -> None:
        """Hold bytes until the end of the turn, unless too many are held."""
        if not self._pieces:
            self._turn.await_end(self)
        self._pieces.append(data)
        self.held += len(data)
        if self.held >= MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        pieces = self._pieces
        if not pieces:
            return
        self._pieces = []
        size, self.held = self.held, 0
        if self.raw.is_closing():
            return
        if len(pieces) == 1:
            self.raw.write(pieces[0])
        elif size <= JOINED:
            self.raw.write(b"".join(pieces))
        else:
            self.raw.writelines(pieces)

    def close(self) -> None:
        """Close once everything that was written is sent."""
        self.flush()
        self.raw.close()

    def abort(self) -> None:
        """Close at once; what is held is lost like what the transport holds."""
        self._pieces = []
        self.held = 0
        self.raw.abort()

    def write_eof(self) -> None:
        """Send an end after everything that was written."""
        self.flush()
        self.raw.write_eof()

    def can_write_eof(self) -> bool:
        """Return whether the transport can send an end and go on reading."""
        return self.raw.can_write_eof()

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""
        return self.raw.is_closing()

    def pause_reading(self) -> None:
        """Stop reading."""
        self.raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self.raw.resume_reading()

    def set_write_buffer_limits(self, high: int) -> None:
        """Set the bytes above which the protocol is told to pause."""
        self.raw.set_write_buffer_limits(high=high)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that are not sent yet, those that are held too."""
        return self.held + self.raw.get_write_buffer_size()

    def get_extra_info(self, name: str) -> Any:
        """Return a fact about the connection."""
        return self.raw.get_extra_info(name)
