"""What `make test-kubernetes` does is right where that can be told without a cluster."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from kubernetes_validate import validate
from stack import ROOT
from stack.services import found
from stack.waiting import wait_until

from benchmarks.failover.trial import Kind, results_of
from benchmarks.gateway.calls import DECLARED, SERVICE
from benchmarks.kubernetes import faults, programs
from benchmarks.kubernetes.faults import SCALED
from benchmarks.kubernetes.findings import Findings
from benchmarks.kubernetes.installation import model
from benchmarks.kubernetes.journal import Journal, executed
from benchmarks.kubernetes.page import BRING_BACK, KEEP, PAGE, TYPED, blocks
from benchmarks.kubernetes.text import markdown
from benchmarks.kubernetes.trial import Unfinished, Verdict
from benchmarks.measure import report
from benchmarks.measure.load import Sample

LOG = """2026-11-27T20:00:00.1Z stdout F 12.500000 0.0.0.0 trial-7 /predict
2026-11-27T20:00:00.2Z stdout F {"event":"request","request_id":"trial-8","path":"/predict"}
2026-11-27T20:00:00.3Z stderr F 12.600000 0.0.0.0 trial-9 /predict
2026-11-27T20:00:00.4Z stdout F 12.700000 0.0.0.0 trial-7 /predict
2026-11-27T20:00:00.5Z stdout P 12.800000 0.0.0.0 trial-1
"""


def test_an_execution_is_a_whole_line_of_the_counted_service() -> None:
    """Of a container's log only the lines by which the service counts are executions."""
    assert executed(LOG) == ["trial-7", "trial-7"]


def test_an_execution_outlives_its_pod(tmp_path: Path) -> None:
    """What a pod has written counts when Kubernetes has taken its log away, and once."""
    log = tmp_path / "logs" / f"modelserve_{SERVICE}-1_uid" / "model" / "0.log"
    other = tmp_path / "logs" / "modelserve_gateway-1_uid" / "gateway" / "0.log"
    for file in (log, other):
        file.parent.mkdir(parents=True)
        file.touch()
    kept = tmp_path / "kept"
    with Journal([tmp_path / "logs"], kept) as journal:
        wait_until(lambda: any(kept.iterdir()), seconds=30, what="the log has a second name")
        log.write_text(LOG)
        other.write_text(LOG)
        log.unlink()

        assert journal.executions() == {"trial-7": 2}


def test_what_ran_twice_or_never_is_counted_by_id() -> None:
    """A request is failed, lost (answered, and nowhere executed) or repeated, each by its id."""
    well, lost, twice = (Sample(DECLARED, name, 0, 1, 200) for name in ("well", "lost", "twice"))
    failed = Sample(DECLARED, "failed", 0, 1, 0, "timeout")
    counted = results_of([well, lost, twice, failed], DECLARED, {"well": 1, "twice": 2})

    assert (counted.requests, counted.failures) == (4, 1)
    assert (counted.lost, counted.repeated) == (1, 1)


def test_the_report_hides_nothing() -> None:
    """A missed goal, a trial without an end and an error each stand in the report."""
    verdict = Verdict(
        gateway="this gateway",
        fault="killed",
        seconds=9,
        declared=Kind(requests=80, failures=1, lost=0, repeated=2),
        undeclared=Kind(requests=20, failures=3, lost=0, repeated=0),
        p50_ms=1,
        p99_ms=2,
        max_ms=3,
        errors={"status 503": 1},
    )
    unfinished = Unfinished("drained", "a pod is not ready\nits log")
    text = markdown(
        [verdict], [unfinished], ["upgraded"], [], {"kernel": "some"}, remarks=["by hand"]
    )

    assert not verdict.good
    assert "| killed | 9 | 80 | 1 | 2 | 20 | 3 | 0 | 0 | 1.0 | 2 | 3 | **no** |" in text
    assert "| drained | a pod is not ready |" in text
    assert "1 times status 503" in text
    assert "- upgraded" in text.partition("Not tried")[2]
    assert "by hand" in text


def test_chosen_faults_are_tried_beside_what_is_written() -> None:
    """A run of no fault would write the committed page again, and a run of one takes its rows out.

    The rows of Spring's remedy stay: that is not tried with chosen faults.
    """
    committed = (report.RESULTS / "kubernetes.md").read_text()
    machine = {"date": "today"}

    assert Findings.beside([], machine).page().rstrip() + "\n" == committed
    again = Findings.beside([SCALED], machine).page()
    assert "tried alone, scaled 2, 5, 2: today" in again
    assert committed.count("\n| scaled 2, 5, 2 |") == 3
    assert again.count("\n| scaled 2, 5, 2 |") == 1


@pytest.mark.parametrize(
    ("root", "missing", "reason"),
    [(False, [], "as root"), (True, ["containerd", "runc"], "install containerd, runc")],
)
def test_a_machine_that_cannot_is_told_so(
    root: bool, missing: list[str], reason: str, tmp_path: Path
) -> None:
    """Without root or a program, one line says what is wanted, before anything is built."""
    (tmp_path / "memory").mkdir()

    assert reason in (programs.hindrance(root=root, missing=missing, cgroups=tmp_path) or "")


def test_a_machine_without_cgroups_is_told_so(tmp_path: Path) -> None:
    """A folder without controllers is named; one with them is no hindrance."""
    said = programs.hindrance(root=True, missing=[], cgroups=tmp_path)
    (tmp_path / "cgroup.controllers").touch()

    assert str(tmp_path) in (said or "")
    assert programs.hindrance(root=True, missing=[], cgroups=tmp_path) is None


def test_the_cluster_is_left_alone_where_it_cannot_be() -> None:
    """The command ends before it builds anything: that is asked first."""
    text = (ROOT / "benchmarks" / "kubernetes" / "__main__.py").read_text()

    assert text.index("programs.obstacle()") < text.index("images.build(")


def test_every_command_of_the_page_is_typed() -> None:
    """docs/deploy.md has no command that the cluster does not see."""
    page = PAGE.read_text()
    every = re.findall(r"^```bash\n", page, re.MULTILINE)

    assert sum(len(blocks(page, heading)) for heading in TYPED) == len(every)


def test_the_images_that_are_pushed_are_those_that_are_built() -> None:
    """docs/deploy.md pushes each image under the name and version by which `make images` makes it.

    `make images` needs nothing but a checkout with its environment; Compose alone wants `make up`.
    """
    (block,) = re.findall(
        r"^```sh\n(.*?make images.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    shown = 'make() { echo "$IMAGE_REGISTRY $*"; }; docker() { echo "$@"; }\n'
    said = subprocess.check_output(
        ["bash", "-euc", shown + block], cwd=ROOT, text=True
    ).splitlines()
    registry, version = "registry.example/team", metadata.version("modelserve-gateway")
    packages = ["gateway", *(each.package for each in found())]

    assert said[0] == f"{registry} images"
    assert said[1:] == [f"push {registry}/{each}:{version}" for each in packages]


def test_nacos_can_be_reached_until_its_documents_are_back() -> None:
    """The way to Nacos ends after both sections' steps, not before, and no login is exported."""
    (kept,), (back,) = (blocks(PAGE.read_text(), heading) for heading in (KEEP, BRING_BACK))

    assert "port-forward" in kept
    assert not {"kill", "export"} & set(kept.split())
    assert back.endswith('kill "$forward"\n')


def test_the_page_promises_what_the_kept_run_has_shown() -> None:
    """docs/deploy.md says that an upgrade loses no call only where the kept figures have it so."""
    figures = (ROOT / "benchmarks" / "results" / "kubernetes.md").read_text()
    ours = figures.partition("\n## This gateway\n")[2].partition("\n## ")[0]
    shown = re.search(r"^\| every image upgraded, and back \|.*\| yes \|$", ours, re.MULTILINE)

    assert shown or "no call is lost" not in PAGE.read_text()


def test_the_counted_service_is_a_model_of_the_chart() -> None:
    """Its objects are those of a model, so that what is found of it is true of models."""
    objects = model(SERVICE, "counted", 9000, "1.2.3")

    assert {each["kind"] for each in objects} == {
        "Deployment",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    for each in objects:
        validate(each, "1.30", strict=True)


def test_the_short_form_is_a_part_of_the_whole() -> None:
    """Each fault has a name of its own, and those of the short form are among them."""
    names = [each.name for each in faults.ALL]

    assert len(set(names)) == len(names)
    assert set(faults.SHORT) < set(names)
