"""The promises about the model services' speed, judged from the figures of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.peers import (
    BENTOML,
    BENTOML_BATCHED,
    ESTIMATOR,
    FLOOR,
    MLSERVER,
    TABLE,
    THEIRS,
)
from benchmarks.serving.study import Cell, Life

MANY = 64  # clients
IMAGE_MB = 400.0


@dataclass(frozen=True, slots=True)
class Fit:
    """The clusterer's cost for a number of points beside the bare fit's; CPU in microseconds.

    `ratio` is the service's cost divided by the bare fit's. It is measured turn by turn, so its
    median need not be the quotient of the medians of the two costs.
    """

    points: int
    clients: int
    service_us: float
    bare_us: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Tensors:
    """The classifier's cost of rows as binary tensors and in JSON; CPU in microseconds.

    `ratio` is the first divided by the second, measured turn by turn.
    """

    rows: int
    clients: int
    json_us: float
    binary_us: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: `figure` is at most, or at least, `limit`."""

    what: str
    figure: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Return whether the promise held."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


def judge(
    cells: Sequence[Cell],
    lives: Sequence[Life],
    fits: Sequence[Fit],
    tensors: Sequence[Tensors],
    image_mb: float | None,
) -> list[Goal]:
    """Judge every goal whose parts were measured."""
    one = {cell.peer: cell for cell in cells if cell.rows == 1 and cell.clients == MANY}
    goals = []
    if TABLE in one and FLOOR in one:
        ratio = one[TABLE].cpu_us / one[FLOOR].cpu_us
        goals.append(Goal("table, 1 row, 64 clients: CPU per request / floor", ratio, 1.3))
    for names in ((MLSERVER,), (BENTOML, BENTOML_BATCHED)):
        rates = [one[name].rps for name in names if name in one]
        if rates and TABLE in one:
            ratio = one[TABLE].rps / max(rates)
            what = f"table, 1 row, 64 clients: requests/s / {names[0]}'s"
            goals.append(Goal(what, ratio, 30.0, at_least=True))
    goals += _estimator(one)
    goals += [
        Goal(f"clusterer, {fit.points} points: CPU per request / bare fit", fit.ratio, 1.15)
        for fit in fits
        if fit.clients == 1
    ]
    goals += [
        Goal(
            f"V2, {one.rows:,} rows, {one.clients} clients: CPU per request, binary tensors / JSON",
            one.ratio,
            0.5,
        )
        for one in tensors
    ]
    for life in lives:
        if life.peer in {TABLE, ESTIMATOR}:
            goals.append(Goal(f"{life.peer}: seconds until ready", life.ready_seconds, 3.0))
            goals.append(Goal(f"{life.peer}: RSS, MB", life.rss_mb, 250.0))
    if image_mb is not None:
        goals.append(Goal("classifier image, MB", image_mb, IMAGE_MB))
    ours = sum(cell.errors for cell in cells if cell.peer in {TABLE, ESTIMATOR})
    goals.append(Goal("errors of ours in all cells (refusals of a full queue apart)", ours, 0))
    return goals


def _estimator(one: Mapping[str, Cell]) -> list[Goal]:
    rates = {name: one[name].rps for name in THEIRS if name in one}
    if ESTIMATOR not in one or not rates:
        return []
    best = max(rates, key=lambda name: rates[name])
    what = f"estimator, 1 row, 64 clients: requests/s / best peer's ({best})"
    return [Goal(what, one[ESTIMATOR].rps / rates[best], 10.0, at_least=True)]
