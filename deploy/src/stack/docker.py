"""The stack in containers, through Docker Compose."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import httpx

from stack import ROOT, ready
from stack.credentials import read_or_make
from stack.own_nacos import OwnNacos, prove
from stack.plan import Plan
from stack.releases import chosen
from stack.waiting import wait_for_all

COMPOSE = ("docker", "compose", "-f", str(ROOT / "deploy" / "docker-compose.yml"))
CLUSTER = ("-f", str(ROOT / "deploy" / "nacos-cluster.yml"))
OWN_NACOS = ("-f", str(ROOT / "deploy" / "own-nacos.yml"))
OBSERVE = ("prometheus", "grafana")
"""The services of the profile `observe`."""
FOUND_SECONDS = 60.0
"""The time in which the gateway has to find all instances once the containers are healthy.

It usually takes one second.
"""


class DockerStack:
    """The parts of a plan as containers of one Compose project.

    Nacos is one server, or the three members of a cluster. With an `own` Nacos none is started, and
    the models' ports are published, so that there is one instance of each at most. To `observe` is
    to have Prometheus too, and Grafana where its image is to be had.
    """

    def __init__(self, plan: Plan, own: OwnNacos | None = None, *, observe: bool = False) -> None:
        self.plan = replace(plan, instances=min(plan.instances, 1)) if own else plan
        self._own = own
        self._observe = observe
        more = OWN_NACOS if own else CLUSTER if plan.members > 1 else ()
        profile = ("--profile", "observe") if observe else ()
        self._command = (*COMPOSE, *more, *profile)
        suffix = f"-{plan.offset}" if plan.offset else ""
        self._env = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": f"modelserve{suffix}",
            "CONSOLE_PORT": str(plan.console_port),
            "DATA_PORT": str(plan.gateway.port),
            "ADMIN_PORT": str(plan.gateway.admin_port),
            "PROMETHEUS_PORT": str(plan.prometheus_port),
            "GRAFANA_PORT": str(plan.grafana_port),
            **{
                f"{one.package.upper()}_PORT": str(one.ports[0] + plan.offset)
                for one in plan.services
            },
        }
        for service in (*(one.package for one in plan.services), "gateway"):
            self._env[f"{service.upper()}_VERSION"] = version(f"modelserve-{service}")
        if own:
            # Without these two, Compose would take the login to a Nacos of the stack's.
            self._env |= {"NACOS_USERNAME": "", "NACOS_PASSWORD": "", **own.environment}
            self._env["ADVERTISE_IP"] = own.address_of_this_host()
        release = chosen()
        if not release.has_console_port:
            self._env.setdefault("NACOS_IMAGE", release.image)
            self._env["NACOS_DATA"] = f"nacos-data-{release.version}"

    def obstacle(self) -> str | None:
        """Return the reason why containers cannot be used on this machine, or None if they can.

        A missing base image is pulled, which may take minutes; a failed pull is such a reason.
        """
        if self._own and (reason := self._own.out_of_reach_of_containers()):
            return reason
        if shutil.which("docker") is None:
            return "there is no docker command"
        for reason, probe in (
            ("no Docker engine answers", ("docker", "info")),
            ("Docker has no Compose plugin", ("docker", "compose", "version")),
            ("Docker has no buildx plugin", ("docker", "buildx", "version")),
        ):
            if not _succeeds(*probe):
                return reason
        for image in self._base_images():
            if not _obtained(image):
                return f"the image {image} is not here and cannot be pulled"
        return None

    def compose(self, *arguments: str) -> None:
        """Run Compose on the stack's file.

        Raises:
            subprocess.CalledProcessError: it failed; it has said why on the terminal.
        """
        subprocess.run([*self._command, *arguments], cwd=ROOT, env=self._env, check=True)

    def up(self) -> None:
        """Build, start what does not run yet, and return when every call through the gateway works.

        Raises:
            subprocess.CalledProcessError: Compose failed; it has said why on the terminal.
            TimeoutError: the gateway did not find every instance.
            UnusableNacosError: a Nacos of one's own does not let a service in; nothing is started.
        """
        services = [] if self.plan.instances else ["gateway", *(OBSERVE if self._observe else ())]
        scale = [
            f"--scale={name}={self.plan.instances}"
            for name in (one.package for one in self.plan.services)
        ]
        if self._own:
            self.compose("build", *services)
            asked = (*self._command, "--progress=quiet", "run", "--rm", "--no-deps", "-T")
            print(f"  {prove((*asked, 'gateway', 'python', '-m', 'gateway'), self._env)}")
        up = ["up", "--detach", "--build", "--wait"]
        if self._observe and not _obtained(self.images()["grafana"]):
            print("  no Grafana: its image is not here and cannot be pulled", flush=True)
            models = [one.package for one in self.plan.services] if self.plan.instances else []
            services = ["gateway", "prometheus", *models]
        self.compose(*up, *(scale if self.plan.instances else ()), *services)
        if self._observe:  # one that ran before has not read of a new service
            self.compose("kill", "--signal", "HUP", "prometheus")
        with httpx.Client(timeout=5, trust_env=False) as http:
            token, shared = read_or_make().admin_token, self._own is not None
            steps = dict(ready.conditions(http, self.plan, token, shared=shared))
            wait_for_all(steps, seconds=FOUND_SECONDS)

    def is_up(self) -> bool:
        """Return whether an engine answers and has containers of the stack."""
        if shutil.which("docker") is None or not _succeeds("docker", "info"):
            return False
        return bool(self._read("ps", "--all", "--quiet").strip())

    def running(self) -> list[str]:
        """Return the names of the containers that there are, without the project's name."""
        if not self.is_up():
            return []
        project = self._env["COMPOSE_PROJECT_NAME"]
        shown = self._read("ps", "--all", "--format", "{{.Name}}").split()
        return [name.removeprefix(f"{project}-") for name in shown]

    def images(self) -> dict[str, str]:
        """Return the image of each service of the Compose file, by the service's name."""
        return {name: service["image"] for name, service in self.config()["services"].items()}

    def config(self) -> dict[str, Any]:
        """Return the Compose files as Compose reads them, with every variable filled in."""
        return dict(json.loads(self._read("config", "--format", "json")))

    def _base_images(self) -> set[str]:
        """Return the images that the Compose file builds on or runs as they are."""
        return {
            service["build"]["args"]["PYTHON_IMAGE"] if "build" in service else service["image"]
            for name, service in self.config()["services"].items()
            if name != "grafana"  # the stack is whole without it
        }

    def _read(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


def _obtained(image: str) -> bool:
    """Pull an image that is not here; return whether it is here then."""
    if _succeeds("docker", "image", "inspect", image):
        return True
    print(f"docker: obtaining {image}", flush=True)
    return _succeeds("docker", "pull", "--quiet", image)


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0
