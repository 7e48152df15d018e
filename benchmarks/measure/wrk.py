"""Closed-loop load by wrk: as many requests as the server answers."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load: `connections` clients that send their next request after a response.

    Attributes:
        path: of the request, query included.
        body_bytes: size of the JSON string in the request body; 0 sends none.
        body_file: a file that holds the body, instead of `body_bytes`.
        timeout: seconds after which a response counts as lost.
        tells_refusals: True counts responses of status 503 apart, which costs the load generator
            some microseconds a response; else they are bad statuses.
        fields: header fields beside the content type.
    """

    name: str
    connections: int
    path: str
    method: str = "POST"
    body_bytes: int = 200
    body_file: Path | None = None
    timeout: int = 5
    tells_refusals: bool = False
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of wrk. Latencies are those of a closed loop: they leave out waiting to be sent.

    Attributes:
        bad_statuses: responses of status 400 and above, `refused` among them.
        refused: responses of status 503, if the load counts them apart.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    bad_statuses: int
    socket_errors: int
    timeouts: int
    refused: int

    @property
    def rps(self) -> float:
        """Return the responses per second, of whatever status."""
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Return the number of requests that got neither a status below 400 nor a counted 503."""
        return self.bad_statuses - self.refused + self.socket_errors + self.timeouts


def run(base_url: str, load: Load, *, seconds: float, core: int | None = None) -> Outcome:
    """Offer the load for some seconds with one thread and return the results."""
    pinned = () if core is None else ("taskset", "-c", str(core))
    argv = (
        *pinned,
        *("wrk", "-t1", f"-c{load.connections}", f"-d{seconds:g}s"),
        *("--timeout", f"{load.timeout}s"),
        *chain.from_iterable(("-H", f"{name}: {value}") for name, value in load.fields.items()),
        *("-s", str(SCRIPT), base_url + load.path, "--", load.method, str(load.body_bytes)),
        "" if load.body_file is None else str(load.body_file),
        "refusals" if load.tells_refusals else "",
    )
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))
