"""The health check of an image: asks the service of this container whether it is ready.

The name `localhost` may mean another family of addresses than the one at which the service listens,
and HOST may be no loopback address: so the service is asked where it listens, by its own variables.
The standard library alone is quick enough to be started every five seconds.
"""  # noqa: INP001 - copied alone into the image

import os
import socket
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 2.0
"""Seconds for an answer; the engine gives up after three."""
MAX_BYTES = 2000
"""Bytes of an answer that the engine shows beside the state of the container."""
LOOPBACK = {"0.0.0.0": ("127.0.0.1", "::1"), "127.0.0.1": ("127.0.0.1", "::1"), "::": ("::1",)}  # noqa: S104 - compared
"""The addresses at which to ask a service that listens everywhere or at 127.0.0.1: on a host
without IPv4 the service listens on IPv6 instead."""


def place() -> tuple[str, int]:
    """Return HOST and PORT of a model service, or those of the gateway's admin port."""
    if port := os.environ.get("GATEWAY_ADMIN_PORT"):
        return os.environ.get("GATEWAY_ADMIN_HOST") or "127.0.0.1", int(port)
    return os.environ.get("HOST") or "0.0.0.0", int(os.environ["PORT"])  # noqa: S104 - compared


def addresses(host: str) -> tuple[str, ...]:
    """Return where to ask a service that listens at a host; a service listens on IPv4 first."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    ip = str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])
    return LOOPBACK.get(ip, (ip,))


def ask(ip: str, port: int) -> tuple[int, str]:
    """Return the status and the beginning of the answer of `/readyz`."""
    connection = HTTPConnection(ip, port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_BYTES).decode(errors="replace")
    finally:
        connection.close()


def main() -> int:
    """Print the answer; return 0 if the service is ready."""
    host, port = place()
    for ip in addresses(host):
        try:
            status, text = ask(ip, port)
        except (OSError, HTTPException) as error:
            print(f"{ip} port {port}: {error}")
        else:
            print(text)
            return int(status != 200)  # noqa: PLR2004
    return 1


if __name__ == "__main__":
    sys.exit(main())
