"""`python -m stack COMMAND`: the whole system on this machine, and the services it is made of."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stack import ROOT
from stack.credentials import read_or_make
from stack.docker import DockerStack
from stack.given_origin import origin_of
from stack.jars import MissingToolError
from stack.local import LocalStack, StackError
from stack.logins import LoginsError
from stack.new_service import ServiceError, create, install, named, remove
from stack.origins import UnusableOriginError
from stack.own_nacos import OwnNacos, UnusableNacosError
from stack.plan import HOST, MAX_OFFSET, Plan
from stack.releases import NEWEST, UnknownReleaseError, chosen

EXPECTED = (
    *(StackError, LoginsError, UnusableNacosError, MissingToolError, UnknownReleaseError),
    *(ServiceError, UnusableOriginError),
)
"""The errors whose message is all that a user needs."""
UV = str(Path(sys.executable).with_name("uv"))


def main() -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args()
    # A new service is whole or not there: whoever ends this command gets what Ctrl-C gets.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "new-service":
            _new_service(arguments.name, arguments.origin, arguments.port, arguments.uv)
            return 0
        if arguments.command == "check-service":
            return _check_service(arguments.name, arguments.pytest)
        if arguments.command == "up":
            own = OwnNacos.at(arguments.nacos) if arguments.nacos else None
            plan, observe = _wanted(arguments), arguments.observe
            containers = DockerStack(
                plan, None if arguments.mode == "local" else own, observe=observe
            )
            _up(arguments.mode, LocalStack(plan, own=own, observe=observe), containers)
            return 0
        _with_what_is_kept(arguments)
    except (*EXPECTED, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd)} ended with {error.returncode}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what this command started is stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument(
        "--offset",
        type=_offset,
        default=os.environ.get("STACK_OFFSET") or "0",
        help="move every port of the stack up by this much (default: $STACK_OFFSET or 0)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start what does not run yet and wait until all works")
    up.add_argument(
        "--mode",
        choices=("auto", "docker", "local"),
        default="auto",
        help="containers, local processes, or containers where an engine has its images",
    )
    whose = up.add_mutually_exclusive_group()
    whose.add_argument(
        "--nacos",
        metavar="HOST:PORT",
        help="use this Nacos and start none; NACOS_USERNAME, NACOS_PASSWORD, NACOS_NAMESPACE and "
        "ADVERTISE_IP come from the environment",
    )
    whose.add_argument(
        "--cluster",
        type=int,
        choices=(1, 3),
        default=1,
        help="Nacos servers: one alone, or three of one cluster (default: 1)",
    )
    up.add_argument(
        "--models",
        type=int,
        choices=(0, 1, 2),
        default=2,
        help="instances of each model service; 0 starts the gateway alone (default: 2)",
    )
    up.add_argument(
        "--observe",
        action="store_true",
        help="start Prometheus too, and in containers Grafana where its image is to be had",
    )
    commands.add_parser("images", help="build the images, and start nothing")
    commands.add_parser("down", help="stop everything, containers and processes")
    commands.add_parser("logs", help="show what every part printed last, and follow")
    commands.add_parser("status", help="show what runs")
    new = commands.add_parser("new-service", help="write a new model service")
    new.add_argument("name", help="its name in Nacos, a host name")
    new.add_argument(
        "--from",
        dest="origin",
        help="package.module:function that answers a row (default: an example)",
    )
    new.add_argument("--port", type=int, help="its port (default: the first that is free)")
    new.add_argument("--uv", default=UV, help="the program that installs it (default: %(default)s)")
    checking = commands.add_parser("check-service", help="run the tests of conformance")
    checking.add_argument("name", help="its name in Nacos")
    checking.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments of pytest")
    removing = commands.add_parser("remove-service", help="take a model service away")
    removing.add_argument("name", help="its name in Nacos")
    return parser


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= MAX_OFFSET):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number up to {MAX_OFFSET}")
    return int(text)


def _wanted(arguments: argparse.Namespace) -> Plan:
    """Return the plan that `up` is asked for.

    Raises:
        StackError: the release of Nacos makes no cluster here.
    """
    version = chosen().version
    if arguments.cluster > 1 and version != NEWEST:
        raise StackError(
            f"a cluster of Nacos {version} was not tried: leave CLUSTER=3 or NACOS_VERSION out"
        )
    return Plan(arguments.offset, arguments.models, members=arguments.cluster)


def _with_what_is_kept(arguments: argparse.Namespace) -> None:
    """Run a command on the stack that was started last."""
    alone = Plan(arguments.offset)
    plan = replace(alone, members=LocalStack(alone).kept_members)
    local, docker = LocalStack(plan), DockerStack(plan, observe=True)
    match arguments.command:
        case "down":
            _down(local, docker)
        case "images":
            docker.compose("build")
        case "logs":
            _logs(local, docker)
        case "remove-service":
            _remove_service(arguments.name, local, docker)
        case _:
            _status(local, docker)


def _up(mode: str, local: LocalStack, docker: DockerStack) -> None:
    _keep_nacos(local, docker)
    reason = docker.obstacle() if mode != "local" and not local.processes() else "it runs already"
    if mode == "docker" and reason:
        raise StackError(f"no containers: {reason}")
    if reason is None:
        print("up: containers, because a Docker engine answers and has the images", flush=True)
        docker.up()
    else:
        why = "as asked" if mode == "local" else f"because {reason}"
        print(f"up: local processes, {why}", flush=True)
        local.up()
    _print_addresses(local, in_containers=reason is None)


def _keep_nacos(local: LocalStack, docker: DockerStack) -> None:
    """Remember whose Nacos is used, unless what runs uses another.

    Raises:
        StackError: the stack runs with another Nacos than the one that is asked for.
    """
    kept, members = OwnNacos.read(local.own_file), local.kept_members
    differs = kept != local.own or members != local.plan.members
    if differs and (local.processes() or docker.is_up()):
        stacks = "a Nacos of its own" if members == 1 else f"CLUSTER={members}, Nacos of its own"
        raise StackError(f"it runs with {kept or stacks}: `make down` first")
    local.keep_members()
    if local.own:
        local.own.keep(local.own_file)
    else:
        local.own_file.unlink(missing_ok=True)


def _down(local: LocalStack, docker: DockerStack) -> None:
    stopped = local.down()
    if docker.is_up():
        docker.compose("down")
        stopped = True
    print("down: everything is stopped" if stopped else "down: nothing ran")


def _logs(local: LocalStack, docker: DockerStack) -> None:
    running = local.processes()
    if running:
        files = [str(local.log_of(name)) for name in running]
        os.execvp("tail", ["tail", "-n", "40", "-F", *files])  # noqa: S606 - no shell wanted
    elif docker.is_up():
        docker.compose("logs", "--tail", "40", "--follow")
    else:
        print("logs: nothing runs")


def _status(local: LocalStack, docker: DockerStack) -> None:
    own, in_containers = OwnNacos.read(local.own_file), docker.is_up()
    if own and (local.processes() or in_containers):
        print(f"  {'nacos':<14} {own}")
    for name, process in local.processes().items():
        print(f"  {name:<14} pid {process.pid:<8} log {local.log_of(name)}")
    if in_containers:
        docker.compose("ps")
    elif not local.processes():
        print("status: nothing runs")


def _new_service(name: str, given: str | None, port: int | None, uv: str) -> None:
    folder = create(name, origin_of(given), port)
    try:
        install(folder, uv)
    except BaseException:
        remove(name, running=())
        raise
    model = next(folder.glob("src/*/model.py")).relative_to(ROOT)
    print(f"new-service: {folder.relative_to(ROOT)} is there; the model is {model}")
    print(f"Next: make up; make check-service NAME={name}; make remove-service NAME={name}")


def _check_service(name: str, arguments: Sequence[str]) -> int:
    service = named(name)
    tests = ["--pyargs", "service_conformance", f"services/{service.package}"]
    pytest = [sys.executable, "-m", "pytest", *tests, f"--model-service={service.model}"]
    return subprocess.run([*pytest, *arguments], cwd=ROOT, check=False).returncode


def _remove_service(name: str, local: LocalStack, docker: DockerStack) -> None:
    running = [*local.processes(), *docker.running()]
    for path in remove(name, running):
        print(f"remove-service: {path} is gone")


def _print_addresses(local: LocalStack, *, in_containers: bool) -> None:
    plan = local.plan
    credentials = read_or_make()
    gateway, admin = (
        f"http://{HOST}:{plan.gateway.port}",
        f"http://{HOST}:{plan.gateway.admin_port}",
    )
    rows = {
        "gateway": gateway,
        **{f"{each.package} docs": f"{gateway}/{each.name}/docs" for each in plan.services},
        "gateway console": f"{admin}/",
        "all APIs": f"{admin if in_containers else gateway}/docs",
    }
    if local.own:
        rows["Nacos"] = str(local.own)
    else:
        rows["Nacos console"] = local.nacos.console_url
        rows["  login"] = f"nacos, password {credentials.nacos.password}"
    if in_containers:
        rows["  admin token"] = credentials.admin_token
    if local.observe:
        rows["Prometheus"] = f"http://{HOST}:{plan.prometheus_port}/alerts"
        if in_containers:
            rows["Grafana"] = f"http://{HOST}:{plan.grafana_port}/dashboards"
    print()
    for name, address in rows.items():
        print(f"  {name:<16} {address}")
    if not plan.calls:
        return
    print("\nTry:\n")
    for path, body in plan.calls:
        print(f"  curl -s {gateway}{path} -H 'content-type: application/json' -d '{body}'")
    print()


if __name__ == "__main__":
    sys.exit(main())
