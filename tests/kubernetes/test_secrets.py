"""One command makes the namespace and every Secret, and leaves them in no file."""

import subprocess
from collections.abc import Mapping

import pytest
from stack import ROOT
from stack.kubernetes import FOLDER, PRESETS
from stack.kubernetes_secrets import SecretsError, manifests

from tests.kubernetes.objects import (
    PRESET,
    Object,
    containers,
    objects_of,
    read,
    values_of,
    workloads,
)


def secret_keys(objects: list[Object]) -> dict[str, set[str]]:
    """Return the Secrets that the pods read, with the keys that they name."""
    keys: dict[str, set[str]] = {}
    for container in containers(objects):
        for each in container.get("envFrom", ()):
            if "secretRef" in each:
                keys.setdefault(each["secretRef"]["name"], set())
        for each in container["env"]:
            if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                keys.setdefault(reference["name"], set()).add(reference["key"])
    return keys


@PRESET
def test_one_command_makes_every_secret(preset: str) -> None:
    """The command's output has each Secret that a pod reads, its keys, and a restricted namespace.

    With a login in the environment the Secrets have that, and none of a Nacos of their own.
    """
    there = preset == "existing-nacos"
    login = {"NACOS_USERNAME": "models", "NACOS_PASSWORD": "given"} if there else {}
    namespace, *made = manifests("shop", login)
    data = {each["metadata"]["name"]: each["stringData"] for each in made}
    wanted = secret_keys(objects_of(values_of(preset)))

    assert data.keys() == wanted.keys()
    assert all(keys <= data[name].keys() for name, keys in wanted.items())
    assert not there or data["nacos-login"] == login
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"]["namespace"] for each in made} == {"shop"}


@PRESET
def test_only_the_job_has_the_administrator_s_login(preset: str) -> None:
    """Gateway, models and Nacos read `nacos-login` at most, which is the services' user."""
    objects = objects_of(values_of(preset))
    readers = {each["kind"] for each in workloads(objects) if "nacos-admin" in secret_keys([each])}
    stay = [each for each in workloads(objects) if each["kind"] != "Job"]

    assert readers == (set() if preset == "existing-nacos" else {"Job"})
    assert "nacos-login" in secret_keys(stay)


def test_secrets_are_random_and_in_no_file() -> None:
    """`make kubernetes-secrets` prints others each time; none is in the checkout."""
    command = ["make", "--silent", "kubernetes-secrets", "NAMESPACE=shop"]
    first, second = (read(subprocess.check_output(command, cwd=ROOT, text=True)) for _ in range(2))
    values = [
        {value for each in made for value in each.get("stringData", {}).values()}
        - {"nacos", "models"}
        for made in (first, second)
    ]
    committed = [each for each in FOLDER.rglob("*") if each.is_file()]

    assert len(values[0]) == len(values[1]) == 5
    assert not values[0] & values[1]
    assert not [f for f in committed for value in values[0] if value in f.read_text()]
    assert "Secret" not in {
        each["kind"] for preset in PRESETS for each in objects_of(values_of(preset))
    }


@pytest.mark.parametrize(
    ("namespace", "environment", "reason"),
    [
        ("Shop", {}, "no name of a namespace"),
        ("", {}, "no name of a namespace"),
        ("shop", {"NACOS_USERNAME": "models"}, "half of a login"),
        ("shop", {"NACOS_SECRET_KEY": "x"}, "half of a login"),
    ],
)
def test_half_a_login_makes_no_secret(
    namespace: str, environment: Mapping[str, str], reason: str
) -> None:
    """A name that Kubernetes refuses and a user without a password end it, with the reason."""
    with pytest.raises(SecretsError, match=reason):
        manifests(namespace, environment)
