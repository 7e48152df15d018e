"""What the metrics of a model service say of its model: drift, answers, refused inputs. Pure.

The instances count since they started. Here their counts become one, and what was added from one
reading to the next is kept for the time of `POINTS` readings. All names are text of strangers.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families

MAX_SAMPLES = 500
"""Samples of an instance that are read; one that has more is not read at all."""
MAX_NAMED = 32
"""Names of each kind whose figures are kept, those with the most."""
MAX_LINE = 4096
"""Bytes of the longest sample: the parser's time grows with the square of it."""
MAX_VALUE = 1e15
"""The greatest value: sums of these are exact enough, and finite."""
MAX_NAME = 100
"""Characters of a name that are kept."""
SHOWN = 8
"""Names of each kind that are shown, those with the most."""
POINTS = 30
"""Readings whose figures are kept and drawn."""
SOME = 0.1
"""The index from which there is some drift (Siddiqi, Credit Risk Scorecards, 2006)."""
MUCH = 0.25
"""The index above which there is much, as for the alert `ModelDrifts`."""
REFUSED = frozenset({"400", "413", "415", "422"})
"""The statuses of refused inputs, as for the alert `InputsRefused`."""
_SAMPLE = re.compile(
    rb"^(?:model_psi|model_predictions_total|http_problems_total"
    rb"|http_request_duration_seconds_count)[{ ].*$",
    re.MULTILINE,
)

Name = TypeVar("Name", str, tuple[str, str])


class UnreadError(Exception):
    """Metrics that cannot be read, or are too many."""


class DriftDegree(StrEnum):
    """A population stability index in a word."""

    LITTLE = "little"
    SOME = "some"
    MUCH = "much"


def drift_of(index: float) -> DriftDegree:
    """Return the word for an index."""
    if index > MUCH:
        return DriftDegree.MUCH
    return DriftDegree.LITTLE if index < SOME else DriftDegree.SOME


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics of one instance, or of several as one.

    Attributes:
        drift: index of each feature, and of the answers.
        classes: answers by version of the model and class.
        refused: refused requests by reason.
        posts: all requests that had an input.
    """

    drift: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[tuple[str, str], float] = field(default_factory=dict)
    refused: Mapping[str, float] = field(default_factory=dict)
    posts: float = 0.0

    @property
    def tells(self) -> bool:
        """Return whether there is anything to show."""
        return bool(self.drift or self.classes or self.refused)

    def since(self, before: "Reading") -> "Reading":
        """Return what was counted since another reading; all, if counting began anew."""
        total, total_before = (sum(one.classes.values()) for one in (self, before))
        if self.posts < before.posts or total < total_before:
            return self
        return Reading(
            self.drift,
            _without(self.classes, before.classes),
            _without(self.refused, before.refused),
            self.posts - before.posts,
        )


def _without(counts: Mapping[Name, float], before: Mapping[Name, float]) -> dict[Name, float]:
    return {name: max(0.0, count - before.get(name, 0.0)) for name, count in counts.items()}


def _wanted(data: bytes) -> list[str]:
    """Return the samples that are wanted, each bounded; the parser sees no others."""
    lines = []
    for place, found in enumerate(_SAMPLE.finditer(data)):
        if place >= MAX_SAMPLES:
            raise UnreadError(f"more than {MAX_SAMPLES} samples")
        if len(found[0]) > MAX_LINE:
            raise UnreadError(f"a sample of more than {MAX_LINE} bytes")
        lines.append(found[0].decode("utf-8", "replace"))
    return lines


def read(data: bytes) -> Reading:
    """Read metrics in Prometheus's text format, of which a few are wanted.

    Raises:
        UnreadError: they are not in that format, or too many.
    """
    lines = _wanted(data)
    drift: dict[str, float] = {}
    classes: dict[tuple[str, str], float] = {}
    refused: dict[str, float] = {}
    posts = 0.0
    try:
        samples = [
            sample
            for family in text_string_to_metric_families("\n".join(lines) + "\n")
            for sample in family.samples
        ]
    except (ValueError, IndexError) as error:  # the latter where braces are not in pairs
        raise UnreadError(str(error)) from error
    for sample in samples:
        value = float(sample.value)
        if not 0 <= value <= MAX_VALUE:  # NaN is neither
            continue
        labels = {name: text[:MAX_NAME] for name, text in sample.labels.items()}
        match sample.name:
            case "model_psi":
                drift[labels.get("of", "")] = value
            case "model_predictions_total":
                name = labels.get("model_version", ""), labels.get("label", "")
                classes[name] = classes.get(name, 0.0) + value
            case "http_problems_total" if labels.get("status") in REFUSED:
                reason = labels.get("type", "")
                refused[reason] = refused.get(reason, 0.0) + value
            case "http_request_duration_seconds_count" if labels.get("method") == "POST":
                posts += value
    return Reading(drift, classes, refused, posts)


def together(readings: Iterable[Reading]) -> Reading:
    """Return readings as one: counts add up, and of each index the greatest counts."""
    drift: dict[str, float] = {}
    classes: dict[tuple[str, str], float] = {}
    refused: dict[str, float] = {}
    posts = 0.0
    for one in readings:
        for feature, index in one.drift.items():
            drift[feature] = max(index, drift.get(feature, 0.0))
        for name, count in one.classes.items():
            classes[name] = classes.get(name, 0.0) + count
        for reason, count in one.refused.items():
            refused[reason] = refused.get(reason, 0.0) + count
        posts += one.posts
    return Reading(drift, classes, refused, posts)


@dataclass(frozen=True, slots=True)
class Point:
    """Figures of counts.

    Attributes:
        drift: indexes.
        classes: share of each class in the answers of its version.
        refused: share of each reason in the requests that had an input; None without a request.
    """

    drift: Mapping[str, float]
    classes: Mapping[tuple[str, str], float]
    refused: Mapping[str, float] | None

    def cut(self, most: int) -> "Point":
        """Return the greatest figures of each kind, so many of each at most."""
        refused = None if self.refused is None else _greatest(self.refused, most)
        return Point(_greatest(self.drift, most), _greatest(self.classes, most), refused)


def point_of(reading: Reading) -> Point:
    """Return the figures of counts."""
    answered: dict[str, float] = {}
    for (version, _), count in reading.classes.items():
        answered[version] = answered.get(version, 0.0) + count
    classes = {
        (version, label): count / answered[version]
        for (version, label), count in reading.classes.items()
        if answered[version]
    }
    posts = reading.posts
    refused = {
        reason: min(1.0, count / posts)
        for reason, count in reading.refused.items()
        if posts and count
    }
    return Point(reading.drift, classes, refused if posts else None)


def _greatest(figures: Mapping[Name, float], most: int) -> dict[Name, float]:
    return dict(sorted(figures.items(), key=lambda one: (-one[1], one[0]))[:most])


@dataclass(frozen=True, slots=True)
class Line:
    """What is shown of one name.

    Attributes:
        name: of a feature, a class with its version if there are several, or a reason.
        whole: the index, or the share since the instances started.
        course: the same from each reading to the next; None where nothing was counted.
    """

    name: str
    whole: float
    course: Sequence[float | None]

    @property
    def last(self) -> float | None:
        """Return the last figure of the course, if there is any."""
        return next((one for one in reversed(self.course) if one is not None), None)


@dataclass(frozen=True, slots=True)
class ModelSituation:
    """What is shown of a service's models.

    Attributes:
        at: Unix time of the last reading.
        asked: how many instances have metrics, or do not say that they have none.
        told: how many of them have told theirs.
        drift: features with the greatest indexes.
        classes: the most frequent ones.
        refused: the most frequent reasons.
        unshown: how many names are not shown.
    """

    at: float
    asked: int
    told: int
    drift: Sequence[Line] = ()
    classes: Sequence[Line] = ()
    refused: Sequence[Line] = ()
    unshown: int = 0


class ModelHistory:
    """The last readings of one service."""

    def __init__(self) -> None:
        """Begin without a reading."""
        self._last: Mapping[str, Reading] = {}
        self._points: deque[Point] = deque(maxlen=POINTS)

    def note(self, told: Mapping[str, Reading]) -> None:
        """Take what the instances tell, by address; one that is new is counted from here on."""
        added = [
            one.since(self._last[address]) if address in self._last else Reading(one.drift)
            for address, one in told.items()
        ]
        self._points.append(point_of(together(added)).cut(MAX_NAMED))
        self._last = told

    def situation(self, at: float, asked: int) -> ModelSituation | None:
        """Return what to show of the readings; None if there is nothing to show.

        Args:
            at: Unix time of the last reading.
            asked: how many instances have metrics, or do not say that they have none.
        """
        whole, told, points = together(self._last.values()), len(self._last), self._points
        if not whole.tells:
            return ModelSituation(at, asked, told) if asked > told else None
        every = point_of(whole)
        shown = every.cut(SHOWN)
        several = len({version for version, _ in whole.classes}) > 1
        drift = [
            Line(name, index, [one.drift.get(name) for one in points])
            for name, index in shown.drift.items()
        ]
        classes = [
            Line(
                f"{name[1]} ({name[0]})" if several else name[1],
                share,
                [_share_of(name, one) for one in points],
            )
            for name, share in sorted(shown.classes.items(), key=lambda one: (one[0][0], -one[1]))
        ]
        refused = [
            Line(name, share, [None if one.refused is None else one.refused.get(name, 0.0)
                               for one in points])
            for name, share in (shown.refused or {}).items()
        ]  # fmt: skip
        unshown = len(every.drift) - len(drift) + len(every.classes) - len(classes)
        unshown += len(every.refused or {}) - len(refused)
        return ModelSituation(at, asked, told, drift, classes, refused, unshown)


def _share_of(name: tuple[str, str], point: Point) -> float | None:
    """Return the share of a class; None if its version has answered nothing."""
    is_answering = any(version == name[0] for version, _ in point.classes)
    return point.classes.get(name, 0.0) if is_answering else None
