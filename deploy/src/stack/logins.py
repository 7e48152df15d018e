"""The logins of the stack's Nacos, made by the same program as in containers and Kubernetes."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack import ROOT
from stack.access import NacosAccess
from stack.nacos import NacosServer
from stack.process import clean_environment

PROGRAM = ROOT / "deploy" / "nacos" / "first_password.py"
SERVICES_USER = "models"
"""The user in Nacos by which the services log in; the program names it too."""


class LoginsError(RuntimeError):
    """The logins cannot be made; the message says why."""


def services_access(servers: Sequence[NacosServer], password: str) -> NacosAccess:
    """Return the access of the services: every server's address, and their own login."""
    addresses = ",".join(server.server_addr for server in servers)
    return NacosAccess(addresses, SERVICES_USER, password)


@dataclass(frozen=True, slots=True)
class Making:
    """A run of the program, and the log with its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def is_done(self) -> bool:
        """Return whether both logins work.

        Raises:
            LoginsError: the program gave up.
        """
        code = self.process.poll()
        if code:
            raise LoginsError(f"Nacos has no login for the services: {self.log.read_text()}")
        return code == 0


@contextmanager
def in_background(
    servers: Sequence[NacosServer], models_password: str, log: Path
) -> Iterator[Making]:
    """Set the administrator's password and make the services' user as soon as a server answers."""
    admin = servers[0]
    addresses = services_access(servers, models_password).server_addr
    environment = {
        **clean_environment(),
        "NACOS_SERVER_ADDR": addresses,
        "NACOS_USERNAME": admin.username,
        "NACOS_PASSWORD": admin.password,
        "NACOS_AUTH_IDENTITY_VALUE": admin.secrets.identity,
        "MODELS_PASSWORD": models_password,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Making(process, log)
        finally:
            process.kill()
