"""The cost of traces: one gateway without them, others that sample a share of the requests.

All run at once, on the same core, before the same backend; in each round each has one turn under
the main load, and each round starts with another. A collector in this process takes the spans, on
the load generator's core.
"""

import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.gateway.peers import GATEWAY, Site
from benchmarks.gateway.study import MAIN, Run, Runner, measure, warm_up
from benchmarks.measure.report import facts, machine, table

HEADING = "## What traces cost"
OFF = "off"
SHARES = {OFF: None, "0 %": 0.0, "1 %": 0.01, "10 %": 0.1, "100 %": 1.0}
"""The forms by name: the share of requests that are sampled; None: no collector, no traces."""
TEXT = """The gateway as `make up` starts it, under the load "200 B, 32 connections", with a share
of the requests sampled: each has a span of its own and one for its attempt, sent by OTLP over HTTP
to a collector on the other core. "0 %" makes no span, but tells each instance so in `traceparent`.
All forms run at once and take turns, and the figures are medians of the turns; "of off" is the
median of the ratios within a round. Spans that do not fit into the queue are dropped, and not
waited for: the last column is the share of those that arrived while the load ran."""


class Collector:
    """Takes what is sent to it, and counts the spans."""

    def __init__(self) -> None:
        self.spans = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Take spans."""
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.spans += body.count(b'"spanId"')
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Take spans until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@dataclass(frozen=True, slots=True)
class TracedRun:
    """A turn of one form.

    Attributes:
        round: its number.
        run: the figures; its gateway is the form's name.
        spans: that the collector got meanwhile.
    """

    round: int
    run: Run
    spans: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """The turns of all forms, and the machine they ran on."""

    about: dict[str, str]
    turns: Sequence[TracedRun]

    def as_json(self) -> dict[str, Any]:
        """Return every figure of every round."""
        return {"machine": self.about, "turns": [asdict(turn) for turn in self.turns]}


@contextmanager
def sites(place: Site) -> Iterator[dict[str, tuple[Site, Collector]]]:
    """Yield a folder, an environment and a collector of its own for each form."""
    with ExitStack() as stack:
        found = {}
        for number, (name, share) in enumerate(SHARES.items()):
            collector = Collector()
            stack.enter_context(collector.serving())
            work = place.work / f"sampling-{number}"
            work.mkdir()
            environment = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "" if share is None else collector.url,
                "OTEL_TRACES_SAMPLER_ARG": "1" if share is None else str(share),
            }
            found[name] = replace(place, work=work, environment=environment), collector
        yield found


def sampled(
    place: Site,
    start: Callable[[str, Site], AbstractContextManager[Runner]],
    *,
    rounds: int,
    seconds: float,
    core: int,
) -> Sampling:
    """Start every form, warm each up, and give each its turn in every round.

    Args:
        place: the surroundings of the gateways.
        start: starts a gateway by its name.
        rounds: turns of each form.
        seconds: length of a turn.
        core: of the load generator.
    """
    about = machine()
    turns = []
    with ExitStack() as stack:
        found = stack.enter_context(sites(place))
        forms = [
            (replace(stack.enter_context(start(GATEWAY, site)), name=name), collector)
            for name, (site, collector) in found.items()
        ]
        for runner, _ in forms:
            print(f"traces {runner.name}: {warm_up(runner, window=seconds, core=core)}", flush=True)
        for number in range(rounds):
            shift = number % len(forms)
            for runner, collector in (*forms[shift:], *forms[:shift]):
                before = collector.spans
                run = measure(runner, MAIN, seconds=seconds, core=core)
                turns.append(TracedRun(number + 1, run, collector.spans - before))
                print(
                    f"round {number + 1}/{rounds}  traces {runner.name:6} {run.cpu_us:6.1f} us"
                    f" {run.rps:8.0f}/s  spans {turns[-1].spans}  errors {run.errors}",
                    flush=True,
                )
    return Sampling(about, tuple(turns))


def medians(turns: Sequence[TracedRun]) -> dict[str, tuple[float, float, float, str, int]]:
    """Return CPU microseconds, their ratio to off, p99, share of spans, and errors by form."""
    off = {turn.round: turn.run.cpu_us for turn in turns if turn.run.gateway == OFF}
    found = {}
    for name, share in SHARES.items():
        mine = [turn for turn in turns if turn.run.gateway == name]
        made = 2 * sum(turn.run.requests for turn in mine) * (share or 0.0)
        found[name] = (
            statistics.median(turn.run.cpu_us for turn in mine),
            statistics.median(turn.run.cpu_us / off[turn.round] for turn in mine),
            statistics.median(turn.run.p99_ms for turn in mine),
            f"{min(sum(turn.spans for turn in mine) / made, 1.0):.0%}" if made else "-",
            sum(turn.run.errors for turn in mine),
        )
    return found


def section(sampling: Sampling) -> str:
    """Render the part of the report, with its heading."""
    rows = [
        (name, f"{cpu:.1f}", f"{ratio:.2f}", f"{p99:.2f}", spans, errors)
        for name, (cpu, ratio, p99, spans, errors) in medians(sampling.turns).items()
    ]
    head = ("sampled", "CPU us/request", "of off", "p99 ms", "spans that arrived", "errors")
    rounds = max(turn.round for turn in sampling.turns)
    about = {**sampling.about, "load": MAIN.name, "rounds": str(rounds)}
    return "\n\n".join((HEADING, TEXT, facts(about), table(head, rows)))


def with_section(report: str, part: str) -> str:
    """Return a report with this part in the place of its earlier one, at its end if it had none."""
    before, _, rest = report.partition(HEADING)
    _, mark, after = rest.partition("\n## ")
    return "\n\n".join(filter(None, (before.strip(), part, (mark + after).strip())))
