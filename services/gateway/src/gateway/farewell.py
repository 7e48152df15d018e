"""How a connection to a client ends, once its last answer is written or will never be whole."""

import asyncio
import socket
import struct

import httptools

LINGER = 2.0
"""Seconds a refused client has to read its answer before the connection is cut."""
DEAF = httptools.HttpRequestParser(object())
"""Takes a parser's place on a lost connection: the two hold each other, and both are large."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: drop what is unsent, and close with an RST."""


def finish(transport: asyncio.Transport) -> None:
    """Send what is written, then say that this was all; the client may go on sending."""
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def reset(transport: asyncio.Transport) -> None:
    """Close at once, so that a client sees that what it has is not all."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
