"""A transport that sends what is written in one turn of the event loop together.

Where each write goes to the kernel at once, the reader on another core wakes up, answers, and
sleeps again between two writes of the same turn. Held until the turn's end, the writes of all
connections leave one after another, and two writes of one connection leave as one. Nothing waits
for another turn: what is held leaves before the loop looks for events again.
"""

import asyncio
from typing import Any

MOST_HELD = 64 * 1024
"""Bytes that are held at most; so the transport's own limits hold true within as many bytes."""
JOINED = 16 * 1024
"""Bytes up to which pieces are copied into one; larger ones are handed over as they are."""


class TurnTransport:
    """A transport whose writes leave at the end of the loop's turn, in their order."""

    __slots__ = ("_flush", "_held", "_loop", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Take a transport, from within its loop."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._size = 0
        self._flush = self.flush  # made once: a bound method costs as much as a call

    def write(self, data: bytes) -> None:
        """Hold bytes until the end of the turn, unless too many are held."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        held = self._held
        if not held:
            return
        self._held = []
        size, self._size = self._size, 0
        if self._transport.is_closing():
            return
        if len(held) == 1:
            self._transport.write(held[0])
        elif size <= JOINED:
            self._transport.write(b"".join(held))
        else:
            self._transport.writelines(held)

    def close(self) -> None:
        """Close once everything that was written is sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is held is lost like what the transport holds."""
        self._held = []
        self._size = 0
        self._transport.abort()

    def write_eof(self) -> None:
        """Send an end after everything that was written."""
        self.flush()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Return whether the transport can send an end and go on reading."""
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stop reading."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int) -> None:
        """Set the bytes above which the protocol is told to pause."""
        self._transport.set_write_buffer_limits(high=high)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that are not sent yet, those that are held too."""
        return self._size + self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str) -> Any:
        """Return a fact about the connection."""
        return self._transport.get_extra_info(name)
