"""A real Nacos server as a local process: authentication on, embedded storage."""

import base64
import json
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx

from stack.access import NacosAccess
from stack.jars import class_path
from stack.ports import NacosPorts, claim
from stack.process import Process, clean_environment
from stack.releases import Release, chosen
from stack.waiting import wait_until

READY_SECONDS = 240.0
STOP_SECONDS = 20.0
DEFAULT_PASSWORD = "nacos"  # noqa: S105 - of every server before 2.4, until it is changed


@dataclass(frozen=True, slots=True)
class NacosSecrets:
    """The password, identity and token key of a server; the same for all members of a cluster."""

    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    identity: str = field(default_factory=lambda: secrets.token_hex(16))
    token_key: str = field(
        default_factory=lambda: base64.b64encode(secrets.token_bytes(48)).decode()
    )


@dataclass(frozen=True, slots=True)
class NacosTls:
    """PEM files of a server that speaks TLS only, over HTTP and gRPC."""

    ca: Path
    certificate: Path
    key: Path


class NacosServer:
    """One Nacos server; its data are under `home` and survive a restart.

    `address` is the IP literal that the server takes for its own, IPv6 in brackets. `peers` names
    all members of its cluster as `ip:port`; without peers it stands alone. With `tls` it refuses
    plain text. `release` is the one that NACOS_VERSION names, if none is given. `name` is the name
    of its process.
    """

    username = "nacos"

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        console_port: int | None = None,
        password: str | None = None,
        address: str = "127.0.0.1",
        peers: tuple[str, ...] = (),
        shared: NacosSecrets | None = None,
        tls: NacosTls | None = None,
        release: Release | None = None,
        name: str = "nacos",
    ) -> None:
        self.home = home.resolve()
        self.name = name
        self.release = release or chosen()
        self.ports = NacosPorts(port, console_port or port + 1) if port else NacosPorts.free()
        self._address = address
        self._peers = peers
        self._tls = tls
        self.secrets = shared or self._kept_secrets(password)
        self.process: Process | None = None

    @property
    def server_addr(self) -> str:
        """`ip:port`, as NACOS_SERVER_ADDR wants it."""
        return f"{self._address}:{self.ports.http}"

    @property
    def url(self) -> str:
        """Base address of the HTTP API."""
        return self.access.url

    @property
    def console_url(self) -> str:
        """The address of the console, for a browser."""
        if self.release.has_console_port:
            return f"http://{self._address}:{self.ports.console}/"
        return f"http://{self.server_addr}/nacos/"

    @property
    def password(self) -> str:
        """The password of `username`."""
        return self.secrets.password

    @property
    def access(self) -> NacosAccess:
        """The address and login that its clients use."""
        ca = self._tls.ca if self._tls else None
        return NacosAccess(self.server_addr, self.username, self.password, ca=ca)

    @property
    def log(self) -> Path:
        """The file that receives the server's output."""
        return self.home / "logs" / "console.log"

    def start(self) -> Process:
        """Start the process; the server can be used once `wait_ready` has returned."""
        (self.home / "conf").mkdir(parents=True, exist_ok=True)
        argv = ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        argv += [f"-Dnacos.server.ip={self._address}", *self._mode()]
        argv += [f"-Dnacos.home={self.home}", f"-Dnacos.logs.path={self.home}/logs"]
        argv += [f"-Dderby.stream.error.file={self.home}/logs/derby.log"]
        settings = self.release.folder
        argv += [f"-Dspring.config.additional-location=file:{settings}/", *self._encryption()]
        argv += ["-cp", class_path(self.release), *self.release.main]
        # Secrets go by the environment, which only the owner can read, never on the command line.
        env = {
            **clean_environment(),
            "NACOS_APPLICATION_PORT": str(self.ports.http),
            "NACOS_CONSOLE_PORT": str(self.ports.console),
            "NACOS_AUTH_IDENTITY_KEY": "stack",
            "NACOS_AUTH_IDENTITY_VALUE": self.secrets.identity,
            "NACOS_AUTH_TOKEN": self.secrets.token_key,
        }
        self.process = Process.start(self.name, argv, env=env, log=self.log)
        return self.process

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when the server accepts logins and gRPC connections; at first set its password.

        Its readiness alone is not enough: for some seconds after it logins are refused.
        """
        try:
            wait_until(
                self.is_ready,
                seconds=seconds,
                what=f"Nacos at {self.server_addr} answers logins; its log: {self.log}",
            )
        except TimeoutError:
            self.kill()
            raise

    def is_ready(self) -> bool:
        """Return whether logins and gRPC work; set the password if none is set yet.

        Raises:
            RuntimeError: the server ended; the message has the end of its log.
        """
        if self.process and not self.process.alive:
            if self._peers:
                # A member that soon finds no leader ends; an operator would start it again.
                self.start()
                return False
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"Nacos ended while starting; the end of {self.log}:\n{tail}")
        with self.access.http(timeout=5) as http, suppress(httpx.HTTPError):
            if http.get(self.release.readiness).status_code != httpx.codes.OK:
                return False
            try:
                self.access.log_in(http)
            except httpx.HTTPError:
                self._set_password(http)
            else:
                return self._grpc_listens()
        return False

    def stop(self) -> None:
        """End the server with SIGTERM, then, if it does not end, with SIGKILL."""
        if self.process:
            self.process.stop(grace=STOP_SECONDS)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        if self.process:
            self.process.kill()

    def pause(self) -> None:
        """Freeze the server: its connections stay open and nothing is answered."""
        if self.process:
            self.process.pause()

    def resume(self) -> None:
        """End a pause."""
        if self.process:
            self.process.resume()

    def _set_password(self, http: httpx.Client) -> None:
        """Give the server its password if none is set yet.

        Raises:
            httpx.HTTPError: a password is set, or the server does not take one yet.
        """
        if self.release.has_console_port:
            http.post("/v3/auth/user/admin", data={"password": self.password})
            return
        account = {"username": self.username, "newPassword": self.password}
        with replace(self.access, password=DEFAULT_PASSWORD).operator() as operator:
            operator.request("PUT", "user", **account)

    def _grpc_listens(self) -> bool:
        try:
            grpc = self._address.strip("[]"), self.ports.http + 1000
            socket.create_connection(grpc, timeout=1).close()
        except OSError:
            return False
        return True

    def _kept_secrets(self, password: str | None) -> NacosSecrets:
        file = self.home / "secrets.json"
        if file.exists():
            return NacosSecrets(**json.loads(file.read_text()))
        made = NacosSecrets(password=password) if password else NacosSecrets()
        write_private(file, json.dumps(asdict(made)))
        return made

    def _encryption(self) -> list[str]:
        if self._tls is None:
            return []
        files = self._tls
        # The first pair is Spring Boot's, for HTTP; the others are Nacos' own, for gRPC.
        settings = {
            "server.ssl.certificate": files.certificate,
            "server.ssl.certificate-private-key": files.key,
            "nacos.remote.server.rpc.tls.enableTls": "true",
            "nacos.remote.server.rpc.tls.compatibility": "false",
            "nacos.remote.server.rpc.tls.certChainFile": f"file:{files.certificate}",
            "nacos.remote.server.rpc.tls.certPrivateKey": f"file:{files.key}",
        }
        return [f"-D{name}={value}" for name, value in settings.items()]

    def _mode(self) -> list[str]:
        if not self._peers:
            return ["-Dnacos.standalone=true"]
        (self.home / "conf" / "cluster.conf").write_text("\n".join(self._peers) + "\n")
        # Without the second setting a cluster with empty storage fails to start.
        return ["-DembeddedStorage=true", "-Dnacos.config.namespace.compatible.mode=false"]


def cluster(home: Path, *, size: int = 3) -> tuple[NacosServer, ...]:
    """Return the servers of one cluster on free ports, not yet started: start all, then wait."""

    def others(one: NacosPorts) -> list[int]:
        return [port for ports in one.members(size)[1:] for port in ports.all.values()]

    first = next(one for one in iter(NacosPorts.free, None) if claim(*others(one)))
    homes = [home / str(number) for number in range(size)]
    return members(zip(homes, first.members(size), strict=True), NacosSecrets())


def members(
    places: Iterable[tuple[Path, NacosPorts]], shared: NacosSecrets
) -> tuple[NacosServer, ...]:
    """Return the servers of one cluster, not yet started, each with its home and ports.

    A member has its home's name. The members talk to each other by an address other than loopback,
    which Nacos requires.

    Raises:
        OSError: this host has no such address.
    """
    placed = list(places)
    address = _outward_address()
    peers = tuple(f"{address}:{ports.http}" for _, ports in placed)
    return tuple(
        NacosServer(
            home,
            port=ports.http,
            console_port=ports.console,
            address=address,
            peers=peers,
            shared=shared,
            name=home.name,
        )
        for home, ports in placed
    )


def _outward_address() -> str:
    """Return the IPv4 address this machine would use to reach others; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        return str(probe.getsockname()[0])


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
