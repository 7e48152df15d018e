"""The report on faults in Kubernetes as Markdown."""

from collections.abc import Mapping, Sequence

from benchmarks.kubernetes.notices import Notice
from benchmarks.kubernetes.trial import Unfinished, Verdict
from benchmarks.measure.report import facts, table

INTRODUCTION = """# Faults in a real Kubernetes under load

`make test-kubernetes` builds a Kubernetes of two nodes, each a kubelet, a containerd and a
kube-proxy in a network namespace of its own on this one machine, with an API server, controllers,
a scheduler, CoreDNS and metrics-server. In it runs the overlay `ha`, installed by the commands of
docs/deploy.md, with little processor asked for each pod (both nodes are the same processors), and
beside the models a service that writes each execution to its log, under the request's id, before
it answers. Its pods, their probes, grace periods and disruption budget are those of a model;
failures are counted at the client, executions in the logs of the pods.

A client sends a constant number of POSTs a second to the Service of the gateway, whatever comes
back, and retries nothing. Four of five go to a path that its service declares safe to repeat,
every fifth to one that it does not. A failure is a request without an answer within 10 s, or with
a status of 500 and above. Repeated declared requests are allowed; a repeated undeclared one is a
fault of the gateway, and so is an answer without an execution. The goal is met where no declared
request failed, and no undeclared one ran twice.

A pod is killed by SIGKILL to each of its processes, and its object deleted without grace, so that
another pod has to start. That takes longer than 5 s, so of two pods killed every 5 s none would be
left soon, whatever is in front of them. The 36 kills, one every 5 s whatever the others do, are
therefore of five pods, the oldest each time. Of two, the least that `ha` has of a model, the older
one is killed as soon as both are available: a pod is ready before Nacos shows it, so its Deployment
relies on it once it has been ready for 5 s (`minReadySeconds`), and so does who kills the other.

Spring Cloud Gateway, with discovery by Nacos, stands beside it in front of the same pods, in two
pods behind a Service of its own, and meets the same faults at the same time under the same load.
Its settings are at their defaults: its load balancer may use a list of instances for 35 s, and it
retries nothing. The remedy that its users know is tried last, and has a section of its own where
it was: a `preStop` hook that takes an instance out of Nacos and waits 35 s, and the same wait for
Spring's own pods.

The network of this cluster does not enforce NetworkPolicies, so they are applied and not tried.
Members of Nacos keep their data in folders of the machine, which both nodes reach. Controllers of
the autoscaler look every 5 s and shrink after 30 s, where Kubernetes' defaults are 15 s and 300
s.
"""


def markdown(
    verdicts: Sequence[Verdict],
    unfinished: Sequence[Unfinished],
    untried: Sequence[str],
    notices: Sequence[Notice],
    about: Mapping[str, str],
    *,
    remarks: Sequence[str],
) -> str:
    """Render the whole report."""
    parts = [INTRODUCTION, facts({**about}), *remarks]
    for gateway in dict.fromkeys(one.gateway for one in verdicts):
        mine = [one for one in verdicts if one.gateway == gateway]
        parts += [f"## {gateway[0].upper()}{gateway[1:]}", _table(mine)]
    errors = [one for one in verdicts if one.errors]
    if errors:
        parts += ["## Errors that clients saw", _errors(errors)]
    if unfinished:
        parts += ["## Trials that came to no end", _unfinished(unfinished)]
    if untried:
        parts += ["## Not tried in this run", "\n".join(f"- {name}" for name in untried)]
    rows = [(one.missing, one.where, f"`{one.told}`") for one in notices]
    parts += ["## What is told where something is missing"]
    parts += [table(("missing", "where it is told", "a part of what is told"), rows)]
    return "\n\n".join(parts)


def line(one: Verdict) -> str:
    """Render a verdict for a terminal."""
    text = (
        f"{one.gateway}: {one.fault} ({one.seconds:.0f} s): declared {one.declared.failures} failed"
        f" of {one.declared.requests}, {one.declared.repeated} repeated; undeclared"
        f" {one.undeclared.failures} failed of {one.undeclared.requests},"
        f" {one.undeclared.repeated} repeated; {one.declared.lost + one.undeclared.lost} answered"
        f" and not executed; p99 {one.p99_ms:.0f} ms, at worst {one.max_ms:.0f} ms"
    )
    return "\n    ".join((text, *one.examples))


def _table(verdicts: Sequence[Verdict]) -> str:
    headers = ("fault", "seconds", "declared", "failed", "repeated", "undeclared", "failed")
    more = ("repeated", "answered, not executed", "p50 ms", "p99 ms", "max ms", "goal met")
    return table(
        (*headers, *more),
        [
            (
                one.fault,
                f"{one.seconds:.0f}",
                one.declared.requests,
                one.declared.failures,
                one.declared.repeated,
                one.undeclared.requests,
                one.undeclared.failures,
                one.undeclared.repeated,
                one.declared.lost + one.undeclared.lost,
                f"{one.p50_ms:.1f}",
                f"{one.p99_ms:.0f}",
                f"{one.max_ms:.0f}",
                "yes" if one.good else "**no**",
            )
            for one in verdicts
        ],
    )


def _errors(verdicts: Sequence[Verdict]) -> str:
    return table(
        ("gateway, fault", "declared requests"),
        [
            (
                f"{one.gateway}, {one.fault}",
                "; ".join(f"{count} times {error}" for error, count in one.errors.items()),
            )
            for one in verdicts
        ],
    )


def _unfinished(trials: Sequence[Unfinished]) -> str:
    rows = [(one.fault, one.why.partition("\n")[0]) for one in trials]
    return table(("fault", "why"), rows)
