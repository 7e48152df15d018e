"""The stack as processes of this machine."""

import json
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path

import httpx

from stack import STATE, logins, ready
from stack.access import NacosAccess
from stack.compiled import Compilation, in_background
from stack.credentials import read_or_make
from stack.lock import one_at_a_time
from stack.logins import Making
from stack.nacos import NacosServer, members
from stack.observe import prometheus
from stack.own_nacos import OwnNacos, prove_here
from stack.plan import HOST, Part, Plan
from stack.ports import is_free
from stack.process import Process, clean_environment
from stack.releases import chosen
from stack.waiting import wait_for_all

READY_SECONDS = 600.0
"""The time in which all has to be ready: a busy machine takes many times the usual twenty, and a
minute more where the gateway is still to be compiled."""
STOP_SECONDS = 45.0
"""The time a process has to end by itself: more than its drain and its last requests take."""


class StackError(RuntimeError):
    """The stack cannot be brought up; the message says why and what to do."""


class LocalStack:
    """Nacos, the models and the gateway as processes, remembered in a file between two commands.

    Nacos is one server, or the members of a cluster. With an `own` Nacos none is started, and its
    place in the stack stays empty. To `observe` is to start Prometheus too.
    """

    def __init__(
        self,
        plan: Plan,
        home: Path | None = None,
        own: OwnNacos | None = None,
        *,
        observe: bool = False,
    ) -> None:
        self.plan = plan
        self.own = own
        self.observe = observe
        self.home = home or STATE / (f"stack-{plan.offset}" if plan.offset else "stack")
        self._file = self.home / "processes.json"
        self._credentials = read_or_make()

    @property
    def own_file(self) -> Path:
        """The file that names the Nacos of one's own that a running stack uses."""
        return self.home / "own-nacos.json"

    @property
    def kept_members(self) -> int:
        """The number of Nacos servers of the stack that was started last."""
        return int(self._members_file.read_text()) if self._members_file.exists() else 1

    def keep_members(self) -> None:
        """Remember the number of Nacos servers for the commands to come."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._members_file.write_text(str(self.plan.members))

    @property
    def _members_file(self) -> Path:
        return self.home / "nacos-members"

    @property
    def nacos(self) -> NacosServer:
        """The stack's Nacos, or the first member of its cluster."""
        return self.servers["nacos"]

    @cached_property
    def servers(self) -> Mapping[str, NacosServer]:
        """The stack's Nacos, or the members of its cluster, by the names of their processes.

        Raises:
            StackError: this host has no address by which members could talk to each other.
        """
        release, shared = chosen(), self._credentials.nacos
        if self.plan.members == 1:
            ports = self.plan.nacos["nacos"]
            home = release.home(self.home)
            alone = NacosServer(
                home, port=ports.http, console_port=ports.console, shared=shared, release=release
            )
            return {"nacos": alone}
        places = [
            (self.home / "nacos-cluster" / name, ports) for name, ports in self.plan.nacos.items()
        ]
        try:
            return dict(zip(self.plan.nacos, members(places, shared), strict=True))
        except OSError as error:
            raise StackError(
                f"the members of a cluster need an address other than loopback: {error}"
            ) from error

    def processes(self) -> dict[str, Process]:
        """Return the processes of this stack that run, by name."""
        if not self._file.exists():
            return {}
        kept = [Process(**each) for each in json.loads(self._file.read_text())]
        return {process.name: process for process in kept if process.alive}

    def log_of(self, name: str) -> Path:
        """Return the log file of one process."""
        return (
            self.servers[name].log
            if name in self.plan.nacos
            else self.home / "logs" / f"{name}.log"
        )

    def up(self) -> None:
        """Start what does not run yet and return when every call through the gateway works.

        Raises:
            StackError: a port is taken, or a process ended or was not ready in time; what this
                call started is stopped again.
            UnusableNacosError: a Nacos of one's own does not let a service in; nothing is started.
        """
        with one_at_a_time(self.home / "lock"):
            running = self.processes()
            self._check_ports(running)
            if self.own:
                print(f"  {prove_here(self.own.environment)}", flush=True)
            try:
                self._start_missing(running)
            except BaseException:
                self._stop({name: p for name, p in self.processes().items() if name not in running})
                raise

    def down(self) -> bool:
        """Stop everything; return whether anything ran."""
        with one_at_a_time(self.home / "lock"):
            running = self.processes()
            self._stop(running)
            self._file.unlink(missing_ok=True)
        return bool(running)

    @property
    def _names(self) -> list[str]:
        parts = [part.name for part in self.plan.parts]
        first = () if self.own else self.plan.nacos
        return [*first, *parts, *(["prometheus"] if self.observe else [])]

    def _check_ports(self, running: dict[str, Process]) -> None:
        wanted = {part.name: part.ports for part in self.plan.parts}
        if not self.own:
            wanted |= {name: server.ports.all for name, server in self.servers.items()}
        if self.observe:
            wanted["prometheus"] = {"HTTP": self.plan.prometheus_port}
        taken = [
            f"port {port} ({name}, {purpose})"
            for name, ports in wanted.items()
            if name not in running
            for purpose, port in ports.items()
            if not is_free(port)
        ]
        if taken:
            raise StackError(
                f"taken by another process: {', '.join(taken)}. Stop that process, or move all "
                "ports of the stack up with STACK_OFFSET, for example STACK_OFFSET=10000"
            )

    def _start_missing(self, running: dict[str, Process]) -> None:
        """Start the parts in order and wait; the gateway is started as soon as it is compiled."""
        started = dict(running)
        gateway = self.plan.gateway.name
        missing = [name for name in self._names if name not in running]

        def start(name: str, compiled: Path | None = None) -> None:
            self.log_of(name).unlink(missing_ok=True)
            started[name] = self._start(name, compiled)
            self._remember(started)

        def start_gateway(compilation: Compilation) -> bool:
            if compilation.runs:
                return False
            start(gateway, compilation.folder())
            return True

        with ExitStack() as stack:
            steps: dict[str, Callable[[], bool]] = {}
            if gateway in missing:
                compilation = stack.enter_context(in_background())
                steps["gateway is started"] = partial(start_gateway, compilation)
            for name in missing:
                if name != gateway:
                    start(name)
            self._tell_prometheus(running)
            for name, server in self.servers.items():
                server.process = started.get(name)
                if not self.own:
                    steps[f"{name} answers logins"] = partial(self._answers, name, started)
            if not self.own:
                making = stack.enter_context(self._logins())
                steps["the services have their login"] = making.is_done
            self._wait_ready(steps, started)

    def _tell_prometheus(self, running: dict[str, Process]) -> None:
        """Have a Prometheus that ran before read of a new service."""
        if "prometheus" in running:
            prometheus.configure(self.plan, self.home / "prometheus")
            running["prometheus"].signal(signal.SIGHUP)

    def _start(self, name: str, compiled: Path | None) -> Process:
        if name in self.plan.nacos:
            return self.servers[name].start()
        if name == "prometheus":
            argv = prometheus.command(self.plan, self.home / "prometheus")
            return Process.start(name, argv, env=clean_environment(), log=self.log_of(name))
        part = next(part for part in self.plan.parts if part.name == name)
        # Beside Nacos' own files: another stack with this Nacos' port had other documents.
        cache = {"NACOS_CACHE_DIR": str(self.home / "cache")}
        placed = part.environment()
        if self.own:
            del placed["ADVERTISE_IP"]
        nacos = self.own.environment if self.own else self._services_access.environment
        env = {**clean_environment(), **cache, **placed, **nacos}
        if compiled:
            env["PYTHONPATH"] = str(compiled)
        argv = [sys.executable, "-m", part.package]
        return Process.start(name, argv, env=env, log=self.log_of(name))

    @property
    def _services_access(self) -> NacosAccess:
        servers = list(self.servers.values())
        return logins.services_access(servers, self._credentials.models_password)

    def _logins(self) -> AbstractContextManager[Making]:
        servers, log = list(self.servers.values()), self.log_of("nacos-password")
        return logins.in_background(servers, self._credentials.models_password, log)

    def _answers(self, name: str, started: dict[str, Process]) -> bool:
        """Return whether a server answers logins; a member that gave up has been started again."""
        server = self.servers[name]
        answers = server.is_ready()
        if server.process and server.process != started[name]:
            started[name] = server.process
            self._remember(started)
        return answers

    def _remember(self, processes: dict[str, Process]) -> None:
        written = self._file.with_suffix(".partial")
        written.write_text(json.dumps([asdict(process) for process in processes.values()]))
        written.replace(self._file)

    def _wait_ready(
        self, first: Mapping[str, Callable[[], bool]], started: Collection[str]
    ) -> None:
        """Wait for the steps `first` and for all parts, as long as those `started` are alive."""
        with httpx.Client(timeout=5, trust_env=False) as http:
            steps = dict(first)
            for part in self.plan.parts:
                steps[f"{part.name} is ready"] = partial(_is_ready, http, part)
            for part in self.plan.models:
                steps[f"{part.name} is in Nacos"] = partial(_is_announced, http, part)
            steps.update(ready.conditions(http, self.plan, None, shared=self.own is not None))
            if self.observe:
                steps["prometheus is ready"] = partial(_watches, http, self.plan.prometheus_port)
            check_alive = partial(self._check_alive, started)
            wait_for_all(steps, seconds=READY_SECONDS, meanwhile=check_alive)

    def _check_alive(self, started: Collection[str]) -> None:
        alive = self.processes()
        # A member that soon finds no leader ends, and is started again when it is looked at.
        members = self.plan.nacos if self.plan.members > 1 else ()
        for name in started:
            if name not in alive and name not in members:
                tail = self.log_of(name).read_text(errors="replace")[-2000:]
                raise StackError(f"{name} ended while starting. The end of its log:\n{tail}")

    def _stop(self, processes: dict[str, Process]) -> None:
        """Stop the gateway, then the models, then Nacos: each part outlives those that need it.

        Prometheus ends first, before what it scrapes is gone.
        """
        models = [part.name for part in self.plan.models]
        for group in (["prometheus"], [self.plan.gateway.name], models, self.plan.nacos):
            ending = [processes[name] for name in group if name in processes]
            for process in ending:
                process.resume()
                process.signal(signal.SIGTERM)
            for process in ending:
                process.stop(grace=STOP_SECONDS)
                print(f"  {process.name} stopped", flush=True)


def _readyz(http: httpx.Client, part: Part) -> httpx.Response | None:
    try:
        return http.get(f"http://{HOST}:{part.admin_port}/readyz")
    except httpx.HTTPError:
        return None


def _watches(http: httpx.Client, prometheus_port: int) -> bool:
    try:
        return http.get(f"http://{HOST}:{prometheus_port}/-/ready").is_success
    except httpx.HTTPError:
        return False


def _is_ready(http: httpx.Client, part: Part) -> bool:
    answer = _readyz(http, part)
    return answer is not None and answer.is_success


def _is_announced(http: httpx.Client, part: Part) -> bool:
    """Return whether Nacos shows the part as it wants to be shown, by what the part has seen."""
    answer = _readyz(http, part)
    checks = answer.json()["checks"] if answer is not None else {}
    return bool(checks.get(f"announcement {part.service}", {}).get("ok"))
