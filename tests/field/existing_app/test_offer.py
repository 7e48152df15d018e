"""Kludex/uvicorn 2722: Java's client offers HTTP/2, and some servers lose the request's body."""

import socket

import pytest
from stack.waiting import wait_until

from tests.field.existing_app.conftest import Adopt, Adopted
from tests.field.existing_app.test_servers import LAST_LINE, ONE_LINE, SERVERS

pytestmark = pytest.mark.timeout(300)
ECHO = """
@app.post("/echo")
async def echo(body: dict[str, str]) -> dict[str, str]:
    return body


"""
OFFER = (
    b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAEA\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
BODY = b'9\r\n{"a":"b"}\r\n0\r\n\r\n'


def answer(one: Adopted) -> bytes:
    """Return the answer to a request as Java's client sends its first."""
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as connection:
        connection.sendall(OFFER)
        connection.sendall(BODY)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize("command", [SERVERS[0], f"{SERVERS[0]} --http h11"])
def test_a_request_with_an_offer_keeps_its_body(command: str, adopt: Adopt) -> None:
    """As docs/existing-app.md installs it, and with the option of docs/you-have-nacos.md."""
    one = adopt(command, ONE_LINE.replace(LAST_LINE, ECHO + LAST_LINE))
    wait_until(lambda: "running on" in one.log.read_text(), seconds=60, what="it listens")

    assert answer(one).endswith(b'{"a":"b"}')
