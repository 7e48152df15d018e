"""Sets the first password of a Nacos server and ends when logins work; runs once, in a container.

Reads NACOS_SERVER_ADDR, NACOS_USERNAME and NACOS_PASSWORD. Standard library only.
"""  # noqa: INP001 - mounted alone into a container

import json
import os
import sys
import time
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

FIRST_PASSWORD = "nacos"  # noqa: S105 - of every server before 2.4, until it is changed
PATIENCE = 300.0
"""Seconds to go on trying: Nacos starts meanwhile, and refuses logins for some seconds after it."""


LOGINS = ("/v3/auth/user/login", "/v1/auth/users/login")
"""The login's path since Nacos 3.0, and before."""


def sent(path: str, *, method: str = "POST", token: str = "", **form: str) -> dict[str, Any] | None:
    """Send a form; return the JSON object of the answer, or None where the server refused."""
    url = f"http://{os.environ['NACOS_SERVER_ADDR']}/nacos{path}"
    headers = {"accessToken": token, "Authorization": f"Bearer {token}"} if token else {}
    body = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return dict(json.load(answer))
    except (OSError, HTTPException, ValueError):  # a URLError is an OSError
        return None


def logged_in(username: str, password: str) -> str | None:
    """Return a token, or None where every login is refused."""
    answers = (sent(path, username=username, password=password) for path in LOGINS)
    return next((answer["accessToken"] for answer in answers if answer), None)


def set_password(username: str, password: str) -> None:
    """Set the password of a server that has none yet, or still that of its makers."""
    if sent("/v3/auth/user/admin", password=password) is None and (
        token := logged_in(username, FIRST_PASSWORD)
    ):
        form = {"username": username, "newPassword": password}
        sent("/v1/auth/users", method="PUT", token=token, **form)


def main() -> int:
    """Return 0 when the login works, 1 when it does not in time."""
    username, password = os.environ["NACOS_USERNAME"], os.environ["NACOS_PASSWORD"]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if logged_in(username, password):
            print("the login works")
            return 0
        set_password(username, password)
        time.sleep(0.5)  # noqa: TID251 - no event loop here
    print("logins are refused: another password was set before", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
