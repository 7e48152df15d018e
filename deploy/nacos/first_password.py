"""Sets the first password of a Nacos server and ends when logins work; runs once, in a container.

Reads NACOS_SERVER_ADDR, NACOS_USERNAME and NACOS_PASSWORD. Standard library only.
"""  # noqa: INP001 - mounted alone into a container

import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus

PATIENCE = 300.0
"""Seconds to go on trying: Nacos starts meanwhile, and refuses logins for some seconds after it."""


def accepted(path: str, **form: str) -> bool:
    """Post a form; return whether the server accepted it."""
    url = f"http://{os.environ['NACOS_SERVER_ADDR']}/nacos{path}"
    try:
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(url, body, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Return 0 when the login works, 1 when it does not in time."""
    username, password = os.environ["NACOS_USERNAME"], os.environ["NACOS_PASSWORD"]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if accepted("/v3/auth/user/login", username=username, password=password):
            print("the login works")
            return 0
        accepted("/v3/auth/user/admin", password=password)
        time.sleep(0.5)  # noqa: TID251 - no event loop here
    print("logins are refused: another password was set before", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
