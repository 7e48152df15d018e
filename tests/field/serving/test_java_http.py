"""Java's `HttpClient` offers HTTP/2 with each request: https://github.com/Kludex/uvicorn/issues/2722.

The body was lost, and the answer was a 400; where the body came in a packet of its own, its bytes
were taken for another request.
"""

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest

OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\nUpgrade: h2c\r\n"
)
TYPE = b"Host: a\r\nContent-Type: application/json\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def answers(url: str, pieces: Iterable[bytes]) -> bytes:
    """Send pieces, each in a packet of its own, and return all that comes until the end."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture
def requests(model) -> dict[str, bytes]:
    """The service's first call with its length, and in chunks."""
    start = f"POST {model.path} HTTP/1.1\r\n".encode() + TYPE + OFFER
    body = model.body.encode()
    sized = b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    chunked = b"%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (start, chunks)
    return {"sized": sized, "chunked": chunked}


@pytest.mark.parametrize("kind", ["sized", "chunked"])
def test_the_offer_is_ignored(subject, requests, kind):
    """The request is answered in HTTP/1.1, in one packet or more, and so is the next one."""
    request = requests[kind]
    middle = request.index(b"\r\n\r\n") + 4
    offer = request.index(b"h2c")
    ways = (
        [request + LAST],
        [request[:middle], request[middle:], LAST],
        [request[:offer], request[offer : middle - 2], request[middle - 2 : middle + 5],
         request[middle + 5 :] + LAST],
        [request * 3 + LAST],
    )  # fmt: skip
    for pieces in ways:
        told = answers(subject.url, pieces)

        count = b"".join(pieces).count(b"h2c")
        assert told.count(b"HTTP/1.1 200 ") == count + 1, told
        assert told.count(b"HTTP/1.1 ") == count + 1
        assert told.endswith(b'{"status":"alive"}')


def test_an_offer_without_a_body_is_ignored(subject):
    """GET is answered as ever."""
    told = answers(subject.url, [b"GET /livez HTTP/1.1\r\nHost: a\r\n" + OFFER + b"\r\n" + LAST])

    assert told.count(b"HTTP/1.1 200 ") == 2
