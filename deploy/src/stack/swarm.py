"""`python -m stack.swarm`: prints the Compose file as `docker stack deploy` takes it.

`docker stack deploy` reads an older format than Compose, and no `deploy/.env`. What it would refuse
is written in that format, or left out: builds, waiting for other services, and ports of loopback
alone, which a swarm would publish on every address.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stack.docker import DockerStack
from stack.plan import Plan

VERSION = "3.9"
"""The newest format that `docker stack deploy` takes."""
KEPT: Final = (
    *("image", "command", "environment", "configs", "volumes", "hostname", "user"),
    *("healthcheck", "stop_grace_period", "read_only", "cap_drop"),
)
"""The keys of a service that mean the same in both formats."""
SERVERS = "nacos"
"""The prefix of the services that keep data or change it, and run only once at a time."""
ONCE = "on-failure"
"""The restart policy of what ends by itself."""


def stack_file(config: Mapping[str, Any], ports: str) -> dict[str, Any]:
    """Return the file for `docker stack deploy`.

    Args:
        config: the Compose files as Compose reads them.
        ports: `ingress` publishes each port on every node and spreads connections, which the kernel
            must be able to do (IPVS); `host` publishes each port on the nodes where a task runs.
    """
    return {
        "version": VERSION,
        "services": {
            name: _service(name, service, ports) for name, service in config["services"].items()
        },
        "networks": {"default": {"driver": "overlay"}},
        "volumes": {name: {} for name in config.get("volumes", ())},
        "configs": {
            name: {"file": each["file"], "name": f"{config['name']}_{name}-{_digest(each['file'])}"}
            for name, each in config.get("configs", {}).items()
        },
    }


def _service(name: str, service: Mapping[str, Any], ports: str) -> dict[str, Any]:
    published = [
        {
            "target": each["target"],
            "published": int(each["published"]),
            "protocol": each["protocol"],
            "mode": ports,
        }
        for each in service.get("ports", ())
        if "host_ip" not in each
    ]
    # What one task alone can do, with a volume or a port of its node, ends before the next starts.
    alone = name.startswith(SERVERS) or bool(published and ports == "host")
    deploy = {
        "replicas": service.get("deploy", {}).get("replicas", 1),
        # A virtual address is only for published ports: everything else is found by its own.
        "endpoint_mode": "vip" if published and ports == "ingress" else "dnsrr",
        "resources": {"limits": {"memory": service["mem_limit"], "pids": service["pids_limit"]}},
        "restart_policy": {"condition": ONCE if service["restart"] == ONCE else "any"},
        "update_config": {
            "order": "stop-first" if alone else "start-first",
            "failure_action": "rollback",
        },
    }
    kept = {key: service[key] for key in KEPT if service.get(key) is not None}
    if name.startswith(SERVERS):
        # A task has a name once it is healthy, and a member is so once it has found the others.
        kept.pop("healthcheck", None)
    memory = [{"type": "tmpfs", "target": each} for each in service.get("tmpfs", ())]
    return {
        **kept,
        "volumes": [*kept.get("volumes", ()), *memory],
        "deploy": deploy,
        **({"ports": published} if published else {}),
    }


def _digest(file: str) -> str:
    """Return a name for the content of a file: a swarm does not change what it has by a name."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]


def main() -> int:
    """Print the file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack.swarm", description=__doc__)
    parser.add_argument("--cluster", type=int, choices=(1, 3), default=1)
    parser.add_argument("--ports", choices=("ingress", "host"), default="ingress")
    arguments = parser.parse_args()
    if sys.stdout.isatty():
        print(
            "error: no secret is shown: append `| docker stack deploy -c - modelserve`",
            file=sys.stderr,
        )
        return 1
    plan = Plan(int(os.environ.get("STACK_OFFSET") or 0), members=arguments.cluster)
    json.dump(stack_file(DockerStack(plan).config(), arguments.ports), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
