"""Spring Cloud Gateway in the same cluster, in front of the same pods."""

from typing import Any, Final

from benchmarks.gateway.peers import SPRING
from benchmarks.kubernetes.faults import COUNTED, SCALED, Fault, restart
from benchmarks.kubernetes.images import SPRING_IMAGE
from benchmarks.kubernetes.installation import NAMESPACE, Installation

DEFAULTS = f"{SPRING}, default settings"
REMEDY = f"{SPRING}, with the preStop remedy"
REMEDY_SECONDS: Final = 35
"""Seconds that the remedy waits: as long as Spring's load balancer may use an old list."""
LEAVE_AND_SLEEP = (
    "import json,time,urllib.request;"
    "body=json.dumps({'mode':'withdrawn'}).encode();"
    "urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:9000/fault',body)).read();"
    f"time.sleep({REMEDY_SECONDS})"
)
"""The remedy on the pods behind: the instance leaves Nacos, serves on, and only then is stopped."""
NAME = "spring-gateway"
DEPLOYMENT = f"deployment/{NAME}"
RESTARTED = Fault(f"{SPRING} restarted", restart(DEPLOYMENT))
FAULTS = (Fault("the counted service restarted", restart(COUNTED)), SCALED)
"""The faults that the remedy is for."""


def install(product: Installation, tag: str) -> str:
    """Start two instances of it behind a Service; return the Service's address."""
    product.cluster.apply(_objects(tag), NAMESPACE)
    product.rolled(DEPLOYMENT)
    service = product.cluster.read(f"--namespace={NAMESPACE}", "get", "service", NAME)
    return str(service["spec"]["clusterIP"])


def apply_remedy(product: Installation) -> None:
    """Give its pods, and those behind it, a preStop hook and the time for it."""
    grace = 120 + REMEDY_SECONDS
    hooks = {
        DEPLOYMENT: (NAME, {"sleep": {"seconds": REMEDY_SECONDS}}),
        COUNTED: ("model", {"exec": {"command": ["python", "-c", LEAVE_AND_SLEEP]}}),
    }
    for workload, (container, hook) in hooks.items():
        changed = {"name": container, "lifecycle": {"preStop": hook}}
        pod = {"terminationGracePeriodSeconds": grace, "containers": [changed]}
        product.patch(workload, {"spec": {"template": {"spec": pod}}})
        product.rolled(workload)
    product.wait_ended()


def _objects(tag: str) -> list[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": NAME}
    container = {
        "name": NAME,
        "image": f"{SPRING_IMAGE}:{tag}",
        "envFrom": [{"configMapRef": {"name": "nacos"}}, {"secretRef": {"name": "nacos-login"}}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 2,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [deployment, service]
