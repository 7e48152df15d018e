"""The stack as processes of this machine."""

import json
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import httpx

from stack import STATE, ready
from stack.compiled import Compilation, in_background
from stack.credentials import read_or_make
from stack.lock import one_at_a_time
from stack.nacos import NacosServer
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

    With an `own` Nacos none is started, and its place in the stack stays empty.
    """

    def __init__(self, plan: Plan, home: Path | None = None, own: OwnNacos | None = None) -> None:
        self.plan = plan
        self.own = own
        self.home = home or STATE / (f"stack-{plan.offset}" if plan.offset else "stack")
        self._file = self.home / "processes.json"
        release = chosen()
        self._nacos = NacosServer(
            release.home(self.home),
            port=plan.nacos_port,
            console_port=plan.console_port,
            shared=read_or_make().nacos,
            release=release,
        )

    @property
    def own_file(self) -> Path:
        """The file that names the Nacos of one's own that a running stack uses."""
        return self.home / "own-nacos.json"

    @property
    def nacos(self) -> NacosServer:
        """The stack's Nacos."""
        return self._nacos

    def processes(self) -> dict[str, Process]:
        """Return the processes of this stack that run, by name."""
        if not self._file.exists():
            return {}
        kept = [Process(**each) for each in json.loads(self._file.read_text())]
        return {process.name: process for process in kept if process.alive}

    def log_of(self, name: str) -> Path:
        """Return the log file of one process."""
        return self._nacos.log if name == "nacos" else self.home / "logs" / f"{name}.log"

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
        return parts if self.own else ["nacos", *parts]

    def _check_ports(self, running: dict[str, Process]) -> None:
        wanted = {part.name: part.ports for part in self.plan.parts}
        if not self.own:
            wanted["nacos"] = self._nacos.ports.all
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

        with in_background() if gateway in missing else nullcontext() as compilation:
            for name in missing:
                if name != gateway:
                    start(name)
            self._nacos.process = started.get("nacos")
            steps = {}
            if compilation:
                steps["gateway is started"] = partial(start_gateway, compilation)
            self._wait_ready(steps, started)

    def _start(self, name: str, compiled: Path | None) -> Process:
        if name == "nacos":
            return self._nacos.start()
        part = next(part for part in self.plan.parts if part.name == name)
        # Beside Nacos' own files: another stack with this Nacos' port had other documents.
        cache = {"NACOS_CACHE_DIR": str(self.home / "cache")}
        placed = part.environment()
        if self.own:
            del placed["ADVERTISE_IP"]
        nacos = self.own.environment if self.own else self._nacos.access.environment
        env = {**clean_environment(), **cache, **placed, **nacos}
        if compiled:
            env["PYTHONPATH"] = str(compiled)
        argv = [sys.executable, "-m", part.package]
        return Process.start(name, argv, env=env, log=self.log_of(name))

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
            if not self.own:
                steps["nacos answers logins"] = self._nacos.is_ready
            for part in self.plan.parts:
                steps[f"{part.name} is ready"] = partial(_is_ready, http, part)
            for part in self.plan.models:
                steps[f"{part.name} is in Nacos"] = partial(_is_announced, http, part)
            steps.update(ready.conditions(http, self.plan, None, shared=self.own is not None))
            check_alive = partial(self._check_alive, started)
            wait_for_all(steps, seconds=READY_SECONDS, meanwhile=check_alive)

    def _check_alive(self, started: Collection[str]) -> None:
        alive = self.processes()
        for name in started:
            if name not in alive:
                tail = self.log_of(name).read_text(errors="replace")[-2000:]
                raise StackError(f"{name} ended while starting. The end of its log:\n{tail}")

    def _stop(self, processes: dict[str, Process]) -> None:
        """Stop the gateway, then the models, then Nacos: each part outlives those that need it."""
        models = [part.name for part in self.plan.models]
        for group in ([self.plan.gateway.name], models, ["nacos"]):
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


def _is_ready(http: httpx.Client, part: Part) -> bool:
    answer = _readyz(http, part)
    return answer is not None and answer.is_success


def _is_announced(http: httpx.Client, part: Part) -> bool:
    """Return whether Nacos shows the part as it wants to be shown, by what the part has seen."""
    answer = _readyz(http, part)
    checks = answer.json()["checks"] if answer is not None else {}
    return bool(checks.get(f"announcement {part.service}", {}).get("ok"))
