"""A server that answers as a Nacos did which refused, or was not ready."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering(BaseHTTPRequestHandler):
    """Reads forms and says what a test wants said."""

    def form(self) -> str:
        """Return the body of the request."""
        return self.rfile.read(int(self.headers["Content-Length"])).decode()

    def say(self, status: int, text: str = "") -> None:
        """Answer the request."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


@contextmanager
def serving(handler: type[Answering]) -> Iterator[str]:
    """Serve by a handler until the block ends; gives the server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
