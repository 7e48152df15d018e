"""Makes the logins of a new Nacos: the administrator's password, and the user of the services.

Runs once, in a container or beside a local Nacos, and ends when both logins work: the services'
user may register and be found in one namespace, read its documents, and nothing else. Reads
NACOS_SERVER_ADDR (several servers with commas between), NACOS_USERNAME, NACOS_PASSWORD,
NACOS_AUTH_IDENTITY_KEY and NACOS_AUTH_IDENTITY_VALUE as the server has them, MODELS_PASSWORD and
NACOS_NAMESPACE. Standard library only.
"""  # noqa: INP001 - mounted alone into a container

import itertools
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

FIRST_PASSWORD = "nacos"  # noqa: S105 - of every server before 2.4, until it is changed
SERVICES_USER = "models"
PATIENCE = 600.0
"""Seconds to go on trying: Nacos starts meanwhile, and refuses logins for some seconds after it."""
PAUSE = 0.5
"""Seconds between two rounds."""
OK, NOT_FOUND = 200, 404
UNANSWERED = 0
"""The status of a request without an answer."""
LOGINS = ("/v3/auth/user/login", "/v1/auth/users/login")
"""The login's path since Nacos 3.0, and before."""


@dataclass(frozen=True)
class Answer:
    """A server's answer to a form: its status, and the object of its JSON, empty if it has none."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A Nacos server, by its address."""

    address: str

    def send(self, method: str, path: str, *, token: str = "", **form: str) -> Answer:
        """Send a form, with a login's token or, without one, as another server of the cluster.

        The identity of servers lets users be made before the administrator can log in: for up to
        15 s a server does not look for new users, and the services' user would wait once more.
        """
        if token:
            headers = {"accessToken": token, "Authorization": f"Bearer {token}"}
        else:
            key = os.environ.get("NACOS_AUTH_IDENTITY_KEY") or "stack"
            headers = {key: os.environ["NACOS_AUTH_IDENTITY_VALUE"]}
        url, text = f"http://{self.address}/nacos{path}", urllib.parse.urlencode(form)
        if method == "GET":
            url, body = f"{url}?{text}", None
        else:
            body = text.encode()
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                found = json.load(answer)
                return Answer(answer.status, found if isinstance(found, dict) else {})
        except HTTPError as error:
            with error:
                return Answer(error.code, {})
        except (OSError, HTTPException):
            return Answer(UNANSWERED, {})
        except ValueError:  # the text of a document is no JSON
            return Answer(OK, {})

    def log_in(self, username: str, password: str) -> tuple[str, bool] | None:
        """Return a token and whether the server is of 3.x; None where every login is refused."""
        for path in LOGINS:
            body = self.send("POST", path, username=username, password=password).body
            if token := body.get("accessToken"):
                return str(token), path.startswith("/v3")
        return None

    def set_password(self, username: str, password: str) -> None:
        """Set the password of a server that has none yet, or still that of its makers."""
        if self.send("POST", "/v3/auth/user/admin", password=password).status == OK:
            return
        if found := self.log_in(username, FIRST_PASSWORD):
            form = {"username": username, "newPassword": password}
            self.send("PUT", "/v1/auth/users", token=found[0], **form)

    def make_services_user(self, namespace: str, password: str) -> bool:
        """Make the user of the services with its role and what that may do; return if it is new."""
        # 2.x looks for the rights of `public` under an empty name, 3.x under its own.
        spellings = ("public", "") if namespace == "public" else (namespace,)
        permissions = [("/v3/admin/core/namespace", "r")]
        for each in spellings:
            permissions.append((f"{each}:DEFAULT_GROUP:naming/*", "rw"))
            permissions.append((f"{each}:*:config/*", "r"))
        user = {"username": SERVICES_USER}
        for users, roles, rights in (
            ("/v3/auth/user", "/v3/auth/role", "/v3/auth/permission"),
            ("/v1/auth/users", "/v1/auth/roles", "/v1/auth/permissions"),
        ):
            made = self.send("POST", users, **user, password=password)
            if made.status in {UNANSWERED, NOT_FOUND}:
                continue
            role = self.send("POST", roles, **user, role=SERVICES_USER)
            answers = [
                self.send("POST", rights, role=SERVICES_USER, resource=resource, action=action)
                for resource, action in permissions
            ]
            # Without a leader nothing is stored; 3.1 then takes rights with 200 and an empty body.
            return all(each.status == OK and each.body for each in (made, role, *answers))
        return False

    def lets_services_work(self, namespace: str, password: str) -> bool:
        """Return whether the services' user logs in, and may see instances and documents."""
        found = self.log_in(SERVICES_USER, password)
        if found is None:
            return False
        token, newer = found
        list_path = "/v3/client/ns/instance/list" if newer else "/v1/ns/instance/list"
        document_path = "/v3/client/cs/config" if newer else "/v1/cs/configs"
        place = {"namespaceId": namespace, "groupName": "DEFAULT_GROUP"}
        tenant = {"tenant": "" if namespace == "public" else namespace, "group": "DEFAULT_GROUP"}
        document = {**(place if newer else tenant), "dataId": "gateway"}
        listed = self.send("GET", list_path, token=token, serviceName="gateway", **place)
        read = self.send("GET", document_path, token=token, **document)
        return {listed.status, read.status} <= {OK, NOT_FOUND}


def main() -> int:
    """Return 0 when both logins work, 1 when they do not in time."""
    username, password = os.environ["NACOS_USERNAME"], os.environ["NACOS_PASSWORD"]
    models_password = os.environ["MODELS_PASSWORD"]
    namespace = os.environ.get("NACOS_NAMESPACE") or "public"
    servers = [Server(each.strip()) for each in os.environ["NACOS_SERVER_ADDR"].split(",")]
    deadline = time.monotonic() + PATIENCE
    made = False
    for server in itertools.cycle(servers):
        if time.monotonic() > deadline:
            break
        if server.log_in(username, password) is None:
            server.set_password(username, password)
        elif server.lets_services_work(namespace, models_password):
            print(f"both logins work, at {server.address}")
            return 0
        made = made or server.make_services_user(namespace, models_password)
        time.sleep(PAUSE)  # noqa: TID251 - no event loop here
    print("logins are refused: other passwords were set before", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
