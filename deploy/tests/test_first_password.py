"""The logins of a new Nacos, while its members have not agreed on a leader yet.

A cluster says nothing when it will have one, so a server here answers as 3.1.0 did in a Kubernetes
without one; tests/integration/test_logins.py is of real servers.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from stack.logins import PROGRAM, SERVICES_USER
from stack.process import clean_environment

PASSWORD = "secret-1"  # noqa: S105 - of a server that lives as long as the test
LIMIT_SECONDS = 60


@contextmanager
def nacos_without_a_leader() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Serve a Nacos that stores nothing before rights were asked for once; return what it stores.

    Without a leader, users and roles are 500 and 400, and rights are 200 with an empty body.
    """
    stored: dict[str, list[str]] = {"user": [], "role": [], "permission": []}
    leader = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, {"data": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(parse_qsl(body))
            thing = self.path.rpartition("/")[2]
            if thing == "login":
                known = form["username"] in stored["user"]
                self._say(200, {"accessToken": "t"}) if known else self._say(500)
            elif not leader.is_set():
                self._say({"permission": 200, "role": 400}.get(thing, 500))
                if thing == "permission":
                    leader.set()
            else:
                name = form.get("username", form.get("resource", "nacos"))
                stored["user" if thing == "admin" else thing].append(name)
                self._say(200, {"code": 0})

        def _say(self, status: int, told: object = None) -> None:
            content = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", stored
        finally:
            server.shutdown()
            thread.join()


def test_what_was_not_stored_is_made_again() -> None:
    """The services get their user, role and rights, though the first were taken and not kept."""
    with nacos_without_a_leader() as (address, stored):
        given = {
            "NACOS_SERVER_ADDR": address,
            "NACOS_USERNAME": "nacos",
            "NACOS_PASSWORD": PASSWORD,
            "NACOS_AUTH_IDENTITY_VALUE": "identity",
            "MODELS_PASSWORD": PASSWORD,
        }
        done = subprocess.run(
            [sys.executable, PROGRAM],
            env={**clean_environment(), **given},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert set(stored["user"]) == {"nacos", SERVICES_USER}
    assert SERVICES_USER in stored["role"]
    assert len(set(stored["permission"])) == 3
