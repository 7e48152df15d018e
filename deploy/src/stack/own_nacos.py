"""A Nacos of one's own for the stack: used, and never started, stopped or written to.

`make up NACOS=host:port` takes the login, the namespace and whatever else a service reads about
Nacos from the environment. Only the address and the namespace are kept, for `make status`.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path

from stack.plan import HOST
from stack.process import clean_environment

OF_THE_STACK = ("NACOS_VERSION", "NACOS_IMAGE", "NACOS_DATA", "NACOS_AUTH_", "NACOS_CACHE_DIR")
"""Variables about the Nacos that the stack starts by itself, or about its own folder."""


FILES = (
    *("NACOS_TLS_CA", "NACOS_TLS_CERT", "NACOS_TLS_KEY"),
    *("NACOS_CREDENTIALS_FILE", "NACOS_CIPHER_KEY_FILE"),
)
"""Variables that name files of this host."""


class UnusableNacosError(RuntimeError):
    """The Nacos cannot be used as the environment says; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class OwnNacos:
    """The address of a server, or of several with commas between, and a namespace there."""

    server_addr: str
    namespace: str

    @classmethod
    def at(cls, server_addr: str) -> "OwnNacos":
        """Return the Nacos at an address, with the namespace of the environment."""
        return cls(server_addr, os.environ.get("NACOS_NAMESPACE") or "public")

    @classmethod
    def read(cls, file: Path) -> "OwnNacos | None":
        """Return the Nacos that a running stack uses; None where it has one of the stack's."""
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def keep(self, file: Path) -> None:
        """Remember that a running stack uses this Nacos; no secret is written."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self)))

    def __str__(self) -> str:
        return f"{self.server_addr}, namespace {self.namespace}, yours"

    @property
    def is_on_loopback(self) -> bool:
        """Return whether the first server can be reached from this host alone."""
        try:
            return ip_address(self._host).is_loopback
        except ValueError:
            return self._host == "localhost"

    @property
    def _host(self) -> str:
        first = self.server_addr.split(",")[0].strip()
        if first.startswith("["):
            return first[1:].partition("]")[0]
        return first.partition(":")[0]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which a process reaches this Nacos, logs in, and is reached by callers.

        Callers may be on other hosts if Nacos may: then a service listens on all addresses, and
        announces ADVERTISE_IP or the address by which this host reaches Nacos.
        """
        given = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("NACOS_") and not name.startswith(OF_THE_STACK)
        }
        if address := os.environ.get("ADVERTISE_IP"):
            given["ADVERTISE_IP"] = address
        here = HOST if self.is_on_loopback and not address else "0.0.0.0"  # noqa: S104 - for callers elsewhere
        return {**given, "NACOS_SERVER_ADDR": self.server_addr, "HOST": here}

    def out_of_reach_of_containers(self) -> str | None:
        """Return the reason why containers cannot use this Nacos as it is given, or None."""
        if self.is_on_loopback:
            return f"in a container {self.server_addr} is the container itself"
        files = [name for name in FILES if os.environ.get(name)]
        if files:
            return f"the images do not hold the file of {' and '.join(files)}"
        return None

    def address_of_this_host(self) -> str:
        """Return ADVERTISE_IP, else the address that this host uses to reach Nacos; sends nothing.

        Raises:
            UnusableNacosError: there is no such host, or no way to it.
        """
        if given := os.environ.get("ADVERTISE_IP"):
            return given
        try:
            (family, kind, *_, place), *_ = socket.getaddrinfo(
                self._host, 9, type=socket.SOCK_DGRAM
            )
            with socket.socket(family, kind) as probe:
                probe.connect(place)
                return str(probe.getsockname()[0])
        except OSError as error:
            raise UnusableNacosError(f"NACOS={self.server_addr}: {error}") from error


def prove(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Have a service try its environment and its login; return the line that it says.

    Args:
        command: the start of the service, to which `--check` is added.
        environment: of the command.

    Raises:
        UnusableNacosError: the service says what is wrong.
    """
    done = subprocess.run(
        [*command, "--check"], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UnusableNacosError("; ".join(done.stderr.split("\n")).strip("; "))
    return done.stdout.strip()


def prove_here(environment: Mapping[str, str]) -> str:
    """Have the gateway of this checkout try, which starts soonest; see `prove`."""
    return prove((sys.executable, "-m", "gateway"), {**clean_environment(), **environment})
