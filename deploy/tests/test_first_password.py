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
from urllib.parse import parse_qsl

from stack.logins import PROGRAM, SERVICES_USER
from stack.process import clean_environment

from deploy.tests.stand_in import Answering, serving

PASSWORD = "secret-1"  # noqa: S105 - of a server that lives as long as the test
LIMIT_SECONDS = 60


@contextmanager
def nacos_without_a_leader() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Serve a Nacos that stores nothing before rights were asked for once; return what it stores.

    Without a leader, users and roles are 500 and 400, and rights are 200 with an empty body.
    """
    stored: dict[str, list[str]] = {"user": [], "role": [], "permission": []}
    leader = threading.Event()

    class Handler(Answering):
        def do_GET(self) -> None:  # noqa: N802 - of http.server
            self.say(200, json.dumps({"data": []}))

        def do_POST(self) -> None:  # noqa: N802 - of http.server
            form = dict(parse_qsl(self.form()))
            thing = self.path.rpartition("/")[2]
            if thing == "login":
                known = form["username"] in stored["user"]
                self.say(200, json.dumps({"accessToken": "t"})) if known else self.say(500)
            elif not leader.is_set():
                self.say({"permission": 200, "role": 400}.get(thing, 500))
                if thing == "permission":
                    leader.set()
            else:
                name = form.get("username", form.get("resource", "nacos"))
                stored["user" if thing == "admin" else thing].append(name)
                self.say(200, json.dumps({"code": 0}))

    with serving(Handler) as address:
        yield address, stored


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
    assert len(set(stored["permission"])) == 5
