"""Takes the time of the stack's starts. `make bench-start` runs this."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import report
from benchmarks.measure.process import end_in_order_on_sigterm
from benchmarks.start.study import Checkout, GatewayStart, Start, checkout, start_gateway

NOTHING, WARM, CONTAINERS = "from nothing, processes", "warm, processes", "containers, once built"
GOALS = {NOTHING: 60.0, WARM: 20.0, CONTAINERS: 40.0}
GATEWAY_GOAL = 1.0
"""Seconds until the gateway is ready beside a Nacos that runs."""
GATEWAY_STARTS = 5
TEXT = """# Seconds until the stack answers

{facts}

A start is over when each model has answered a call through the gateway, which has found all four
instances. *From nothing* is `make up-local` in a new clone: the virtual environment, Nacos' jars,
the compiled gateway, then everything is started. What package managers keep for all projects of a
user (uv's and Maven's caches) stays; with empty ones the network decides. *Warm* is the same
command after `make down`, *containers, once built* is `make up-docker` with its images built and no
volume.

{goals}

The gateway alone, compiled, beside the Nacos of the warm stack, {count} times, median: ready after
{ready:.2f} s, a call of a model answered after {answers:.2f} s, {cpu:.2f} s of CPU.

{phases}
"""


def measured(clone: Checkout, log: Path) -> tuple[list[Start], list[GatewayStart]]:
    """Return every start, in the order of `GOALS`, and those of the gateway alone."""
    starts = [clone.make("up-local", NOTHING)]
    clone.make("down")
    starts.append(clone.make("up-local", WARM))
    gateways = [start_gateway(clone, log) for _ in range(GATEWAY_STARTS)]
    clone.make("down")
    if containers := clone.contain():
        try:
            clone.make("up-docker")
            containers.compose("down", "--volumes")
            starts.append(clone.make("up-docker", CONTAINERS))
        finally:
            containers.compose("down", "--volumes")
    return starts, gateways


def goals(starts: Sequence[Start], ready: float) -> str:
    """Render the figures beside their goals."""
    figures = {start.what: start.seconds for start in starts}
    judged = [(what, figures[what], GOALS[what]) for what in GOALS if what in figures]
    judged.append(("the gateway alone, ready", ready, GATEWAY_GOAL))
    rows = [
        (what, f"{figure:.1f}", f"{limit:g}", "met" if figure <= limit else "missed")
        for what, figure, limit in judged
    ]
    return report.table(("start", "seconds", "at most", "goal"), rows)


def phases(start: Start) -> str:
    """Render what a start printed until its addresses, with the time of each line."""
    lines = [(f"{seconds:.1f}", line) for seconds, line in start.steps]
    end = next((at for at, (_, line) in enumerate(lines) if not line), len(lines))
    told = [(line.split(" s  ")[-1].replace("|", "/"), seconds) for seconds, line in lines[:end]]
    return f"## {start.what.capitalize()}\n\n{report.table(('line', 's'), told)}"


def main() -> None:
    """Measure everything and write the results."""
    end_in_order_on_sigterm()
    machine = report.machine()
    with TemporaryDirectory() as folder, checkout() as clone:
        starts, gateways = measured(clone, Path(folder, "gateway.log"))
    ready = median(one.ready for one in gateways)
    text = TEXT.format(
        facts=report.facts(machine),
        goals=goals(starts, ready),
        count=len(gateways),
        ready=ready,
        answers=median(one.answers for one in gateways),
        cpu=median(one.cpu for one in gateways),
        phases="\n\n".join(map(phases, starts)),
    )
    print(text)
    data = {
        "machine": machine,
        "starts": [asdict(start) for start in starts],
        "gateway": [asdict(one) for one in gateways],
    }
    report.write("start", markdown=text, data=data)


if __name__ == "__main__":
    main()
