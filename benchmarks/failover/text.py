"""The report on faults as Markdown, and its chart."""

from collections.abc import Mapping, Sequence

from benchmarks.failover.trial import Timing, Verdict
from benchmarks.measure import chart
from benchmarks.measure.report import facts, table

INTRODUCTION = """# Faults under load

Three instances of a real service, registered in a real Nacos, behind one gateway at a time, in a
network namespace of their own. A client sends {rate:g} POSTs a second, whatever comes back, and
retries nothing; latency counts from the moment a request was due. Four of five go to a path that
its service declares safe to repeat, every fifth to one that it does not. Every instance writes an
execution down, under the request's id, before it answers; so failures are counted at the client and
executions at the service. A failure is a request without an answer or with a status of 500 and
above. Every gateway has the same time limits: 0.5 s to connect, 2 s for a try, 8 s in all; nginx,
HAProxy and Envoy know the instances from their configuration and are tuned for retries and health
checks (`benchmarks/gateway/peers`), Spring Cloud Gateway has its second cache off.

A fault begins when the instance that goes bad has at least half of an even share of the traffic,
or after a minute and a half. "Traffic left after" is the time from then until fewer than a tenth of
the usual packets went to it, counted by the kernel. Repeated declared requests are allowed; a
repeated undeclared one is a fault of the gateway, and so is an answer without an execution.
"""


def markdown(
    verdicts: Sequence[Verdict],
    timing: Timing,
    about: Mapping[str, str],
    versions: Mapping[str, str],
) -> str:
    """Render the whole report."""
    parts = [INTRODUCTION.format(rate=timing.rate), facts({**about, **versions})]
    parts.append("![Failed declared requests](failover.svg)")
    for fault in _faults(verdicts):
        parts += [f"## {fault}", _table([one for one in verdicts if one.fault == fault])]
    parts += ["## Errors that clients saw", _errors(verdicts)]
    return "\n\n".join(parts)


def picture(verdicts: Sequence[Verdict]) -> str:
    """Draw the failed declared requests by fault and gateway."""
    gateways = list(dict.fromkeys(one.gateway for one in verdicts))
    by_key = {(one.fault, one.gateway): one for one in verdicts}
    rows = [
        (fault, [_cell(by_key.get((fault, gateway))) for gateway in gateways])
        for fault in _faults(verdicts)
    ]
    return chart.grid("Declared requests that failed, in per cent", gateways, rows)


def _cell(verdict: Verdict | None) -> tuple[str, bool] | None:
    if verdict is None:
        return None
    share = verdict.declared.failures / verdict.declared.requests
    return f"{share:.2%}" if share else "0", verdict.good


def _faults(verdicts: Sequence[Verdict]) -> list[str]:
    return list(dict.fromkeys(one.fault for one in verdicts))


def _table(verdicts: Sequence[Verdict]) -> str:
    headers = ("gateway", "requests", "declared failed", "declared repeated", "undeclared failed")
    more = ("undeclared repeated", "answered, not executed", "p50 ms", "p99 ms", "max ms")
    last = ("declared max ms", "twice in peace", "traffic left after", "goal met")
    return table(
        (*headers, *more, *last),
        [
            (
                one.gateway,
                one.declared.requests + one.undeclared.requests,
                one.declared.failures,
                one.declared.repeated,
                one.undeclared.failures,
                one.undeclared.repeated,
                one.declared.lost + one.undeclared.lost,
                f"{one.p50_ms:.1f}",
                f"{one.p99_ms:.0f}",
                f"{one.max_ms:.0f}",
                f"{one.declared_max_ms:.0f}",
                f"{one.peace:.2%}",
                left(one.left_after),
                "yes" if one.good else "**no**",
            )
            for one in verdicts
        ],
    )


def left(seconds: float | None) -> str:
    """Render the seconds until traffic had left the bad instances."""
    if seconds is None:
        return "it did not"
    return "-" if seconds < 0 else f"{seconds:.1f} s"


def _errors(verdicts: Sequence[Verdict]) -> str:
    return table(
        ("fault, gateway", "declared requests"),
        [
            (
                f"{one.fault}, {one.gateway}",
                "; ".join(f"{count} times {error}" for error, count in one.errors.items()),
            )
            for one in verdicts
            if one.errors
        ],
    )
