"""`python -m stack.kubernetes_secrets NAMESPACE`: prints a namespace with its Secrets for kubectl.

The manifests of deploy/kubernetes want to find these Secrets. They go through a pipe and are in no
file; `kubectl create` leaves those as they are that are there already.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

import yaml

from stack.logins import SERVICES_USER
from stack.nacos import NacosSecrets

LOGINS: Final = (("NACOS_USERNAME", "NACOS_PASSWORD"), ("NACOS_ACCESS_KEY", "NACOS_SECRET_KEY"))
"""The pairs of variables by which a service logs in to a Nacos that is there already."""
RESTRICTED: Final = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
}
"""The labels by which Kubernetes refuses a pod that the standard `restricted` does not allow."""


class SecretsError(ValueError):
    """The namespace's name or the login that is given cannot be; the message says what to do."""


def manifests(namespace: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the namespace and its Secrets, with new random values.

    The login to Nacos is that of the environment, if it has one: then Nacos is there already, and
    has its own secrets.

    Raises:
        SecretsError: the name is no name of a namespace, or half of a login is given.
    """
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise SecretsError(
            f"NAMESPACE={namespace!r} is no name of a namespace: it is 1 to 63 of a-z, 0-9 and -"
        )
    made = NacosSecrets()
    given = {name: environment[name] for pair in LOGINS for name in pair if environment.get(name)}
    if any(len(given.keys() & {*pair}) == 1 for pair in LOGINS):
        raise SecretsError(f"{', '.join(given)} is half of a login: set both variables, or none")
    values = {
        "gateway-admin": {"GATEWAY_ADMIN_TOKEN": secrets.token_urlsafe(24)},
        "nacos-login": given
        or {"NACOS_USERNAME": SERVICES_USER, "NACOS_PASSWORD": secrets.token_urlsafe(18)},
    }
    if not given:
        values["nacos-admin"] = {"NACOS_USERNAME": "nacos", "NACOS_PASSWORD": made.password}
        values["nacos-server"] = {
            "NACOS_AUTH_TOKEN": made.token_key,
            "NACOS_AUTH_IDENTITY_VALUE": made.identity,
        }
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": dict(RESTRICTED)},
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": dict(data),
            }
            for name, data in values.items()
        ),
    ]


def main(namespace: str) -> int:
    """Print the manifests; return the exit code."""
    if sys.stdout.isatty():
        print("error: no secret is shown: append `| kubectl create -f -`", file=sys.stderr)
        return 1
    try:
        yaml.safe_dump_all(manifests(namespace, os.environ), sys.stdout)
    except SecretsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
