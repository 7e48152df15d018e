# ruff: noqa: INP001 - a script
"""A private package index: pypiserver, where listing, downloading and uploading all need a login.

The login comes from INDEX_USERNAME and INDEX_PASSWORD in the environment and stays in memory.
"""

import argparse
import hmac
import os
import signal
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver


class Server(ThreadingMixIn, WSGIServer):
    """A server with a thread for each request, so that a slow upload delays no other."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """A request handler that does not print a line for each request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


def index(packages: Path, port: int, username: str, password: str) -> WSGIServer:
    """Return the index of a folder of wheels, listening on 127.0.0.1; port 0 takes a free one."""

    def known(name: str, secret: str) -> bool:
        same_name = hmac.compare_digest(name.encode(), username.encode())
        return hmac.compare_digest(secret.encode(), password.encode()) and same_name

    app = pypiserver.app(
        roots=[packages],
        authenticate=["list", "download", "update"],
        auther=known,
        disable_fallback=True,
    )
    return make_server("127.0.0.1", port, app, Server, Quiet)


def main() -> int:
    """Serve until interrupted; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", type=Path, help="folder of the wheels")
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    missing = [name for name in ("INDEX_USERNAME", "INDEX_PASSWORD") if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"set {' and '.join(missing)}: the index lets nobody in without\n")
        return 2
    arguments.packages.mkdir(parents=True, exist_ok=True)
    credentials = os.environ["INDEX_USERNAME"], os.environ["INDEX_PASSWORD"]
    server = index(arguments.packages.resolve(), arguments.port, *credentials)
    sys.stdout.write(f"index on http://127.0.0.1:{server.server_port}/simple/\n")
    sys.stdout.flush()
    # SIGTERM ends the server as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
