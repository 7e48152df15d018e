"""A request's bytes may arrive in any pieces: TCP keeps their order and nothing else."""

import json
import socket
from urllib.parse import urlsplit

import pytest
from classifier.schemas import EXAMPLE

PATHS = {
    "classifier": ("/api/v1/predict", {"inputs": [EXAMPLE]}),
    "kmeans": ("/api/skl-kmeans", {"points": [[1, 2], [3, 4], [5, 7]]}),
}


def sent(package: str, *fields: str) -> bytes:
    path, document = PATHS[package]
    body = json.dumps(document)
    head = (f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", "X-Request-Id: r")
    return "\r\n".join((*head, *fields, "", body)).encode()


def received(url: str, *pieces: bytes) -> list[bytes]:
    """Send the pieces; return the lines of all that is received, without those of `date` fields."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    lines = b"".join(parts).split(b"\r\n")
    return [line for line in lines if not line.startswith(b"date: ")]


@pytest.mark.parametrize("package", PATHS)
def test_an_answer_does_not_depend_on_the_pieces(service, package):
    """A request gets the same head and body whole, cut anywhere, and after another request."""
    url = service(package).url
    last = sent(package, "Connection: close")
    whole = received(url, last)
    assert whole[0] == b"HTTP/1.1 200 OK"

    for place in range(1, len(last), 70):
        assert received(url, last[:place], last[place:]) == whole

    first = [line for line in whole if line != b"connection: close"]
    *before, end = first
    assert received(url, sent(package) + last) == [*before, end + whole[0], *whole[1:]]
