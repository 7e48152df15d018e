"""Kubernetes takes each object; pods have few rights, and are not killed while they drain."""

import inspect
import json

import pytest
from gateway.control.supervisor import ANSWER_SECONDS, EXIT_SECONDS
from gateway.telemetry.metrics import GatewayMetrics
from hypothesis import given, settings, strategies as st
from kubernetes_validate import ValidationError, validate
from model_service.batcher import queued_rows
from nacos_client.announce import SETTLE_SECONDS, WITHDRAW_SECONDS
from nacos_client.watch import Watched
from service_kit.runner import END_SECONDS
from stack.kubernetes import CHART
from stack.kubernetes_secrets import manifests
from stack.services import found

from tests.kubernetes.objects import PRESET, containers, objects_of, pods, values_of

VERSIONS = ("1.30", "1.34", "1.37")
"""The versions of Kubernetes whose schemas every object is held to."""
DRAIN = json.loads((CHART / "values.schema.json").read_text())["properties"]["drainSeconds"]


@PRESET
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(preset: str, version: str) -> None:
    """Each object has the fields that this version of Kubernetes knows, and no other."""
    for each in (*objects_of(values_of(preset)), *manifests("modelserve", {})):
        validate(each, version, strict=True)
    with pytest.raises(ValidationError):
        validate({"apiVersion": "v1", "kind": "Service", "spec": {"port": 1}}, version, strict=True)


@PRESET
def test_every_pod_is_restricted(preset: str) -> None:
    """The standard `restricted` of Pod Security, and more: a read-only root and no API token."""
    objects = objects_of(values_of(preset))
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {key for volume in pod.get("volumes", ()) for key in volume} <= {"name", "emptyDir"}
    for container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"memory", "cpu"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert "hostPort" not in str(container.get("ports", ""))


@settings(max_examples=30)
@given(drain=st.integers(DRAIN["minimum"], DRAIN["maximum"]))
def test_times_follow_from_the_drain(drain: int) -> None:
    """For every DRAIN_SECONDS, nothing is killed that still drains.

    The grace period is longer than a process takes to leave Nacos, to drain and to end what runs,
    in its workers and its own port; a pod that is not ready is out of a Service before it stops
    listening; and liveness looks longer than a process without a listening port has to end.
    """
    longest = WITHDRAW_SECONDS + drain + EXIT_SECONDS + ANSWER_SECONDS + END_SECONDS
    for pod in pods(objects_of({**values_of("existing-nacos"), "drainSeconds": drain})):
        (container,) = pod["containers"]
        ready, alive = container["readinessProbe"], container["livenessProbe"]

        assert {"name": "DRAIN_SECONDS", "value": str(drain)} in container["env"]
        assert longest < pod["terminationGracePeriodSeconds"] < longest + 10
        assert ready["periodSeconds"] * ready["failureThreshold"] < drain
        assert alive["periodSeconds"] * alive["failureThreshold"] > END_SECONDS


@PRESET
def test_a_rollout_waits_until_a_model_is_found(preset: str) -> None:
    """A new pod of a model is relied on once Nacos shows it, though readiness does not wait."""
    wait = inspect.signature(Watched.start).parameters["wait"].default
    deployments = [e for e in objects_of(values_of(preset)) if e["kind"] == "Deployment"]
    models = [e for e in deployments if e["metadata"]["name"] != "gateway"]

    assert len(models) == len(found())
    for each in models:
        assert each["spec"]["minReadySeconds"] >= wait + SETTLE_SECONDS


@PRESET
def test_an_instance_is_announced_at_the_pod_and_its_zone(preset: str) -> None:
    """Callers get the pod's own address, and prefer those of their zone."""
    deployments = [e for e in objects_of(values_of(preset)) if e["kind"] == "Deployment"]
    assert len(deployments) == len(found()) + 1
    for each in containers(deployments):
        variables = {one["name"]: one for one in each["env"]}
        sources = {
            name: variables[name]["valueFrom"]["fieldRef"]["fieldPath"]
            for name in ("ADVERTISE_IP", "NACOS_CLUSTER")
        }
        assert sources == {
            "ADVERTISE_IP": "status.podIP",
            "NACOS_CLUSTER": "metadata.labels['topology.kubernetes.io/zone']",
        }


def test_what_autoscaling_reads_is_told() -> None:
    """With `byWork`, each autoscaler looks at CPU and at a metric that its pods tell."""
    values = values_of("ha")
    values["autoscaling"]["byWork"] = True
    objects = objects_of(values)
    told = {family.name for family in GatewayMetrics(list).collect()}
    told |= {family.name for family in queued_rows.describe()}
    scaled = [e["spec"]["metrics"] for e in objects if e["kind"] == "HorizontalPodAutoscaler"]

    for each in objects:
        validate(each, VERSIONS[0], strict=True)
    assert len(scaled) == len(found()) + 1
    for cpu, work in scaled:
        assert cpu["resource"]["name"] == "cpu"
        assert work["pods"]["metric"]["name"] in told
