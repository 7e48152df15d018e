"""The gateways that are compared, and their start; their configurations lie in peers/."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.compiled import build

from benchmarks.measure.nacos import Account
from benchmarks.measure.process import Process

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BIN = ROOT / ".local" / "peers" / "bin"
"""The folder in which setup.sh puts the peers' programs."""
SPRING_JAR = HERE / "spring" / "target" / "spring-gateway.jar"

GATEWAY = "this gateway"
"""The form that `make up` starts: compiled, with its access log."""
GATEWAY_SILENT = "this gateway without access log"
GATEWAY_INTERPRETED = "this gateway interpreted"
OURS = (GATEWAY, GATEWAY_SILENT, GATEWAY_INTERPRETED)
NGINX, HAPROXY, ENVOY, TRAEFIK = "nginx", "HAProxy", "Envoy", "Traefik"
SPRING = "Spring Cloud Gateway"
HTTPX = "FastAPI + httpx"


@dataclass(frozen=True, slots=True)
class Site:
    """The surroundings of a gateway: the servers behind it, Nacos, a folder to write in, a core.

    `environment` wins over the variables that `start` is given.
    """

    work: Path
    servers: Sequence[tuple[str, int]]
    nacos: Account
    core: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str | Path], **environment: str) -> Process:
        """Start a program on the site's core; its output goes to a log named after it."""
        log = self.work / (re.sub(r"[^a-z]+", "-", name.lower()) + ".log")
        env = {**environment, **self.environment}
        return Process(argv, log=log, core=self.core, env=env, cwd=self.work)

    def render(self, template: Path, server_line: str, **values: object) -> Path:
        """Write `template` with its @NAME@ marks filled in and return the copy.

        `server_line` is written once for each server, with {host}, {port} and {number} filled in.
        """
        lines = [
            server_line.format(host=host, port=port, number=number)
            for number, (host, port) in enumerate(self.servers)
        ]
        text = template.read_text().replace("@WORK@", str(self.work))
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        text = re.sub(
            r"(?m)^( *)@(?:SERVERS|LISTEN)@$",
            lambda mark: "\n".join(mark[1] + line for line in lines),
            text,
        )
        rendered = self.work / template.name
        rendered.write_text(text)
        return rendered


def _nginx_argv(site: Site, conf: Path) -> tuple[str | Path, ...]:
    return (BIN / "nginx", "-e", "stderr", "-c", conf, "-p", site.work)


def start_backend(site: Site) -> Process:
    """Start one nginx that listens on every server address of the site."""
    (site.work / "large").write_bytes(b"x" * 2**20)
    conf = site.render(HERE / "backend.conf", "listen {host}:{port} backlog=8192;")
    return site.start("backend", _nginx_argv(site, conf))


def _gateway(name: str) -> Callable[[Site, int], Process]:
    def start(site: Site, port: int) -> Process:
        form = {} if name == GATEWAY_INTERPRETED else {"PYTHONPATH": str(build())}
        return site.start(
            name,
            [sys.executable, "-m", "gateway"],
            **site.nacos.environment,
            HOST="127.0.0.1",
            PORT=str(port),
            GATEWAY_ADMIN_PORT=str(port + 1),
            GATEWAY_ACCESS_LOG=str(name != GATEWAY_SILENT).lower(),
            GATEWAY_WORKERS="1",
            GATEWAY_MAX_IN_FLIGHT="8192",
            LOG_LEVEL="WARNING",
            **form,
        )

    return start


def _nginx(site: Site, port: int) -> Process:
    server = "server {host}:{port} max_fails=1 fail_timeout=10s;"
    conf = site.render(HERE / "peers" / "nginx.conf", server, PORT=port)
    return site.start(NGINX, _nginx_argv(site, conf))


def _haproxy(site: Site, port: int) -> Process:
    server = "server s{number} {host}:{port}"
    conf = site.render(HERE / "peers" / "haproxy.cfg", server, PORT=port)
    return site.start(HAPROXY, (BIN / "haproxy", "-W", "-f", conf))


def _envoy(site: Site, port: int) -> Process:
    server = (
        "- endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}"
    )
    conf = site.render(HERE / "peers" / "envoy.yaml", server, PORT=port, ADMIN_PORT=port + 1)
    argv = (BIN / "envoy", "-c", conf, "--concurrency", "1", "-l", "warning")
    return site.start(ENVOY, (*argv, "--base-id", str(port)))


def _traefik(site: Site, port: int) -> Process:
    conf = site.render(HERE / "peers" / "traefik-routes.yaml", "- url: http://{host}:{port}")
    argv = (
        BIN / "traefik",
        f"--entrypoints.edge.address=127.0.0.1:{port}",
        f"--providers.file.filename={conf}",
        "--serverstransport.maxidleconnsperhost=1024",
        "--serverstransport.forwardingtimeouts.dialtimeout=500ms",
        "--serverstransport.forwardingtimeouts.responseheadertimeout=2s",
        "--serverstransport.forwardingtimeouts.idleconntimeout=4s",
        "--log.level=WARN",
        "--global.checknewversion=false",
    )
    return site.start(TRAEFIK, argv, GOMAXPROCS="1")


def _spring(site: Site, port: int) -> Process:
    flags = ("-Xms256m", "-Xmx512m", "-Dreactor.netty.ioWorkerCount=1")
    argv = (BIN / "java", *flags, "-jar", SPRING_JAR)
    return site.start(SPRING, argv, **site.nacos.environment, PEER_PORT=str(port))


def _httpx(site: Site, port: int) -> Process:
    argv = (sys.executable, "-m", "uvicorn", "httpx_proxy:app", "--port", str(port))
    more = ("--app-dir", HERE / "peers", "--no-access-log", "--log-level", "warning")
    servers = ",".join(f"{host}:{server_port}" for host, server_port in site.servers)
    return site.start(HTTPX, (*argv, *more), SERVERS=servers)


START: dict[str, Callable[[Site, int], Process]] = {
    **{name: _gateway(name) for name in OURS},
    NGINX: _nginx,
    HAPROXY: _haproxy,
    ENVOY: _envoy,
    TRAEFIK: _traefik,
    SPRING: _spring,
    HTTPX: _httpx,
}
"""Functions that start a gateway for a site on a port of 127.0.0.1; it may use the next port."""


def versions() -> dict[str, str]:
    """Return the version of every program that takes part."""

    def says(pattern: str, *argv: str | Path) -> str:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        found = re.search(pattern, done.stdout + done.stderr)
        return found[1] if found else "unknown"

    def spring(name: str) -> str:
        pom = (HERE / "spring" / "pom.xml").read_text()
        found = re.search(rf"<{name}>([^<]+)<", pom, re.DOTALL)
        return found[1] if found else "unknown"

    package = importlib.metadata.version
    return {
        GATEWAY: f"{package('modelserve-gateway')}, uvloop {package('uvloop')}, "
        f"httptools {package('httptools')}, Python {sys.version.split()[0]}",
        NGINX: says(r"nginx/(\S+)", BIN / "nginx", "-v"),
        HAPROXY: says(r"version (\S+)", BIN / "haproxy", "-v"),
        ENVOY: says(r"/(\d+\.\d+\.\d+)/", BIN / "envoy", "--version"),
        TRAEFIK: says(r"Version:\s+(\S+)", BIN / "traefik", "version"),
        SPRING: f"Spring Boot {spring('parent>.*?<version')}, "
        f"Spring Cloud {spring('spring-cloud.version')}, "
        f"Spring Cloud Alibaba {spring('spring-cloud-alibaba.version')}, "
        + says(r'version "([^"]+)', BIN / "java", "-version").join(("Java ", "")),
        HTTPX: f"FastAPI {package('fastapi')}, httpx {package('httpx')}, "
        f"uvicorn {package('uvicorn')}",
        "wrk": says(r"wrk (?:debian/)?(\S+)", "wrk", "-v"),
    }
